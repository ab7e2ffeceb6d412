"""Finds many short literals in a large buffer at once: the first, cheap stage of every detector.

Three engines find exactly the same set (a contract test compares them): `hyperscan` (about 2 GB/s for a
thousand
literals), `numpy` (a hashed look-up of every 3-byte gram) and `stdlib` (one `bytes.find` pass per literal).
May never do: decide that something is a key. It only says where to look.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Protocol

from sealwright_dumps.errors import Misconfigured

GRAM = 3  # shortest literal, and the gram that the numpy engine looks up
BLOCK = 1 << 20
WORD = 8
FEW = 64
PAGE = 4096  # the stdlib engine skips pages of zeros: the bulk of a sparse dump, and the slowest bytes for it

Spot = tuple[int, int]  # (index of the literal, offset of its first byte)


class Sieve(Protocol):
    """Finds all occurrences of a fixed set of literals."""

    name: str

    def scan(self, data: bytes) -> list[Spot]:
        """All occurrences, ordered by offset."""
        ...


class HyperscanSieve:
    """Vectorised multi-literal matching by the hyperscan library (extra `fast`)."""

    name = "hyperscan"

    def __init__(self, literals: Sequence[bytes]) -> None:
        import hyperscan

        self._lengths = [len(literal) for literal in literals]
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[b"".join(b"\\x%02x" % byte for byte in literal) for literal in literals],
            ids=list(range(len(literals))),
            elements=len(literals),
            flags=hyperscan.HS_FLAG_DOTALL,
        )

    def scan(self, data: bytes) -> list[Spot]:
        """All occurrences, ordered by offset."""
        ends: list[tuple[int, int]] = []

        def collect(index: int, _start: int, end: int, _flags: int, _context: object) -> None:
            ends.append((index, end))

        self._database.scan(data, match_event_handler=collect)
        lengths = self._lengths
        return sorted(((index, end - lengths[index]) for index, end in ends), key=_by_offset)


class NumpySieve:
    """Looks every 3-byte gram up in a table of the literals' first grams, then compares."""

    name = "numpy"

    def __init__(self, literals: Sequence[bytes]) -> None:
        import numpy as np

        self._np = np
        self._by_gram: dict[int, list[tuple[int, bytes]]] = {}
        for index, literal in enumerate(literals):
            self._by_gram.setdefault(_gram(literal), []).append((index, literal))
        self._table = np.zeros(1 << 24, dtype=np.bool_)
        self._table[list(self._by_gram)] = True

    def scan(self, data: bytes) -> list[Spot]:
        """All occurrences, ordered by offset."""
        spots: list[Spot] = []
        for low in range(0, len(data), BLOCK):
            spots.extend(self._block(data, low))
        return spots

    def _block(self, data: bytes, low: int) -> list[Spot]:
        np = self._np
        piece = np.frombuffer(data, dtype=np.uint8, offset=low, count=min(BLOCK + GRAM - 1, len(data) - low))
        if len(piece) < GRAM or not piece.any():
            return []
        grams = piece[:-2].astype(np.uint32)
        grams |= piece[1:-1].astype(np.uint32) << 8
        grams |= piece[2:].astype(np.uint32) << 16
        spots: list[Spot] = []
        for offset in np.flatnonzero(self._table[grams]).tolist():
            place = low + offset
            for index, literal in self._by_gram[int(grams[offset])]:
                if data.startswith(literal, place):
                    spots.append((index, place))
        return spots


class StdlibSieve:
    """One `bytes.find` pass per literal: slow with many literals, needs nothing installed."""

    name = "stdlib"

    def __init__(self, literals: Sequence[bytes]) -> None:
        self._literals = list(literals)
        self._shortest = min((len(literal) for literal in literals), default=0)
        self._longest = max((len(literal) for literal in literals), default=0)
        self._skips_zeros = all(any(literal) for literal in literals)
        self._prefixes: dict[int, list[tuple[int, bytes]]] = {}
        for index, literal in enumerate(literals):
            self._prefixes.setdefault(int.from_bytes(literal[:WORD], sys.byteorder), []).append(
                (index, literal)
            )

    def scan(self, data: bytes) -> list[Spot]:
        """All occurrences, ordered by offset."""
        spots: list[Spot] = []
        for low, high in self._filled(data):
            for index, literal in self._candidates(data[low:high]):
                place = data.find(literal, low, high)
                while place >= 0:
                    spots.append((index, place))
                    place = data.find(literal, place + 1, high)
        return sorted(spots, key=_by_offset)

    def _filled(self, data: bytes) -> list[tuple[int, int]]:
        """Disjoint stretches that hold every occurrence: pages with a byte that is not zero, and around."""
        if not self._skips_zeros:
            return [(0, len(data))]
        zeros, reach = bytes(PAGE), self._longest - 1
        stretches: list[tuple[int, int]] = []
        for page in range(0, len(data), PAGE):
            if data.startswith(zeros, page):
                continue
            low, high = max(0, page - reach), min(len(data), page + PAGE + reach)
            if stretches and low <= stretches[-1][1]:
                low = stretches.pop()[0]
            stretches.append((low, high))
        return stretches

    def _candidates(self, data: bytes) -> Iterable[tuple[int, bytes]]:
        """The literals that can occur: with many long ones, a set of their first words sorts most out."""
        if len(self._literals) <= FEW or self._shortest < WORD:
            return enumerate(self._literals)
        present: set[int] = set()
        for shift in range(WORD):
            words = memoryview(data)[shift : shift + (len(data) - shift) // WORD * WORD]
            present |= self._prefixes.keys() & words.cast("Q")
        return [pair for prefix in present for pair in self._prefixes[prefix]]


def available() -> tuple[str, ...]:
    """The engines that this installation can use, fastest first."""
    return (*(name for name in ("hyperscan", "numpy") if find_spec(name) is not None), "stdlib")


def build(literals: Sequence[bytes], engine: str = "") -> Sieve:
    """A sieve for these literals; the fastest available engine unless one is named.

    Raises Misconfigured when the named engine is not installed or a literal is shorter than three bytes.
    """
    if any(len(literal) < GRAM for literal in literals):
        raise Misconfigured("literal-too-short", "a literal must have three bytes or more")
    chosen = engine or available()[0]
    if chosen not in available():
        raise Misconfigured(
            "engine-absent", f"engine {chosen!r} is not installed; have {', '.join(available())}"
        )
    makers: dict[str, type[HyperscanSieve | NumpySieve | StdlibSieve]] = {
        "hyperscan": HyperscanSieve,
        "numpy": NumpySieve,
        "stdlib": StdlibSieve,
    }
    return makers[chosen](literals)


def _gram(literal: bytes) -> int:
    return literal[0] | literal[1] << 8 | literal[2] << 16


def _by_offset(spot: Spot) -> tuple[int, int]:
    return (spot[1], spot[0])
