"""What a stranger types wrong, gives wrong or has no room for is one line and a status, never a traceback."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from sealwright_dumps import scanner
from sealwright_dumps.cli.main import main
from sealwright_dumps.corpus.keys import Keys, pkcs8
from sealwright_dumps.model import Status
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Settings


def scan(*words: str) -> int:
    return main(["scan", "--workers=1", "--quiet", *words])


@pytest.fixture
def core(tmp_path: Path) -> str:
    (tmp_path / "core").write_bytes(b"nothing here " * 100)
    return str(tmp_path / "core")


def test_a_scan_of_nothing_is_not_a_clean_one(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert scan(str(tmp_path / "empty")) == 3
    command = [sys.executable, "-m", "sealwright_dumps", "scan", "-", "--workers=1"]
    assert subprocess.run(command, stdin=subprocess.DEVNULL, check=False, capture_output=True).returncode == 3
    (tmp_path / "beside").write_text("something")
    assert scan(str(tmp_path)) == 0


def test_what_was_read_in_part_is_told_by_the_status_and_the_count(
    tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(pkcs8(keys.rsa, pem=True) * 50)[:-200])
    assert scan(str(cut), "--fail-on-finding") == 3
    assert ", 0 skipped" not in capsys.readouterr().out
    deep = pkcs8(keys.rsa, pem=True)
    for _ in range(6):
        deep = gzip.compress(deep)
    (tmp_path / "deep.gz").write_bytes(deep)
    assert scan(str(tmp_path / "deep.gz")) == 3


@pytest.mark.parametrize(
    "words",
    [
        ("--public-key", "/nonexistent"),
        ("--public-key", "/dev/zero"),
        ("--fingerprints", "/nonexistent"),
        ("--fingerprints", "/dev/zero"),
        ("--state", "/nonexistent/x"),
        ("--state", "."),
        ("--state", "/dev/null"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    core: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert scan(core, *words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [("--workers=0",), ("--workers=-3",), ("--workers=100000",), ("--json", "--sarif")]
)
def test_options_that_mean_nothing_are_refused(core: str, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["scan", core, *words])
    assert caught.value.code == 2


def test_a_file_that_is_no_journal_is_left_as_it_is(core: str, tmp_path: Path, keys: Keys) -> None:
    own = tmp_path / "key.pem"
    own.write_bytes(pkcs8(keys.ec, pem=True))
    before = own.read_bytes()
    assert scan(core, "--state", str(own)) == 4
    assert own.read_bytes() == before
    journal = tmp_path / "journal"
    assert [scan(core, "--state", str(journal)) for _ in range(2)] == [0, 0]


def test_no_room_for_the_report_is_one_line_and_a_failure(core: str) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("NO /dev/full: a full disk cannot be shown")
    command = [sys.executable, "-m", "sealwright_dumps", "scan", core, "--workers=1"]
    with full.open("wb") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 5
    assert b"Traceback" not in done.stderr
    assert b"No space left" in done.stderr


def test_a_name_that_the_terminal_cannot_show_is_escaped(tmp_path: Path, keys: Keys) -> None:
    (tmp_path / "\u00e4\u00fc").write_bytes(pkcs8(keys.ec, pem=True))
    command = [sys.executable, "-m", "sealwright_dumps", "scan", str(tmp_path), "--workers=1"]
    done = subprocess.run(command, capture_output=True, check=False, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert rb"\xe4\xfc" in done.stdout


def test_many_members_of_zeros_stop_at_a_bound_for_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanner, "LEAST_EXPANSION", 8 << 20)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}", bytes(2 << 20))
    (tmp_path / "nest.zip").write_bytes(made.getvalue())
    asked = replace(Settings(workers=1), largest_ratio=100)
    (report,) = Run(asked).scan([str(tmp_path / "nest.zip")]).objects
    assert report.status is Status.PARTIAL
    assert any("expansion-limit" in reason for reason in report.reasons)
    assert report.bytes_read < 16 << 20
