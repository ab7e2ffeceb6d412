from __future__ import annotations

import os
import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwright_dumps.corpus import build, mldsa
from sealwright_dumps.corpus.build import Site
from sealwright_dumps.corpus.keys import Keys, pkcs8
from sealwright_dumps.detectors import aes, words
from sealwright_dumps.detectors.memory import Memory
from sealwright_dumps.detectors.words import Kind, StdlibWords
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Settings

numpy = pytest.importorskip("numpy", reason="the engines are compared when the extra `fast` is installed")


def both(data: bytes, shift: int = 0) -> tuple[list[words.Spot], list[words.Spot]]:
    return sorted(words.NumpyWords().spots(data, shift)), sorted(StdlibWords().spots(data, shift))


def test_both_engines_give_the_same_spots_on_keys_among_random_words(keys: Keys) -> None:
    heap, _ = build.bignum_heap(keys, build.HEAP)
    schedule = aes.expand(os.urandom(32))
    _, polynomials = mldsa.secret(os.urandom(32), "ml-dsa-44")
    data = heap + os.urandom(words.BLOCK) + schedule + os.urandom(720) + mldsa.packed(polynomials, 2) + heap
    first, second = both(data)
    assert first == second
    assert {kind for kind, _, _ in first} >= {Kind.BIGNUM, Kind.AES, Kind.PACKED2}


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.one_of(
            st.integers(0, 200),
            st.sampled_from([0x31, 0x91, 0x100000010, 0x1000000010, 1 << 40]),
            st.integers(0, 2**64 - 1),
        ),
        min_size=4,
        max_size=400,
    ),
    st.integers(0, 7),
)
def test_both_engines_give_the_same_spots_on_any_words(values: list[int], shift: int) -> None:
    data = bytes(shift) + b"".join(value.to_bytes(8, "little") for value in values)
    first, second = both(data, shift)
    assert first == second


@pytest.mark.parametrize("engine", ["numpy", "stdlib"])
@pytest.mark.parametrize("size", [16, 24, 32])
def test_a_schedule_over_a_block_boundary_is_proved(engine: str, size: int) -> None:
    data = bytearray(3 * words.BLOCK)
    schedule = aes.expand(os.urandom(size))
    at = words.BLOCK - 100
    data[at : at + len(schedule)] = schedule
    found = Memory(engine).search(bytes(data), 0, len(data), (0,))
    assert [(hit.start, hit.end, hit.algorithm) for hit in found.hits] == [
        (at, at + len(schedule), f"aes-{8 * size}")
    ]


def test_a_schedule_with_one_changed_bit_is_not_reported() -> None:
    schedule = bytearray(aes.expand(os.urandom(32)))
    schedule[-1] ^= 1
    assert Memory().search(bytes(64) + bytes(schedule) + bytes(64), 0, 400, (0,)).hits == []


def test_the_schedule_of_fips_197_is_made() -> None:
    made = aes.expand(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"))
    assert made[-16:].hex() == "d014f9a8c9ee2589e13f0cc8b6630ca6"
    made = aes.expand(bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"))
    assert made[-16:].hex() == "fe4890d1e6188d0b046df344706c631e"


@pytest.mark.parametrize("filler", [b"12345678", b"\x01\x02\x03\x04", b"\x11", bytes(8)])
def test_small_regular_numbers_are_no_lattice_key(filler: bytes) -> None:
    data = (filler * 4000)[:16000]
    assert Memory().search(data, 0, len(data), (0,)).hits == []


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 12)), min_size=1, max_size=30),
    st.integers(0, 7),
    st.sampled_from([32, 64]),
)
def test_both_engines_give_the_same_islands(runs: list[tuple[bool, int]], shift: int, least: int) -> None:
    words_of = {True: (1 << 63) + 5, False: 0x7F0000001000}
    data = bytes(shift) + b"".join(words_of[large].to_bytes(8, "little") * count for large, count in runs)
    expected = list(StdlibWords().islands(data, shift, least))
    assert list(words.NumpyWords().islands(data, shift, least)) == expected


@pytest.mark.parametrize("engine", ["numpy", "stdlib"])
@pytest.mark.parametrize("ordinary", [(), (0,), (1,), (7,), (14,), (3, 9), (0, 5), (0, 5, 11)])
@pytest.mark.parametrize("before", [0, 3])
def test_a_prime_is_seen_though_some_of_its_words_look_like_addresses(
    engine: str, ordinary: tuple[int, ...], before: int
) -> None:
    """One random word in 65,536 has no high bits: without this one prime in 4,096 was missed."""
    source = random.Random(7)  # the same number each time; that it is a prime matters to nobody here
    limbs = [source.getrandbits(64) | 3 << 62 | 1 for _ in range(16)]
    for place in ordinary:
        limbs[place] = limbs[place] & (1 << 48) - 1 | 1
    prime = b"".join(limb.to_bytes(8, "little") for limb in limbs)
    other = source.getrandbits(1024) | 3 << 1022 | 1
    modulus = int.from_bytes(prime, "little") * other
    noise = b"".join((source.getrandbits(64) | 1 << 63).to_bytes(8, "little") for _ in range(before))
    data = bytes(4096) + noise + prime + (0x7F0012340000).to_bytes(8, "little") * 8 + bytes(4096)
    found = Memory(engine, (modulus,)).search(data, 0, len(data), (0,))
    assert [clue.offset for clue in found.clues if clue.kind == "prime"][:1] == [4096 + len(noise)]


def test_a_prime_anchored_by_nothing_is_found_when_asked_exhaustively(tmp_path: Path, site: Site) -> None:
    _, public_keys = site.write_knowledge(tmp_path)
    prime = site.keys.rsa.private_numbers().q.to_bytes(128, "little")
    file = tmp_path / "dump"
    file.write_bytes(bytes(4104) + (0x7F0012340000).to_bytes(8, "little") * 3 + prime + bytes(4100))
    for exhaustive in (False, True):
        asked = Settings(workers=1, public_keys=public_keys, exhaustive=exhaustive)
        kinds = {finding.kind for _, finding in Run(asked).scan([str(file)]).findings}
        assert ("rsa-p" in kinds or "rsa-q" in kinds) is exhaustive


def test_a_key_in_a_bare_zlib_stream_is_found_when_asked_exhaustively(tmp_path: Path, keys: Keys) -> None:
    file = tmp_path / "dump"
    text = os.urandom(500).hex().encode() + pkcs8(keys.rsa, pem=True)
    file.write_bytes(bytes(100) + zlib.compress(text) + bytes(100))
    assert [
        len(Run(Settings(workers=1, exhaustive=exhaustive)).scan([str(file)]).findings)
        for exhaustive in (False, True)
    ] == [0, 1]
