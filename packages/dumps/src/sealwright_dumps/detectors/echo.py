"""Looks for values that are known by now, everywhere in the object: a second pass with exact literals.

A recovered key has a dozen other copies (CRT parts, Montgomery constants); a scalar is a key when its public
point is
in the same memory. May never do: search for more literals than the engine can carry at speed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sealwright_dumps import sieve
from sealwright_dumps.model import Confidence, Hit
from sealwright_dumps.source import Window

PROBE = 12
MOST_LITERALS = {"hyperscan": 20_000, "numpy": 20_000, "stdlib": 20_000}


@dataclass(frozen=True, slots=True)
class Value:
    """A secret whose copies are looked for, in the byte order given."""

    detector: str
    kind: str
    algorithm: str
    key_id: str
    form: str
    data: bytes

    def probes(self) -> list[tuple[bytes, int]]:
        """Literals and their offsets: a long value has two, so that a half is found too."""
        size = len(self.data)
        places = [0] if size < 3 * PROBE else [size // 4, size * 3 // 4 - PROBE // 2]
        found = [(self.data[at : at + PROBE], at) for at in places]
        return [(literal, at) for literal, at in found if len(set(literal)) >= PROBE // 2]


def both_orders(value: Value) -> tuple[Value, Value]:
    """A little-endian value and its big-endian form."""
    reverse = Value(value.detector, value.kind, value.algorithm, value.key_id, "be", value.data[::-1])
    return value, reverse


def find(values: Iterable[Value], windows: Iterable[Window], engine: str) -> Iterator[Hit]:
    """Every copy of every value, whole or in part."""
    table: dict[bytes, list[tuple[Value, int]]] = {}
    for value in values:
        for literal, at in value.probes():
            table.setdefault(literal, []).append((value, at))
    literals = list(table)[: MOST_LITERALS.get(engine, 0)]
    if not literals:
        return
    looker = sieve.build(literals, engine)
    for window in windows:
        for index, place in looker.scan(window.data):
            if window.low <= place < window.high:
                for value, at in table[literals[index]]:
                    yield _hit(value, window, place, at)


def present(literals: Iterable[bytes], windows: Iterable[Window], engine: str) -> dict[bytes, int]:
    """Which literals occur at all, and where first."""
    wanted = list(dict.fromkeys(literals))[: MOST_LITERALS.get(engine, 0)]
    found: dict[bytes, int] = {}
    if not wanted:
        return found
    looker = sieve.build(wanted, engine)
    for window in windows:
        for index, place in looker.scan(window.data):
            found.setdefault(wanted[index], window.base + place)
    return found


def _hit(value: Value, window: Window, place: int, at: int) -> Hit:
    start = place - at
    low, high = max(0, start), min(len(window.data), start + len(value.data))
    whole = window.data[low:high] == value.data
    while not whole and low < place and window.data[low] != value.data[low - start]:
        low += 1
    while not whole and high > place + PROBE and window.data[high - 1] != value.data[high - 1 - start]:
        high -= 1
    kind = value.kind if whole else f"{value.kind}-part"
    return Hit(
        value.detector,
        kind,
        value.form,
        value.algorithm,
        Confidence.CONFIRMED,
        window.base + low,
        window.base + high,
        value.key_id,
    )
