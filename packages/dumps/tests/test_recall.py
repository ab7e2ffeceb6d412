from __future__ import annotations

import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sealwright_dumps import sieve
from sealwright_dumps.corpus import build, containers
from sealwright_dumps.corpus.build import Planted, Site
from sealwright_dumps.corpus.keys import Keys
from sealwright_dumps.layout import Format
from sealwright_dumps.model import ObjectReport, Status
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Settings


def scanned(folder: Path, data: bytes, settings: Settings) -> ObjectReport:
    file = folder / "dump"
    file.write_bytes(data)
    return Run(settings).scan([str(file)]).objects[0]


def require_perfect(planted: Planted, report: ObjectReport) -> None:
    assert [place.name for place in build.missed(planted.places, report.findings)] == []
    assert build.strays(planted.places, report.findings) == []
    assert report.status is Status.SCANNED


def test_there_are_more_than_the_forty_three_kinds_of_the_aim(site: Site) -> None:
    assert len({place.name for place in build.raw(site).places}) >= 43


@pytest.mark.parametrize("engine", sieve.available())
def test_every_plant_in_a_raw_image_is_found_with_every_engine(
    tmp_path: Path, site: Site, knowing: Settings, engine: str
) -> None:
    planted = build.raw(site)
    require_perfect(planted, scanned(tmp_path, planted.data, replace(knowing, engine=engine)))


@pytest.mark.parametrize("filler", [b"\xff", b"lorem ipsum dolor sit amet, ", b"\x01\x00\x00\x00"])
def test_what_surrounds_a_plant_does_not_hide_it(
    tmp_path: Path, site: Site, knowing: Settings, filler: bytes
) -> None:
    planted = build.raw(site, filler)
    require_perfect(planted, scanned(tmp_path, planted.data, knowing))


def test_random_surroundings_do_not_hide_plants(tmp_path: Path, site: Site, knowing: Settings) -> None:
    planted = build.raw(site, os.urandom(build.SPACING))
    require_perfect(planted, scanned(tmp_path, planted.data, knowing))


def test_every_plant_in_a_core_is_found_and_has_a_segment(
    tmp_path: Path, site: Site, knowing: Settings, keys: Keys
) -> None:
    planted = build.core(site, keys)
    report = scanned(tmp_path, planted.data, knowing)
    require_perfect(planted, report)
    assert report.format == Format.ELF_CORE
    assert all(finding.segment for finding in report.findings)
    assert any(finding.form.endswith("/registers") for finding in report.findings)


@pytest.mark.parametrize("wide", [True, False])
def test_every_plant_in_a_minidump_is_found(
    tmp_path: Path, site: Site, knowing: Settings, wide: bool
) -> None:
    planted = build.minidump(site, wide=wide)
    report = scanned(tmp_path, planted.data, knowing)
    require_perfect(planted, report)
    assert report.format == Format.MINIDUMP


def test_a_compressed_core_is_followed_as_an_open_one_is(
    tmp_path: Path, site: Site, knowing: Settings, keys: Keys
) -> None:
    planted = build.core(site, keys)
    report = scanned(tmp_path, gzip.compress(planted.data, 1), replace(knowing, window=1 << 20))
    require_perfect(planted, report)


def test_small_windows_find_the_same(tmp_path: Path, site: Site, knowing: Settings, keys: Keys) -> None:
    planted = build.core(site, keys)
    require_perfect(planted, scanned(tmp_path, planted.data, replace(knowing, window=256 << 10)))


def test_a_core_whose_words_are_not_aligned_in_the_file_is_followed(
    tmp_path: Path, keys: Keys, site: Site
) -> None:
    heap, places = build.bignum_heap(keys, build.HEAP)
    data = containers.elf_core([containers.Region(build.HEAP, heap)], b"")
    at = data.find(heap)
    moved = bytearray(data[:at] + bytes(4) + data[at:])
    moved[64 + 56 + 8 : 64 + 56 + 16] = (at + 4).to_bytes(8, "little")
    report = scanned(tmp_path, bytes(moved), Settings(workers=1))
    assert {f.kind for f in report.findings} >= {"rsa-p", "rsa-q", "rsa-d", "rsa-dp"}
    assert len(places) == 4


def test_without_knowledge_nothing_is_invented_in_random_data(tmp_path: Path) -> None:
    report = scanned(tmp_path, os.urandom(24 << 20), Settings(workers=1))
    assert report.findings == ()
