from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwright_dumps import sieve
from sealwright_dumps.errors import Misconfigured


def naive(literals: list[bytes], data: bytes) -> list[tuple[int, int]]:
    spots = [
        (index, at)
        for at in range(len(data))
        for index, literal in enumerate(literals)
        if data.startswith(literal, at)
    ]
    return sorted(spots, key=lambda spot: (spot[1], spot[0]))


@pytest.mark.parametrize("engine", sieve.available())
@settings(deadline=None, max_examples=60)
@given(
    literals=st.lists(st.binary(min_size=3, max_size=9), min_size=1, max_size=12, unique=True),
    pieces=st.lists(st.one_of(st.integers(0, 11), st.binary(max_size=20)), max_size=30),
)
def test_every_engine_finds_exactly_what_a_naive_search_finds(
    engine: str, literals: list[bytes], pieces: list[int | bytes]
) -> None:
    data = b"".join(literals[p % len(literals)] if isinstance(p, int) else p for p in pieces)
    assert sieve.build(literals, engine).scan(data) == naive(literals, data)


@pytest.mark.parametrize("engine", sieve.available())
def test_a_literal_over_an_inner_block_boundary_is_found(engine: str) -> None:
    data = bytearray(3 * sieve.BLOCK)
    places = [sieve.BLOCK - 5, 2 * sieve.BLOCK - 2, len(data) - 5]
    for place in places:
        data[place : place + 5] = b"KEY\x01\x02"
    assert sieve.build([b"KEY\x01\x02"], engine).scan(bytes(data)) == [(0, place) for place in places]


@pytest.mark.parametrize("engine", sieve.available())
@pytest.mark.parametrize(
    "literal", [b"KEY\x01\x02", b"\0K\0E\0Y", b"K\0E\0Y\0", b"\0" * 5 + b"K", b"K" + b"\0" * 5]
)
@pytest.mark.parametrize("gap", range(-6, 2))
def test_a_literal_beside_pages_of_zeros_is_found_once(engine: str, literal: bytes, gap: int) -> None:
    data = bytearray(12 * sieve.PAGE + 7)
    places = [3 * sieve.PAGE + gap, 4 * sieve.PAGE + gap, 9 * sieve.PAGE + gap]
    for place in places:
        data[place : place + len(literal)] = literal
    assert sieve.build([literal], engine).scan(bytes(data)) == [(0, place) for place in places]


@pytest.mark.parametrize("engine", sieve.available())
def test_a_literal_of_zeros_is_found_everywhere_in_pages_of_zeros(engine: str) -> None:
    literals = [b"\0\0\0", b"KEY"]
    spots = sieve.build(literals, engine).scan(bytes(2 * sieve.PAGE) + b"KEY")
    assert spots == [*((0, place) for place in range(2 * sieve.PAGE - 2)), (1, 2 * sieve.PAGE)]


@pytest.mark.parametrize("engine", sieve.available())
def test_engines_agree_on_a_thousand_literals(engine: str) -> None:
    source = random.Random(5)  # the same bytes each time
    literals = [source.randbytes(source.randrange(3, 10)) for _ in range(1000)]
    data = source.randbytes(200_000) + b"".join(literals) + bytes(5000)
    expected = sieve.build(literals, "stdlib").scan(data)
    assert sieve.build(literals, engine).scan(data) == expected
    assert len(expected) >= 1000


def test_a_literal_of_two_bytes_is_a_misconfiguration() -> None:
    with pytest.raises(Misconfigured):
        sieve.build([b"ab"])


def test_an_engine_that_is_not_installed_is_a_misconfiguration() -> None:
    with pytest.raises(Misconfigured):
        sieve.build([b"abc"], "no-such-engine")
