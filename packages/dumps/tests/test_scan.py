from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sealwright_dumps.cli.main import main
from sealwright_dumps.corpus.keys import Keys, pkcs8
from sealwright_dumps.model import ScanReport, Status
from sealwright_dumps.resume import journal
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Settings

ONE = Settings(workers=1, window=1 << 20)


def scan(*paths: Path, settings: Settings = ONE) -> ScanReport:
    return Run(settings).scan([str(path) for path in paths])


def test_a_key_over_a_window_boundary_is_found_once(tmp_path: Path, keys: Keys) -> None:
    blob = pkcs8(keys.rsa, pem=True)
    file = tmp_path / "raw"
    for place in (ONE.window - 5, ONE.window - len(blob) + 3, 2 * ONE.window - 800):
        data = bytearray(3 * ONE.window)
        data[place : place + len(blob)] = blob
        file.write_bytes(data)
        findings = [finding for _, finding in scan(file).findings]
        assert [(f.offset, f.kind) for f in findings] == [(place, "pem")]


def test_every_byte_is_accounted_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3_000_001)
    (tmp_path / "b").write_bytes(b"")
    report = scan(tmp_path)
    assert sum(item.bytes_read + item.bytes_skipped for item in report.objects) == 3_000_001
    assert all(item.status is Status.SCANNED for item in report.objects)


def test_a_file_split_over_worker_processes_gives_the_same_findings(tmp_path: Path, keys: Keys) -> None:
    data = bytearray(70 << 20)
    for place in (0, 9 << 20, (16 << 20) - 40, 69 << 20):
        blob = pkcs8(keys.ec, pem=True)
        data[place : place + len(blob)] = blob
    (tmp_path / "big").write_bytes(data)
    alone, together = (scan(tmp_path, settings=Settings(workers=n)) for n in (1, 2))
    assert alone.findings == together.findings
    assert len(alone.findings) == 4


def packed(name: str, inner: bytes) -> bytes:
    buffer = io.BytesIO()
    if name == "tar":
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            entry = tarfile.TarInfo("etc/one\nkey.pem")
            entry.size = len(inner)
            archive.addfile(entry, io.BytesIO(inner))
        return buffer.getvalue()
    if name == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("deep/key.pem", inner)
        return buffer.getvalue()
    if name == "zstd":
        zstandard = pytest.importorskip("zstandard", reason="the extra `fast` is not installed")
        compressed: bytes = zstandard.ZstdCompressor().compress(inner)
        return compressed
    makers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "bzip2": bz2.compress,
        "xz": lzma.compress,
    }
    return makers[name](inner)


@pytest.mark.parametrize(
    "layers",
    [("gzip",), ("bzip2",), ("xz",), ("zstd",), ("zip",), ("tar",), ("tar", "gzip"), ("tar", "zip", "xz")],
)
def test_a_key_in_an_archive_is_found_with_its_container(
    tmp_path: Path, keys: Keys, layers: tuple[str, ...]
) -> None:
    data = bytes(5_000_000) + pkcs8(keys.ec, pem=True) + bytes(2_000_000)
    for layer in layers:
        data = packed(layer, data)
    (tmp_path / "archive").write_bytes(data)
    report = scan(tmp_path)
    assert [(f.offset, len(f.container)) for _, f in report.findings] == [(5_000_000, len(layers))]
    assert "\n" not in report.findings[0][1].container[-1]
    assert report.objects[0].status is Status.SCANNED


def test_joined_gzip_members_are_all_read(tmp_path: Path, keys: Keys) -> None:
    data = gzip.compress(b"first " * 1000) + gzip.compress(pkcs8(keys.ec, pem=True))
    (tmp_path / "two.gz").write_bytes(data)
    assert [f.offset for _, f in scan(tmp_path).findings] == [6000]


@pytest.mark.parametrize("layer", ["gzip", "bzip2", "xz", "zstd", "zip", "tar"])
def test_a_damaged_archive_is_partial_with_a_reason(tmp_path: Path, layer: str) -> None:
    whole = packed(layer, os.urandom(300_000))
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    report = scan(tmp_path)
    assert report.objects[0].status is Status.PARTIAL
    assert report.objects[0].reasons


def test_a_compression_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    bomb = gzip.compress(gzip.compress(bytes(200 << 20)))
    (tmp_path / "bomb.gz").write_bytes(bomb)
    report = scan(tmp_path, settings=Settings(workers=1, largest_expansion=20 << 20))
    assert report.objects[0].status is Status.PARTIAL
    assert "expansion-limit" in report.objects[0].reasons[0]


def test_nesting_beyond_the_limit_is_partial(tmp_path: Path) -> None:
    data = b"x" * 100
    for _ in range(6):
        data = gzip.compress(data)
    (tmp_path / "deep.gz").write_bytes(data)
    report = scan(tmp_path)
    assert any("depth-limit" in reason for reason in report.objects[0].reasons)


def test_a_sparse_terabyte_costs_what_it_holds(tmp_path: Path, keys: Keys) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as out:
        out.truncate(1 << 40)
        out.seek(1 << 39)
        out.write(pkcs8(keys.ec, pem=True))
    item = scan(file).objects[0]
    assert [finding.offset for finding in item.findings] == [1 << 39]
    assert item.bytes_read < 10 << 20
    assert item.bytes_read + item.bytes_sparse == 1 << 40


def test_links_and_pipes_in_a_folder_are_not_followed_or_waited_for(tmp_path: Path, keys: Keys) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(pkcs8(keys.ec, pem=True))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    os.mkfifo(folder / "pipe")
    (folder / "real").write_bytes(b"nothing")
    assert [item.path for item in scan(folder).objects] == [str(folder / "real")]


def test_a_named_pipe_given_by_name_is_not_scannable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert scan(tmp_path / "pipe").objects[0].status is Status.NOT_SCANNABLE


def test_standard_input_is_scanned_as_it_comes(keys: Keys) -> None:
    data = bytes(20 << 20) + pkcs8(keys.rsa, pem=True) + bytes(100)
    done = subprocess.run(
        [sys.executable, "-m", "sealwright_dumps", "scan", "--json", "-"],
        input=data,
        capture_output=True,
        check=True,
    )
    body = json.loads(done.stdout)
    assert [(f["offset"], f["kind"]) for f in body["findings"]] == [(20 << 20, "pem")]
    assert body["bytes_read"] == len(data)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(["scan", "--workers", "1", *arguments])
    return status, capsys.readouterr().out


def test_the_exit_status_is_zero_with_findings_unless_asked(
    tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_bytes(pkcs8(keys.ec, pem=True))
    assert run(capsys, str(tmp_path))[0] == 0
    assert run(capsys, "--fail-on-finding", str(tmp_path))[0] == 1
    assert run(capsys, "--fail-on-finding", str(tmp_path / "absent"))[0] == 3


def test_no_output_holds_a_part_of_the_secret(
    tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    text = pkcs8(keys.rsa, pem=True)
    (tmp_path / "key").write_bytes(text)
    for form in ("--json", "--sarif", "--keys-only"):
        out = run(capsys, form, str(tmp_path))[1]
        assert not any(line.decode() in out for line in text.splitlines()[1:-1])
        assert "rsa-2048" in out


def test_json_is_an_object_with_findings_and_the_bytes(
    tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_bytes(b"x" * 10 + pkcs8(keys.ec, pem=True))
    body = json.loads(run(capsys, "--json", str(tmp_path))[1])
    assert body["bytes_read"] == (tmp_path / "key").stat().st_size
    assert body["bytes_skipped"] == 0
    assert body["findings"][0]["offset"] == 10
    assert body["engine"]


def test_sarif_names_a_rule_for_each_result(
    tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a key\n").write_bytes(pkcs8(keys.ec, pem=True))
    body: dict[str, Any] = json.loads(run(capsys, "--sarif", str(tmp_path))[1])
    result = body["runs"][0]["results"][0]
    assert result["ruleId"] in {rule["id"] for rule in body["runs"][0]["tool"]["driver"]["rules"]}
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert "\n" not in uri
    assert " " not in uri


def test_a_file_name_with_a_line_break_cannot_forge_a_line(
    tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x\nall clean").write_bytes(pkcs8(keys.ec, pem=True))
    out = run(capsys, str(tmp_path))[1]
    assert not any(line.startswith("all clean") for line in out.splitlines())


def test_an_interrupted_scan_goes_on_where_it_stopped(tmp_path: Path, keys: Keys) -> None:
    data = bytearray(70 << 20)
    blob = pkcs8(keys.ec, pem=True)
    for place in (100, 40 << 20):
        data[place : place + len(blob)] = blob
    file = tmp_path / "big"
    file.write_bytes(data)
    settings = Settings(workers=1)
    state = tmp_path / "state"
    with journal(state, settings) as keeper:
        first = Run(settings, state=keeper).scan([str(file)])
    lines = state.read_text().splitlines()
    state.write_text("\n".join(lines[:4]) + '\n{"window": "cut o')
    told: list[int] = []
    with journal(state, settings) as keeper:
        again = Run(settings, told.append, keeper).scan([str(file)])
    assert again.findings == first.findings
    assert blob[40:60] not in state.read_bytes()


def test_a_file_that_changed_since_is_scanned_again(tmp_path: Path, keys: Keys) -> None:
    file, state = tmp_path / "file", tmp_path / "state"
    file.write_bytes(b"clean" * 1000)
    with journal(state, ONE) as keeper:
        Run(ONE, state=keeper).scan([str(file)])
    file.write_bytes(pkcs8(keys.ec, pem=True))
    with journal(state, ONE) as keeper:
        assert len(Run(ONE, state=keeper).scan([str(file)]).findings) == 1
