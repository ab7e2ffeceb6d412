"""The arithmetic that proves RSA keys: which numbers divide which.

May never do: keep a number after the object that it came from is finished.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_SMALL_PRIMES = math.prod(n for n in range(3, 1000, 2) if all(n % m for m in range(3, int(n**0.5) + 1, 2)))
_EXPONENTS = (65537, 3, 17, 37)
LEAST_PRIME_BITS = 512
MOST_PRODUCTS = 4096


@dataclass(frozen=True, slots=True)
class Triple:
    """A modulus and its primes."""

    modulus: int
    prime_p: int
    prime_q: int


def plausible_prime(value: int) -> bool:
    """Odd, long enough, and without a small factor: one in five random odd numbers is left."""
    return value & 1 == 1 and value.bit_length() >= LEAST_PRIME_BITS and math.gcd(value, _SMALL_PRIMES) == 1


def is_prime(value: int) -> bool:
    """A Fermat test to the base 2: numbers from memory are not chosen to fool it."""
    return pow(2, value - 1, value) == 1


def is_group_prime(value: int) -> bool:
    """Whether it is the public modulus of a Diffie-Hellman group that protocols name: those begin and end
    with 64 ones (RFC 2409, 3526 and 7919). Being a safe prime is no sign: so is one RSA prime in a thousand.
    """
    edge = (1 << 64) - 1
    return value & edge == edge and value >> (value.bit_length() - 64) == edge


def split(moduli: Iterable[int], primes: Iterable[int]) -> list[Triple]:
    """Each modulus that a prime divides. One gcd per modulus with the product of all candidates sorts most
    out.
    """
    candidates = [prime for prime in primes if plausible_prime(prime)][:MOST_PRODUCTS]
    product = math.prod(candidates)
    triples: list[Triple] = []
    if not candidates:
        return triples
    for modulus in moduli:
        if math.gcd(modulus, product % modulus or modulus) == 1:
            continue
        for prime in candidates:
            if 1 < prime < modulus and modulus % prime == 0:
                triples.append(Triple(modulus, prime, modulus // prime))
                break
    return triples


def parts(triple: Triple) -> dict[str, tuple[int, int]]:
    """What a library keeps of the key: name -> (value, bytes). Two private exponents, as both are in use."""
    modulus, p, q = triple.modulus, triple.prime_p, triple.prime_q
    whole, half = (modulus.bit_length() + 7) // 8, (max(p, q).bit_length() + 7) // 8
    limbs = 8 * ((half + 7) // 8)
    found = {
        "p": (p, half),
        "q": (q, half),
        "qinv": (pow(q, -1, p), half),
        "pinv": (pow(p, -1, q), half),
        "rr-p": (pow(1 << 16 * limbs, 1, p), limbs),
        "rr-q": (pow(1 << 16 * limbs, 1, q), limbs),
    }
    for exponent in _EXPONENTS:
        if math.gcd(exponent, (p - 1) * (q - 1)) != 1:
            continue
        found["d"] = (pow(exponent, -1, math.lcm(p - 1, q - 1)), whole)
        found["d-phi"] = (pow(exponent, -1, (p - 1) * (q - 1)), whole)
        found["dp"] = (pow(exponent, -1, p - 1), half)
        found["dq"] = (pow(exponent, -1, q - 1), half)
        break
    return found
