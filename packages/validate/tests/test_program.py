"""The program: explains and checks, never shows a signature, and says by its exit status what it found."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sealwright_validate.__main__ import main
from sealwright_validate.clock import SYSTEM_CLOCK
from sealwright_validate.conformance.authority import Issued, ThrowawayAuthority
from sealwright_validate.conformance.server import Served

pytestmark = pytest.mark.enable_socket
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def made(served: tuple[Served, str], tmp_path: Path) -> tuple[ThrowawayAuthority, Issued, list[str]]:
    state, url = served
    authority = ThrowawayAuthority(SYSTEM_CLOCK.wall(), url)
    key = authority.make_key()
    state.roots, state.manifest = authority.roots, authority.served(life=600)
    root = tmp_path / "root.json"
    root.write_bytes(authority.roots[0])
    options = [
        "--sealwright",
        url,
        "--root",
        str(root),
        "--audience",
        "https://mail.example",
        "--realm",
        "enterprise",
    ]
    return authority, key, options


Made = tuple[ThrowawayAuthority, Issued, list[str]]


def test_a_good_token_is_accepted_and_its_signature_stays_unseen(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    authority, key, options = made
    token = authority.token(key)
    for command in ("check", "explain"):
        assert main([command, token, *options]) == 0
        shown = capsys.readouterr().out
        assert token.rpartition(".")[2] not in shown
        assert "refused" not in shown


def test_a_forgery_is_explained_by_the_step_that_refused_it(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    authority, key, options = made
    token = authority.token(key, aud="https://files.example")
    assert main(["explain", token, *options]) == 1
    shown = capsys.readouterr().out
    assert "refused      require audience" in shown
    assert "audience_not_allowed" in shown
    assert "not reached  require times" in shown
    assert token.rpartition(".")[2] not in shown
    assert main(["check", token, *options]) == 1
    assert "refused: audience_not_allowed" in capsys.readouterr().out


def test_the_token_may_come_from_standard_input(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    authority, key, options = made
    monkeypatch.setattr("sys.stdin", io.StringIO(authority.token(key) + "\n"))
    assert main(["check", *options]) == 0


def test_a_reader_that_goes_away_is_no_fault(made: Made) -> None:
    authority, key, options = made
    command = [sys.executable, "-m", "sealwright_validate", "explain", authority.token(key), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 141


def test_without_keys_there_is_no_verdict(served: tuple[Served, str], made: Made) -> None:
    authority, key, options = made
    served[0].down = True
    assert main(["explain", authority.token(key), *options]) == 3


def test_a_sealwright_without_a_root_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "x", "--sealwright", "http://127.0.0.1:1", "--audience", "a"]) == 2
    assert "--root" in capsys.readouterr().err
