"""`ledger prove --url` and `witness`: what others wrote is neither believed nor shown raw."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from authority_support.logs import Scribe, tokens
from sealwright.cli.main import main
from sealwright.errors import Misconfigured
from sealwright.ledger.receipts import render
from sealwright.wiring.witness import address
from sealwright.witness.signing import open_cosigners

LOG_ID = "abcdefghijklmnop"


class Saying(HTTPServer):
    """Answers everything with one body."""

    body, status = b"", 200


class _Handler(BaseHTTPRequestHandler):
    server: Saying

    def log_message(self, *_told: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)


@pytest.fixture
def server() -> Iterator[Saying]:
    made = Saying(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def genuine(index: int) -> str:
    scribe = Scribe()
    leaves, _ = tokens(1)
    return render(leaves[0], index, [], scribe.batch(leaves).checkpoint)


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    "body",
    [b"abc", b"\x1b[2J", b"[" * 50_000, b"", genuine(6).encode(), genuine(5).encode() + b"\x1b[2J"],
    ids=["text", "control", "brackets", "nothing", "another leaf", "control behind it"],
)  # fmt: skip
def test_an_answer_that_is_no_receipt_of_what_was_asked_is_not_handed_on(
    server: Saying, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    server.body = body
    url = f"http://127.0.0.1:{server.server_address[1]}"
    for asked in (["--jti", f"{LOG_ID}.5.AAAAAAAAAAAA"], ["--leaf", f"{LOG_ID}/5"]):
        assert main(["ledger", "prove", *asked, "--url", url]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert "\x1b" not in told.err
    server.status, server.body = 404, b"\x1b[2Jno"
    assert main(["ledger", "prove", "--leaf", f"{LOG_ID}/5", "--url", url]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.enable_socket
def test_a_receipt_of_what_was_asked_is_handed_on_as_it_is(
    server: Saying, capsys: pytest.CaptureFixture[str]
) -> None:
    server.body = genuine(5).encode()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    assert main(["ledger", "prove", "--jti", f"{LOG_ID}.5.AAAAAAAAAAAA", "--url", url]) == 0
    assert capsys.readouterr().out == server.body.decode()


def test_a_policy_that_is_none_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "policy.txt"
    file.write_text('{"payload": "\x1b[2J"}')
    asked = ["witness", "--state", str(tmp_path / "w"), "--name", "w.example", "--policy", str(file)]
    assert main(asked) == 2
    told = capsys.readouterr()
    assert "policy, line 1" in told.err
    assert "\x1b" not in told.err
    assert told.out == ""


@pytest.mark.parametrize("listen", ["foo", "h:99999", "h:0", ":1", "h:", "h:\u0665", "h:" + "9" * 5_000])
def test_an_address_that_is_none_is_refused_before_anything_is_made(
    tmp_path: Path, listen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["witness", "--state", str(tmp_path / "w"), "--name", "w", "--listen", listen]) == 2
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "w").exists()


def test_an_address_is_taken_apart() -> None:
    assert address("127.0.0.1:8430") == ("127.0.0.1", 8430)
    assert address("[::1]:1") == ("::1", 1)


def test_one_witness_key_has_one_name(tmp_path: Path) -> None:
    keys = [cosigner.vkey for cosigner in open_cosigners(tmp_path / "w", "one.example")]
    with pytest.raises(Misconfigured, match="witness_name"):
        open_cosigners(tmp_path / "w", "other.example")
    assert [cosigner.vkey for cosigner in open_cosigners(tmp_path / "w", "one.example")] == keys
