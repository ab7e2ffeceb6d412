"""Whatever a file holds, the answer is a verdict: never a traceback, never silence."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwright_dumps.access import StreamAccess
from sealwright_dumps.corpus import containers
from sealwright_dumps.corpus.containers import Region
from sealwright_dumps.errors import DumpsError, Malformed
from sealwright_dumps.examine import Examiner
from sealwright_dumps.formats import archive, elf_core, minidump
from sealwright_dumps.model import Status
from sealwright_dumps.redact import service
from sealwright_dumps.redact.service import Policy
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Scanner, Settings
from sealwright_dumps.source import FileSource

EXAMINER = Examiner(Scanner(Settings(workers=1, window=1 << 18)))
NOTES = containers.note(1, containers.status([1] * 27)) + containers.note(6, bytes(64))
CORE = containers.elf_core([Region(0x10000, b"stack" * 100), Region(0x20000, b"heap" * 99)], NOTES)
DUMP = containers.minidump([Region(0x10000, b"stack" * 100)], [bytes(1232)])


def reader(data: bytes) -> elf_core.Read:
    return lambda offset, length: data[offset : offset + length] if offset >= 0 else b""


def mutated(data: bytes, source: random.Random) -> bytes:
    raw = bytearray(data)
    for _ in range(source.randrange(1, 9)):
        at = source.randrange(min(len(raw), 1200))
        size = source.choice((1, 2, 4, 8))
        value = source.choice(
            (0, 1, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63), (1 << 64) - 1, source.getrandbits(64))
        )
        raw[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    return bytes(raw[: source.randrange(len(raw)) if source.random() < 0.2 else len(raw)])


@settings(deadline=None, max_examples=400)
@given(st.integers(0, 2**64))
def test_a_mutated_core_is_a_layout_or_malformed(seed: int) -> None:
    data = mutated(CORE, random.Random(seed))  # repeatable
    try:
        layout = elf_core.layout(reader(data), len(data))
    except Malformed:
        return
    assert all(0 <= s.offset <= s.offset + s.size <= len(data) for s in layout.segments)


@settings(deadline=None, max_examples=400)
@given(st.integers(0, 2**64))
def test_a_mutated_minidump_is_a_layout_or_malformed(seed: int) -> None:
    data = mutated(DUMP, random.Random(seed))  # repeatable
    try:
        layout = minidump.layout(reader(data), len(data))
    except Malformed:
        return
    assert all(0 <= s.offset <= s.offset + s.size <= len(data) for s in layout.segments)


def archives() -> dict[str, bytes]:
    plain, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        entry = tarfile.TarInfo("member")
        entry.size = 700
        tar.addfile(entry, io.BytesIO(bytes(700)))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("member", b"content " * 100)
    return {"tar": plain.getvalue(), "zip": packed.getvalue(), "gzip": gzip.compress(b"content " * 100)}


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**64), st.sampled_from(["tar", "zip", "gzip", "core", "dump"]))
def test_examining_anything_mutated_ends_in_a_report(seed: int, kind: str) -> None:
    whole = archives() | {"core": CORE, "dump": DUMP}
    data = mutated(whole[kind], random.Random(seed))  # repeatable
    report = EXAMINER.stream("x", StreamAccess(lambda: iter([data]), 1 << 18))
    assert report.bytes_read >= len(data)


@settings(deadline=None, max_examples=150)
@given(
    st.binary(max_size=3000),
    st.sampled_from([m for _, m, _ in archive.MAGIC] + [b"\x7fELF\x02\x01", b"MDMP\x93\xa7"]),
)
def test_a_magic_number_before_rubbish_ends_in_a_report(rubbish: bytes, magic: bytes) -> None:
    report = EXAMINER.stream("x", StreamAccess(lambda: iter([magic + rubbish]), 1 << 18))
    assert report.status in set(Status)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**64))
def test_redacting_anything_mutated_leaves_all_or_nothing(seed: int) -> None:
    import tempfile

    data = mutated(CORE, random.Random(seed))  # repeatable
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").write_bytes(data)
        source = FileSource(folder / "in")
        try:
            out = service.redact(source, folder / "out", Policy(Settings(workers=1, credentials=False)))
            assert (folder / "out").stat().st_size == out.manifest["output"]["size"]
        except DumpsError:
            assert sorted(path.name for path in folder.iterdir()) == ["in"]
        finally:
            source.close()


def header(count: int, table: int = 64, entry: int = 56) -> bytes:
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    return ident + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, table, 0, 0, 64, entry, count, 0, 0, 0)


@pytest.mark.parametrize(
    "data",
    [
        header(65535) + bytes(100),
        header(1, table=1 << 63) + bytes(100),
        header(3, entry=1) + bytes(200),
        header(1) + struct.pack("<IIQQQQQQ", 4, 0, 1 << 62, 0, 0, 1 << 62, 0, 1),
        header(1) + struct.pack("<IIQQQQQQ", 4, 0, 120, 0, 0, 1 << 30, 0, 1) + bytes(50),
        header(1) + struct.pack("<IIQQQQQQ", 1, 6, 120, (1 << 64) - 4096, 0, 8192, 8192, 1) + bytes(8192),
        header(1) + struct.pack("<IIQQQQQQ", 1, 6, (1 << 64) - 1, 0, 0, 8192, 8192, 1) + bytes(50),
        header(0),
        b"\x7fELF",
        b"MDMP\x93\xa7" + b"\xff" * 200,
    ],
)
def test_a_hostile_header_is_a_reason_and_not_releasable(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "dump"
    file.write_bytes(data)
    report = Run(Settings(workers=1)).scan([str(file)]).objects[0]
    assert report.status is not Status.SCANNED
    assert report.reasons
    source = FileSource(file)
    with pytest.raises(DumpsError):
        service.redact(source, tmp_path / "out", Policy(Settings(workers=1)))
    source.close()
    assert [path.name for path in tmp_path.iterdir()] == ["dump"]


def test_a_note_that_claims_a_huge_name_or_size_is_malformed() -> None:
    for name, size in ((1 << 31, 4), (5, 1 << 31), (5, (1 << 32) - 1)):
        raw = struct.pack("<III", name, size, 1) + bytes(64)
        table = struct.pack("<IIQQQQQQ", 4, 0, 120, 0, 0, len(raw), 0, 1)
        data = header(1) + table + raw
        core = elf_core.parse(reader(data), len(data))
        with pytest.raises(Malformed):
            elf_core.notes(core, reader(data))


@pytest.mark.slow
def test_memory_stays_bounded_on_a_large_input(tmp_path: Path) -> None:
    import subprocess
    import sys

    file = tmp_path / "large"
    with file.open("wb") as out:
        for _ in range(40):
            out.write(os.urandom(1 << 20) * 16)
    code = (
        "import re, sys\n"
        "from sealwright_dumps.run import Run\n"
        "from sealwright_dumps.scanner import Settings\n"
        "Run(Settings(workers=1)).scan([sys.argv[1]])\n"
        # not ru_maxrss: that begins with what the parent had when it started this process
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read()).group(1))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, check=True, text=True)
    assert int(done.stdout) < 300 * 1024
