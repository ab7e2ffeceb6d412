"""Turns the spots of the word sieve into hits (provable in the window) and clues (provable in the whole
object).

May never do: follow a pointer; that needs the object's layout.
"""

from __future__ import annotations

from dataclasses import dataclass

from sealwright_dumps.detectors import aes, mldsa, words
from sealwright_dumps.detectors.words import CHUNKS, Island, Kind, Spot
from sealwright_dumps.model import Hit

LARGEST_CLUES = 20_000  # per window of 8 MiB
_HALF_ROOT = 0xB504F333F9DE6484  # the top limb of an RSA prime: a product of two has its full length


@dataclass(frozen=True, slots=True)
class Clue:
    """A place that may matter once the whole object is known, such as a structure that points elsewhere."""

    kind: str
    offset: int
    length: int
    pointer: int = 0


@dataclass(slots=True)
class Found:
    """What one window gave."""

    hits: list[Hit]
    clues: list[Clue]
    overflow: bool = False


class Memory:
    """The word-wise detectors over one engine."""

    def __init__(self, engine: str = "", moduli: tuple[int, ...] = ()) -> None:
        self._words = words.build(engine)
        self._moduli: dict[int, list[int]] = {}
        for modulus in moduli:
            self._moduli.setdefault(modulus.bit_length() // 128 * 8, []).append(modulus)
        self.engine = self._words.name

    def search(self, data: bytes, low: int, high: int, shifts: tuple[int, ...]) -> Found:
        """Hits and clues whose anchors stand in [low, high). `shifts`: where words start, modulo eight."""
        found = Found([], [])
        for shift in shifts:
            covered = {Kind.PACKED4: -1, Kind.PACKED2: -1}
            for spot in self._words.spots(data, shift):
                if low <= spot[1] < high:
                    _judge(data, spot, found, covered)
            for size, moduli in self._moduli.items():
                islands = list(self._words.islands(data, shift, size))
                for modulus in moduli:
                    _divisors(data, (low, high), size, modulus, islands, found)
        if len(found.clues) > LARGEST_CLUES:
            found.overflow = True
            del found.clues[LARGEST_CLUES:]
        return found


def _judge(data: bytes, spot: Spot, found: Found, covered: dict[Kind, int]) -> None:
    """One spot: a hit, a clue, or nothing. `covered`: how far lattice keys are known already."""
    kind, at, parameter = spot
    if kind is Kind.BIGNUM:
        _bignum(data, at, found)
    elif kind is Kind.CHUNK:
        _chunk(data, at, parameter, found)
    elif kind is Kind.AES:
        _take(aes.schedule(data, at, parameter), found)
    elif at >= covered[kind]:
        hit = mldsa.packed4(data, at) if kind is Kind.PACKED4 else mldsa.packed2(data, at)
        _take(hit, found)
        covered[kind] = hit.end if hit else at


def _take(hit: Hit | None, found: Found) -> None:
    if hit is not None:
        found.hits.append(hit)


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _bignum(data: bytes, at: int, found: Found) -> None:
    limbs = int.from_bytes(data[at + 8 : at + 12], "little")
    found.clues.append(Clue("bignum", at, 8 * limbs, _u64(data, at)))


def _chunk(data: bytes, at: int, header: int, found: Found) -> None:
    size = CHUNKS[header]
    value = data[at : at + size]
    if len(value) < size or len(set(value)) < min(24, size // 2):
        return
    if size >= 128:
        if value[0] & 1 and _u64(value, size - 8) >= _HALF_ROOT:
            found.clues.append(Clue("prime", at, size))
    else:
        found.clues.append(Clue("scalar", at, size))


def _divisors(
    data: bytes, span: tuple[int, int], size: int, modulus: int, islands: list[Island], found: Found
) -> None:
    """Numbers of `size` bytes that divide a known modulus, wherever random words stand between ordinary
    ones.
    """
    for start, end in islands:
        for at in range(max(start, span[0]), min(end - size + 1, start + 6 * 8, span[1]), 8):
            if data[at] & 1 and modulus % int.from_bytes(data[at : at + size], "little") == 0:
                found.clues.append(Clue("prime", at, size))
