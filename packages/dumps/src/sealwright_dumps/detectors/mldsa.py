"""Finds the secret vectors s1 and s2 of ML-DSA by their small coefficients (FIPS 204, 7.2 and 4).

They lie in memory packed (three or four bits each, as in the expanded private key) or as 32-bit words modulo
q.
May never do: report a run whose values are not spread as a key's are.
"""

from __future__ import annotations

from collections.abc import Callable

from sealwright_dumps.model import Confidence, Hit

DETECTOR = "ml-dsa"
Q = 8380417
LITERALS = tuple((Q - small).to_bytes(4, "little") for small in (1, 2, 3, 4))
_LEAST_WORDS = 240  # a polynomial has 256; the first few may be positive
_FIRST = 48
_DIVERSE = 12  # distinct bytes among the first 24: a key has about twenty
_NIBBLES = bytes(0 if value & 15 <= 8 and value >> 4 <= 8 else 1 for value in range(256))
_LEAST_PACKED = 312  # bytes, three dividing it: s1 of the smallest parameter set has 384


def _even(counts: list[int]) -> bool:
    """Whether the values are spread as drawn uniformly: each within half of its share."""
    share = sum(counts) / len(counts)
    return all(share / 2 < count < share * 3 / 2 for count in counts)


def _reach(
    data: bytes, start: int, end: int, size: int, is_secret: Callable[[bytes], bool]
) -> tuple[int, int]:
    """[start, end) grown by blocks of `size` bytes on both sides while they look like more of the same."""
    while start >= size and is_secret(data[start - size : start]):
        start -= size
    while end + size <= len(data) and is_secret(data[end : end + size]):
        end += size
    return start, end


def _nibbles(block: bytes) -> list[int]:
    return [half for byte in block for half in (byte & 15, byte >> 4)]


def _threes(block: bytes) -> list[int]:
    value = int.from_bytes(block, "little")
    return [value >> 3 * place & 7 for place in range(8 * len(block) // 3)]


def _words(block: bytes) -> list[int]:
    return list(memoryview(block).cast("I"))


def _block_of(values: list[int], largest: int) -> bool:
    return max(values) <= largest and len(set(values)) >= 4


def packed4(data: bytes, at: int) -> Hit | None:
    """Nibbles 0 to 8 (eta = 4, ML-DSA-65) from `at` on."""
    first = data[at : at + _LEAST_PACKED]
    if len(first) < _LEAST_PACKED or any(first.translate(_NIBBLES)):
        return None
    values = _nibbles(first)
    if not _even([values.count(value) for value in range(9)]):
        return None
    start, end = _reach(data, at, at + _LEAST_PACKED, 16, lambda block: _block_of(_nibbles(block), 8))
    return Hit(DETECTOR, "ml-dsa-secret", "packed", "ml-dsa-65", Confidence.LIKELY, start, end)


def packed2(data: bytes, at: int) -> Hit | None:
    """Three-bit values 0 to 4 (eta = 2, ML-DSA-44 and -87) from `at` on, in whichever of three phases
    fits.
    """
    for phase in range(3):
        middle = at + phase
        first = data[middle : middle + 24]
        if len(set(first)) < _DIVERSE or max(_threes(first), default=8) > 4:
            continue  # spaces and ruled lines of text are such values too, but always the same
        values = _threes(data[middle : middle + _LEAST_PACKED])
        if len(values) < 8 * _LEAST_PACKED // 3 or not _even([values.count(value) for value in range(8)][:5]):
            continue
        if max(values) > 4:
            continue
        start, end = _reach(
            data, middle, middle + _LEAST_PACKED, 24, lambda block: _block_of(_threes(block), 4)
        )
        return Hit(DETECTOR, "ml-dsa-secret", "packed", "ml-dsa", Confidence.LIKELY, start, end)
    return None


def coefficients(data: bytes, at: int) -> Hit | None:
    """32-bit words within eta of zero modulo q from `at` on: a polynomial of 256, and its neighbours."""
    before = data[max(0, at - 4 * _FIRST) : at]
    earlier = _words(before) if len(before) == 4 * _FIRST else [Q]
    if max(earlier) > Q // 2 and all(map(_small, earlier)):
        return None  # an earlier word of the same run is the anchor
    words = _words(data[at : at + 4 * _LEAST_WORDS]) if at + 4 * _LEAST_WORDS <= len(data) else [Q]
    if not all(map(_small, words)):
        return None
    negative = sum(value > Q // 2 for value in words)
    if not len(words) / 4 < negative < len(words) * 2 / 3:
        return None
    start, end = _reach(data, at, at + 4 * _LEAST_WORDS, 64, _is_small_block)
    return Hit(DETECTOR, "ml-dsa-secret", "coefficients", "ml-dsa", Confidence.LIKELY, start, end)


def _is_small_block(block: bytes) -> bool:
    values = _words(block)
    return all(map(_small, values)) and len(set(values)) >= 3 and max(values) > Q // 2


def _small(value: int) -> bool:
    return value <= 4 or Q - 4 <= value < Q
