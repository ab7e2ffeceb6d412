"""The secret vectors of an ML-DSA key from its seed (FIPS 204, algorithms 6 and 33), for planting.

May never do: sign, or serve anything but tests.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

Q = 8380417


@dataclass(frozen=True, slots=True)
class Set:
    """A parameter set: rows, columns, and the bound of a secret's coefficients."""

    rows: int
    columns: int
    eta: int


SETS = {"ml-dsa-44": Set(4, 4, 2), "ml-dsa-65": Set(6, 5, 4), "ml-dsa-87": Set(8, 7, 2)}


def secret(seed: bytes, name: str) -> tuple[bytes, list[list[int]]]:
    """K, and the polynomials of s1 then s2."""
    chosen = SETS[name]
    stream = hashlib.shake_256(seed + bytes((chosen.rows, chosen.columns))).digest(128)
    source, key = stream[32:96], stream[96:]
    count = chosen.rows + chosen.columns
    return key, [_bounded(source + place.to_bytes(2, "little"), chosen.eta) for place in range(count)]


def _bounded(seed: bytes, eta: int) -> list[int]:
    values: list[int] = []
    for byte in hashlib.shake_256(seed).digest(1024):
        for half in (byte & 15, byte >> 4):
            if eta == 2 and half < 15:  # noqa: PLR2004  # algorithm 15
                values.append(2 - half % 5)
            elif eta == 4 and half < 9:  # noqa: PLR2004  # algorithm 15
                values.append(4 - half)
    return values[:256]


def packed(polynomials: list[list[int]], eta: int) -> bytes:
    """BitPack (algorithm 17): eta minus each coefficient, three or four bits each."""
    bits = 3 if eta == 2 else 4  # noqa: PLR2004  # the bit length of 2 * eta
    out = b""
    for polynomial in polynomials:
        value = 0
        for place, coefficient in enumerate(polynomial):
            value |= (eta - coefficient) << (bits * place)
        out += value.to_bytes(256 * bits // 8, "little")
    return out


def coefficients(polynomials: list[list[int]]) -> bytes:
    """32-bit words modulo q, as libraries compute with them."""
    return b"".join((value % Q).to_bytes(4, "little") for polynomial in polynomials for value in polynomial)
