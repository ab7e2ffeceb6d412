from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sealwright_dumps.corpus import build, containers
from sealwright_dumps.corpus.build import Site
from sealwright_dumps.corpus.containers import Region
from sealwright_dumps.corpus.keys import Keys
from sealwright_dumps.corpus.plants import plants
from sealwright_dumps.errors import DumpsError, Refused, Unavailable
from sealwright_dumps.formats import elf_core, minidump
from sealwright_dumps.redact import service
from sealwright_dumps.redact.keep import DEFACED
from sealwright_dumps.redact.service import Policy, manifest_path
from sealwright_dumps.scanner import Settings
from sealwright_dumps.source import FileSource

QUICK = Policy(Settings(workers=1))
STACK = 0x7FFC00000000
CODE = 0x400000


def redact(data: bytes, folder: Path, policy: Policy = QUICK) -> bytes:
    source_path, target = folder / "in", folder / "out"
    source_path.write_bytes(data)
    source = FileSource(source_path)
    try:
        service.redact(source, target, policy)
    finally:
        source.close()
    return target.read_bytes()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "in")


def small_core(stack: bytes, *, vectors: bytes = b"", registers: dict[int, int] | None = None) -> bytes:
    general = [0] * 27
    general[16], general[19], general[4] = CODE + 0x123, STACK + 256, STACK + 512
    for place, value in (registers or {}).items():
        general[place] = value
    notes = containers.note(1, containers.status(general))
    notes += containers.note(0x202, containers.xstate([vectors] if vectors else []), b"LINUX\x00")
    notes += containers.note(
        3, bytes(40) + b"signer".ljust(16, b"\x00") + b"--password=hunter2hunter2".ljust(80, b"\x00")
    )
    regions = [Region(STACK, stack.ljust(8192, b"\x00")), Region(CODE, b"", flags=5)]
    return containers.elf_core(regions, notes).replace(bytes(0), b"")


def with_code(data: bytes) -> bytes:
    """The code segment has a size in memory and none in the file, as the kernel writes it."""
    core = elf_core.parse(lambda at, n: data[at : at + n], len(data))
    header = next(h for h in core.headers if h.address == CODE)
    return data[: header.at + 40] + struct.pack("<Q", 0x10000) + data[header.at + 48 :]


def test_nothing_of_any_plant_is_left(tmp_path: Path, site: Site, knowing: Settings, keys: Keys) -> None:
    planted = build.core(site, keys)
    out = redact(planted.data, tmp_path, Policy(knowing))
    for plant in plants(site.keys):
        if plant.name.startswith(("java", "aws key id")):  # made of fresh random bytes each time
            continue
        raw = plant.data
        pieces = [raw[at : at + 16] for at in range(0, len(raw) - 16, 16)] or [raw]
        assert not any(len(set(piece)) > 8 and piece in out for piece in pieces), plant.name
    assert len(out) == len(planted.data)


def test_the_structure_opens_in_an_independent_reader(tmp_path: Path, site: Site, keys: Keys) -> None:
    elffile = pytest.importorskip("elftools.elf.elffile", reason="pyelftools is not installed")
    planted = build.core(site, keys)
    redact(planted.data, tmp_path)
    with (tmp_path / "out").open("rb") as file:
        opened = elffile.ELFFile(file)
        segments = [(s["p_type"], s["p_vaddr"], s["p_filesz"]) for s in opened.iter_segments()]
        notes = [
            note["n_type"]
            for s in opened.iter_segments()
            if s["p_type"] == "PT_NOTE"
            for note in s.iter_notes()
        ]
    with (tmp_path / "in").open("rb") as file:
        assert segments == [
            (s["p_type"], s["p_vaddr"], s["p_filesz"]) for s in elffile.ELFFile(file).iter_segments()
        ]
    assert "NT_PRSTATUS" in notes


def test_registers_keep_only_where_the_thread_stood(tmp_path: Path) -> None:
    secret = os.urandom(32)
    limbs = {place: int.from_bytes(secret[:8], "little") for place in (0, 5, 10, 13)}
    out = redact(with_code(small_core(b"", vectors=secret, registers=limbs)), tmp_path)
    assert secret[:8] not in out
    assert secret[:16] not in out
    core = elf_core.parse(lambda at, n: out[at : at + n], len(out))
    status = next(n for n in elf_core.notes(core, lambda at, n: out[at : at + n]) if n.kind == 1)
    values = struct.unpack_from("<27Q", out, status.offset + 112)
    assert {place for place, value in enumerate(values) if value} == {4, 16, 19}


def test_a_stack_keeps_addresses_and_small_numbers_only(tmp_path: Path) -> None:
    words = [7, STACK + 300, CODE + 0x456, 0x7F0012345678, int.from_bytes(os.urandom(8), "little") | 1 << 63]
    stack = bytes(256) + struct.pack("<5Q", *words)
    out = redact(with_code(small_core(stack)), tmp_path)
    core = elf_core.parse(lambda at, n: out[at : at + n], len(out))
    header = next(h for h in core.headers if h.address == STACK)
    kept = struct.unpack_from("<5Q", out, header.offset + 256)
    assert kept == (7, STACK + 300, CODE + 0x456, DEFACED, DEFACED)


def test_what_lies_below_the_stack_pointer_is_gone(tmp_path: Path) -> None:
    stack = struct.pack("<4Q", *[CODE + 8] * 4) + bytes(224) + struct.pack("<Q", CODE + 16)
    out = redact(with_code(small_core(stack)), tmp_path)
    assert out.count(struct.pack("<Q", CODE + 8)) == 0
    assert out.count(struct.pack("<Q", CODE + 16)) == 1


def test_arguments_are_gone_and_the_name_is_kept(tmp_path: Path) -> None:
    out = redact(with_code(small_core(b"")), tmp_path)
    assert b"hunter2" not in out
    assert b"signer" in out


def test_a_minidump_is_redacted_and_still_opens(tmp_path: Path, site: Site, knowing: Settings) -> None:
    planted = build.minidump(site)
    out = redact(planted.data, tmp_path, Policy(knowing))
    scalar = site.keys.ec.private_numbers().private_value.to_bytes(32, "little")
    assert scalar in planted.data
    assert scalar not in out
    layout = minidump.layout(lambda at, n: out[at : at + n], len(out))
    assert len(layout.memory) == 2


def test_the_manifest_tells_digests_and_counts(
    tmp_path: Path, site: Site, knowing: Settings, keys: Keys
) -> None:
    import hashlib

    planted = build.core(site, keys)
    out = redact(planted.data, tmp_path, Policy(knowing, canaries=("key-ec",)))
    body: dict[str, Any] = json.loads(manifest_path(tmp_path / "out").read_text())
    assert body["input"]["sha256"] == hashlib.sha256(planted.data).hexdigest()
    assert body["output"] == {"sha256": hashlib.sha256(out).hexdigest(), "size": len(out)}
    assert sum(body["found_in_input"].values()) > 40
    assert body["canaries"] == ["key-ec"]


def refusal(data: bytes, folder: Path, policy: Policy = QUICK) -> str:
    with pytest.raises(DumpsError) as caught:
        redact(data, folder, policy)
    assert leftovers(folder) == []
    return caught.value.code


def test_a_canary_that_is_not_found_means_blind(
    tmp_path: Path, site: Site, knowing: Settings, keys: Keys
) -> None:
    policy = Policy(knowing, canaries=("key-that-is-not-there",))
    assert refusal(build.core(site, keys).data, tmp_path, policy) == "blind"


def test_a_first_detector_that_misses_its_planted_key_means_blind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sealwright_dumps.inspect import Inspector

    monkeypatch.setattr(Inspector, "inspect", lambda *_args, **_kwargs: [])
    assert refusal(small_core(b""), tmp_path) == "blind"


def test_a_second_detector_that_misses_its_planted_secret_means_blind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"clean": True, "bytes": 1, "sha256": "", "findings": [], "version": "x"}
    monkeypatch.setattr(service, "ask", lambda *_args: answer)
    assert refusal(small_core(b""), tmp_path) == "blind"


def test_a_redactor_that_keeps_too_much_is_stopped_by_the_second_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sealwright_dumps.redact import elf

    monkeypatch.setattr(elf, "stack_words", lambda data, _stack, _code: data)
    stack = bytes(300) + os.urandom(32)
    assert refusal(small_core(stack), tmp_path) == "found-in-output"


@pytest.mark.parametrize("size", [0, 1, 63, 64, 300, 5000])
def test_a_truncated_core_is_refused(tmp_path: Path, size: int) -> None:
    assert refusal(small_core(b"x" * 8192)[:size], tmp_path) in {
        "not-scannable",
        "not-redactable",
        "scanned-nothing",
    }


@pytest.mark.parametrize("data", [b"text\n" * 100, b"\x9b\x07" * 2500, b"\x1f\x8b\x08" + bytes(100)])
def test_what_is_no_dump_is_refused(tmp_path: Path, data: bytes) -> None:
    assert refusal(data, tmp_path) in {"not-redactable", "not-scannable"}


def test_a_dump_larger_than_the_policy_allows_is_refused(tmp_path: Path) -> None:
    assert refusal(small_core(b""), tmp_path, replace(QUICK, largest=1000)) == "too-large"


def test_an_existing_output_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"precious")
    with pytest.raises(Refused) as caught:
        redact(small_core(b""), tmp_path)
    assert caught.value.code == "output-exists"
    assert (tmp_path / "out").read_bytes() == b"precious"


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = FileSource.read

    def read(self: FileSource, offset: int, length: int) -> bytes:
        data = original(self, offset, length)
        if self.path == tmp_path / "in":
            with (tmp_path / "in").open("r+b") as file:
                file.seek(100)
                file.write(b"changed")
        return data

    monkeypatch.setattr(FileSource, "read", read)
    assert refusal(small_core(b""), tmp_path) == "changed-while-read"


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    (tmp_path / "in").write_bytes(small_core(b""))
    source = FileSource(tmp_path / "in")
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(Unavailable):
            service.redact(source, tmp_path / "out", QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        source.close()
    assert leftovers(tmp_path) == []


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_nothing_or_all(tmp_path: Path, site: Site, keys: Keys) -> None:
    (tmp_path / "in").write_bytes(build.core(site, keys).data)
    command = [sys.executable, "-m", "sealwright_dumps", "redact", "--workers", "1", "in", "out"]
    began = time.monotonic()
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    whole = time.monotonic() - began
    for path in tmp_path.glob("out*"):
        path.unlink()
    for step in range(12):
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(whole * (step + 0.5) / 12)
        process.kill()
        process.wait()
        # the manifest may stand alone for an instant; a dump never stands without its manifest
        assert "out" not in leftovers(tmp_path) or leftovers(tmp_path) == ["out", "out.manifest.json"]
        for path in tmp_path.glob("out*"):
            path.unlink()


@pytest.mark.slow
def test_a_debugger_prints_the_same_stack_from_the_redacted_core(tmp_path: Path) -> None:
    if shutil.which("gdb") is None or shutil.which("gcore") is None:
        pytest.skip("gdb is not installed")
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        time.sleep(0.5)
        subprocess.run(
            ["gcore", "-o", str(tmp_path / "core"), str(process.pid)], check=True, capture_output=True
        )
    finally:
        process.kill()
        process.wait()
    core = next(tmp_path.glob("core.*"))
    source = FileSource(core)
    service.redact(source, tmp_path / "out", QUICK)
    source.close()
    before, after = (frames(path) for path in (core, tmp_path / "out"))
    assert len(before) > 5
    assert before == after


def frames(core: Path) -> list[str]:
    program = os.path.realpath(sys.executable)
    command = ["gdb", "-nx", "-batch", "-ex", "bt", program, str(core)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("#")]
    return [line.split(" (")[0] for line in dict.fromkeys(lines)]
