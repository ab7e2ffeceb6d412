"""Proves elliptic-curve scalars by the public point that the same library keeps beside them.

OpenSSL keeps a point as three big numbers X, Y, Z with x = X/Z^2, in Montgomery form or plain. Which of the
object's
numbers is whose Z is unknown, so all pairs are tried; the arithmetic decides. Curves: SEC 2 v2.
May never do: try more pairs than its bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from sealwright_dumps.detectors.public import LOAD_ERRORS, key_id

MOST_PAIRS = 600_000


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve: its field's prime and how many bytes its limbs take."""

    curve: ec.EllipticCurve
    prime: int
    size: int


CURVES = (
    Curve(ec.SECP256R1(), 2**256 - 2**224 + 2**192 + 2**96 - 1, 32),
    Curve(ec.SECP256K1(), 2**256 - 2**32 - 977, 32),
    Curve(ec.SECP384R1(), 2**384 - 2**128 - 2**96 + 2**32 - 1, 48),
    Curve(ec.SECP521R1(), 2**521 - 1, 72),
)


@dataclass(frozen=True, slots=True)
class Proof:
    """A scalar whose point is among the numbers."""

    scalar: int
    algorithm: str
    key_id: str


def prove(scalars: Iterable[int], numbers: Iterable[int], size: int) -> list[Proof]:
    """The scalars of `size` bytes whose point, on any curve of that size, is made of two of the numbers."""
    values = list(dict.fromkeys(numbers))
    candidates = list(dict.fromkeys(scalars))[: max(1, MOST_PAIRS // max(1, len(values)))]
    return [
        proof
        for curve in CURVES
        if curve.size == size
        for scalar in candidates
        if (proof := _prove_one(curve, scalar, values, frozenset(values))) is not None
    ]


def _prove_one(curve: Curve, scalar: int, values: list[int], known: frozenset[int]) -> Proof | None:
    if scalar.bit_length() < curve.curve.key_size - 40 or scalar >= curve.prime:
        return None
    try:
        public = ec.derive_private_key(scalar, curve.curve).public_key()
    except LOAD_ERRORS:
        return None
    x, prime = public.public_numbers().x, curve.prime
    inverse = pow(1 << 8 * curve.size, -1, prime)
    montgomery = (x << 8 * curve.size) % prime
    found = x in known or montgomery in known
    for z in values if not found else ():
        square = z * z % prime * x % prime
        if square in known or square * inverse % prime in known:
            found = z not in (0, 1, scalar)
        if found:
            break
    return Proof(scalar, f"ec-{curve.curve.name}", key_id(public)) if found else None
