"""Sieves memory as machine words: big-number structures, heap chunks of a key's size, AES schedules, ML-DSA
secrets.

Two engines with one contract: numpy, and the standard library (`bytes.find` and arithmetic on very long
integers). The stdlib one is slower and misses nothing. May never do: confirm; it says where to look.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Protocol

BLOCK = 128 << 10
OVERLAP = 512  # an AES-256 schedule is 240 bytes
STRIDE = 64  # ML-DSA secrets are longer than several strides
AES_WORDS = (4, 6, 8)
CHUNKS = {0x31: 32, 0x41: 48, 0x51: 66, 0x91: 128, 0xD1: 192, 0x111: 256, 0x191: 384, 0x211: 512}
TOPS = (4, 6, 8, 9, 12, 16, 24, 32, 48, 64, 96, 128)  # 64-bit limbs of scalars, primes and moduli in use
MOST_ROOM = 0x3FF
SLACK = 32
BREAKS = 2  # words of a prime that look like addresses: one does in 2**12 primes, a third in 2**39
SAMPLE = 61  # one word in this many tells most blocks that are not zero
HIGH3 = sum(0b100 << (3 * place) for place in range(21))
LOW3 = sum(0b011 << (3 * place) for place in range(21))
BITS63 = (1 << 63) - 1
USER_SPACE = 1 << 47
RANDOM_WORDS = 3  # of four; a secret has fewer that are no addresses about once in 10**9


class Kind(StrEnum):
    """What may be at a spot."""

    BIGNUM = "bignum"
    CHUNK = "chunk"
    AES = "aes"
    PACKED4 = "ml-dsa-eta4"
    PACKED2 = "ml-dsa-eta2"


Island = tuple[int, int]  # [start, end) of a run of words
Spot = tuple[Kind, int, int]  # what, where, and the chunk's header or the AES key's words


class Words(Protocol):
    """Finds the spots of one buffer whose words start at offsets that are `shift` modulo eight."""

    name: str

    def spots(self, data: bytes, shift: int) -> Iterator[Spot]:
        """Every spot, in no particular order."""
        ...

    def islands(self, data: bytes, shift: int, least: int) -> Iterator[Island]:
        """Runs of random-looking words between ordinary words, `least` bytes or up to four words longer, each
        with the word before it. A word among them may look ordinary by chance, and so may the first.
        """
        ...


class NumpyWords:
    """Vectorised."""

    name = "numpy"

    def __init__(self) -> None:
        import numpy as np

        self._np = np
        sizes = np.zeros(0x400, dtype=np.bool_)
        for header in CHUNKS:
            sizes[[header, header & ~1, header | 4]] = True
        self._sizes = sizes
        self._tops = np.zeros(MOST_ROOM + 1, dtype=np.bool_)
        self._tops[list(TOPS)] = True

    def spots(self, data: bytes, shift: int) -> Iterator[Spot]:
        """Every spot."""
        np = self._np
        for start in range(shift, len(data), BLOCK):
            count = min(BLOCK + OVERLAP, len(data) - start) // 8
            words = np.frombuffer(data, dtype="<u8", offset=start, count=count)
            if count < 4 or not (words[::SAMPLE].any() or words.any()):
                continue
            own = BLOCK // 8
            # a structure's sizes and a chunk's header are both small: one pass finds the places of both
            places = np.flatnonzero(((words & 0xFFFFFC00FFFFFC00) == 0) & (words != 0))
            yield from self._bignums(words, places, start, own)
            yield from self._chunks(words, places, start, own)
            yield from self._aes(words.view("<u4"), start, 2 * own)
            yield from self._packed(words, start, own)

    def islands(self, data: bytes, shift: int, least: int) -> Iterator[Island]:
        """Runs of random-looking words of about `least` bytes."""
        np = self._np
        words = np.frombuffer(data, dtype="<u8", offset=shift, count=(len(data) - shift) // 8)
        large = np.zeros(len(words) + 2, dtype=np.int8)
        large[1:-1] = words >> 48 != 0
        edges = np.flatnonzero(np.diff(large))
        starts, ends = edges[::2], edges[1::2]
        for breaks in range(min(BREAKS + 1, len(starts))):
            first, last = starts[: len(starts) - breaks], ends[breaks:]
            sizes = (last - first) * 8
            good = (sizes >= least - 8) & (sizes <= least + SLACK)
            for place in range(breaks):
                good &= starts[place + 1 :][: len(first)] - ends[place:][: len(first)] == 1
            for start, end in zip(first[good].tolist(), last[good].tolist(), strict=True):
                yield shift + 8 * max(0, start - 1), shift + 8 * end

    def _bignums(self, words: Any, small: Any, start: int, own: int) -> Iterator[Spot]:
        places = small[(small > 0) & (small < len(words) - 1)] - 1
        sizes = words[places + 1]
        top, room = sizes & 0xFFFFFFFF, sizes >> 32
        good = self._tops[top] & (room >= top)
        places = places[good]
        flags, pointers = words[places + 2], words[places]
        good = (flags & 0xFFFFFFE0FFFFFFFE == 0) & (pointers & 7 == 0) & (pointers - 0x1000 < USER_SPACE)
        for place in places[good].tolist():
            if place < own:
                yield (Kind.BIGNUM, start + 8 * place, 0)

    def _chunks(self, words: Any, small: Any, start: int, own: int) -> Iterator[Spot]:
        np = self._np
        places = small[(small < min(own, len(words) - 4)) & (words[small] <= MOST_ROOM)]
        places = places[self._sizes[words[places]]]
        random = np.zeros(len(places), dtype=np.int8)
        for word in range(1, 5):  # a secret's words are neither small nor pointers
            random += words[places + word] >> 48 != 0
        for place in places[random >= RANDOM_WORDS].tolist():
            yield (Kind.CHUNK, start + 8 * (place + 1), int(words[place]) & ~6 | 1)

    @staticmethod
    def _aes(words: Any, start: int, own: int) -> Iterator[Spot]:
        if len(words) < 16:
            return
        neighbours, present = words[1:] ^ words[:-1], words != 0
        for size in AES_WORDS:
            alike = neighbours[size:-2] == words[1 : -size - 2]
            alike &= present[: len(alike)]  # zeros are alike everywhere, and no schedule begins with one
            places = alike.nonzero()[0]
            for word in (2, 3) if len(places) else ():
                places = places[neighbours[places + size + word - 1] == words[places + word]]
            if not len(places):
                continue
            places = places[(words[places + 1] != words[places + 2]) & (places < own)]
            for place in places.tolist():
                yield (Kind.AES, start + 4 * place, size)

    def _packed(self, words: Any, start: int, own: int) -> Iterator[Spot]:
        np = self._np
        sample = words[: own : STRIDE // 8]
        full = (sample - 0x0101010101010101) & ~sample & 0x8080808080808080 == 0  # no zero byte
        places = np.flatnonzero(full)
        sample = sample[places]
        spread = (sample & 0x7777777777777777) + 0x7777777777777777
        for place in places[sample & 0x8888888888888888 & spread == 0].tolist():
            yield (Kind.PACKED4, start + STRIDE * place, 0)
        good = np.zeros(len(places), dtype=np.bool_)
        for skip in range(3):
            three = sample >> skip & (BITS63 >> 3)
            good |= three & HIGH3 & ((three & LOW3) + LOW3) == 0
        for place in places[good].tolist():
            yield (Kind.PACKED2, start + STRIDE * place, 0)


class StdlibWords:
    """Without numpy: `bytes.find`, and one very long integer per block for the word-wise conditions."""

    name = "stdlib"

    def spots(self, data: bytes, shift: int) -> Iterator[Spot]:
        """Every spot."""
        for start in range(shift, len(data), BLOCK):
            block = data[start : start + BLOCK + OVERLAP]
            block = block[: len(block) & ~7]
            if len(block) < 32 or block.count(0) == len(block):
                continue
            yield from self._bignums(block, start)
            yield from self._chunks(block, start)
            yield from self._aes(block, start)
            yield from self._packed(block, start)

    def islands(self, data: bytes, shift: int, least: int) -> Iterator[Island]:
        """Runs of random-looking words of about `least` bytes."""
        runs: list[Island] = []
        start = -1
        count = (len(data) - shift) // 8
        for place in range(count + 1):
            at = shift + 8 * place
            large = place < count and data[at + 6 : at + 8] != b"\x00\x00"
            if large and start < 0:
                start = at
            elif not large and start >= 0:
                runs.append((start, at))
                start = -1
        for breaks in range(BREAKS + 1):
            for joined in zip(*(runs[place:] for place in range(breaks + 1)), strict=False):
                whole = all(right[0] - left[1] == 8 for left, right in pairwise(joined))
                if whole and least - 8 <= joined[-1][1] - joined[0][0] <= least + SLACK:
                    yield max(shift, joined[0][0] - 8), joined[-1][1]

    def _bignums(self, block: bytes, start: int) -> Iterator[Spot]:
        for top in TOPS:
            literal = top.to_bytes(4, "little")
            at = block.find(literal, 8)
            while at >= 0:
                if at % 8 == 0 and at - 8 < BLOCK and _is_bignum(block, at - 8, top):
                    yield (Kind.BIGNUM, start + at - 8, 0)
                at = block.find(literal, at + 1)

    def _chunks(self, block: bytes, start: int) -> Iterator[Spot]:
        for header in CHUNKS:
            for variant in {header, header & ~1, header | 4, header & ~1 | 4}:
                literal = variant.to_bytes(8, "little")
                at = block.find(literal)
                while at >= 0:
                    if at % 8 == 0 and at < BLOCK and _random_words(block, at + 8):
                        yield (Kind.CHUNK, start + at + 8, header)
                    at = block.find(literal, at + 1)

    def _aes(self, block: bytes, start: int) -> Iterator[Spot]:
        value = int.from_bytes(block, "little")
        neighbours = value ^ value >> 32
        for size in AES_WORDS:
            wrong = (neighbours >> 32 * size ^ value >> 32).to_bytes(len(block), "little")
            at = wrong.find(bytes(12))
            while at >= 0:
                if at % 4 == 0 and at < BLOCK and _starts_schedule(block, at):
                    yield (Kind.AES, start + at, size)
                at = wrong.find(bytes(12), at + 1)

    def _packed(self, block: bytes, start: int) -> Iterator[Spot]:
        for at in range(0, min(BLOCK, len(block) - 8), STRIDE):
            sample = block[at : at + 8]
            if 0 in sample:
                continue
            word = int.from_bytes(sample, "little")
            if word & 0x8888888888888888 & ((word & 0x7777777777777777) + 0x7777777777777777) == 0:
                yield (Kind.PACKED4, start + at, 0)
            for skip in range(3):
                three = word >> skip & (BITS63 >> 3)
                if three & HIGH3 & ((three & LOW3) + LOW3) == 0:
                    yield (Kind.PACKED2, start + at, 0)
                    break


def _word(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _is_bignum(block: bytes, at: int, top: int) -> bool:
    pointer, room = _word(block, at), _word(block, at + 12, 4)
    negative, flags = _word(block, at + 16, 4), _word(block, at + 20, 4)
    return (
        at + 24 <= len(block)
        and pointer % 8 == 0
        and 0 <= pointer - 0x1000 < USER_SPACE
        and top <= room <= MOST_ROOM
        and negative <= 1
        and flags <= 0x1F
    )


def _random_words(block: bytes, at: int) -> bool:
    large = sum(_word(block, at + 8 * place) >> 48 != 0 for place in range(4))
    return at + 32 <= len(block) and large >= RANDOM_WORDS


def _starts_schedule(block: bytes, at: int) -> bool:
    return block[at : at + 4] != bytes(4) and block[at + 4 : at + 8] != block[at + 8 : at + 12]


def build(engine: str = "") -> Words:
    """The word sieve for an engine; numpy where it is installed and nothing else is asked for."""
    if engine != "stdlib" and find_spec("numpy") is not None:
        return NumpyWords()
    return StdlibWords()
