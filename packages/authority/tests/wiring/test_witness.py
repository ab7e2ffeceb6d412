"""Authority, witness and monitor as the programs that they are, each told only what it needs."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from authority_support.witnesses import vkey_of_nobody
from sealwright.cli.main import main
from sealwright.config.model import WitnessConfig
from sealwright.drills.sandbox import Sandbox
from sealwright.witness.signing import open_cosigners
from sealwright_validate import Expect, Presented, Reason, Refused, Trust, Validator
from sealwright_validate.encoding import decode_base64url
from sealwright_validate.keyset import LogKey
from sealwright_validate.note import open_checkpoint
from sealwright_validate.witnesses import WitnessPolicy
from signer_support.ports import reserved_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.enable_socket,
    pytest.mark.xdist_group("witness"),
    pytest.mark.timeout(600),
]
PROGRAM = [sys.executable, "-m", "sealwright"]
PATIENCE = 150.0
ENTERPRISE = "https://mail.enterprise.example"


class Place:
    """A running site whose authority asks one witness; the witness runs or does not."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = reserved_port()
        vkey = open_cosigners(directory / "witness", "w.example")[0].vkey
        self.policy = directory / "policy.txt"
        self.policy.write_text(f"witness w {vkey} http://127.0.0.1:{self.port}\nquorum w\n")
        (directory / "site").mkdir(mode=0o700)
        config = WitnessConfig(policy=str(self.policy), timeout=30)  # no answer is late on a busy machine
        self.site = Sandbox(directory / "site", leaky=False, witness=config)
        self.witness: subprocess.Popen[bytes] | None = None

    def start_witness(self) -> None:
        state, listen = str(self.directory / "witness"), f"127.0.0.1:{self.port}"
        options = ["--state", state, "--name", "w.example", "--listen", listen]
        options += ["--follow", self.site.url, "--root", str(self.site.root)]
        with (self.directory / "witness.log").open("ab") as log:
            self.witness = subprocess.Popen([*PROGRAM, "witness", *options], stdout=log, stderr=log)

    def require_witness(self) -> None:
        if self.witness is None or self.witness.poll() is not None:
            self.start_witness()

    def end_witness(self, number: signal.Signals) -> int:
        assert self.witness is not None
        self.witness.send_signal(number)
        return self.witness.wait(60)

    def monitor(self, *options: str) -> tuple[int, dict[str, Any]]:
        """One reading of everything."""
        asked = [self.site.url, "--root", str(self.site.root), "--once", "--json", "--grace", "120", *options]
        done = subprocess.run([*PROGRAM, "monitor", *asked], capture_output=True, check=False, timeout=300)
        told: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"error": done.stderr.decode()}
        return done.returncode, told

    def log_id(self, token: str) -> str:
        return str(json.loads(decode_base64url(token.split(".")[1]))["jti"]).split(".")[0]

    def cosigned(self, http: httpx.Client, log_id: str) -> bool:
        """Whether the published head of a log carries the quorum."""
        note = http.get(f"/ledger/{log_id}/checkpoint").text
        policy = WitnessPolicy.read(self.policy)
        listed = http.get("/manifest").json()
        known = json.loads(decode_base64url(listed["manifest"].split(".")[1]))["incarnations"]
        entry = next(one for one in known if one["id"] == log_id)
        head = open_checkpoint(note, LogKey(entry["origin"], decode_base64url(entry["jwk"]["x"])))
        return policy.is_met(policy.cosigned(note, head))


def eventually(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.1)


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url).is_success
    return False


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    # A Unix socket's name has room for 107 bytes, less than pytest takes for a path.
    made = Place(Path(tempfile.mkdtemp(prefix="sealwright-witness-")))
    try:
        made.site.start()
        yield made
    finally:
        if made.witness is not None and made.witness.poll() is None:
            made.end_witness(signal.SIGKILL)
        made.site.stop()
        made.site.remove()


@pytest.fixture
def http(place: Place) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=place.site.url, timeout=30) as client:
        yield client


def receipt_of(http: httpx.Client, token: str) -> str:
    jti = json.loads(decode_base64url(token.split(".")[1]))["jti"]
    until = time.monotonic() + PATIENCE
    while (answer := http.get("/ledger/proof", params={"jti": jti})).status_code == 503:
        assert time.monotonic() < until, answer.text
        time.sleep(0.1)
    return answer.text


def test_heads_are_cosigned_once_the_witness_runs_and_everyone_agrees(
    place: Place, http: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    token = place.site.token()
    log_id = place.log_id(token)
    eventually(lambda: http.get(f"/ledger/{log_id}/checkpoint").is_success, "nothing was published")
    assert not place.cosigned(http, log_id), "there is no witness yet, and the head is published all the same"
    place.start_witness()
    eventually(lambda: place.cosigned(http, log_id), "the head was never cosigned")
    assert main(["ledger", "witnesses", "--json", "--state", str(place.directory / "site")]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(one["witnesses"], one["error"]) for one in shown["witnesses"]] == [(["w"], "")]
    status, told = place.monitor("--witnesses", str(place.policy))
    assert (status, told["sound"], told["alarms"]) == (0, True, [])
    assert told["tokens"] >= 1
    with contextlib.closing(
        Validator(trust=Trust.sealwright(place.site.url, root=place.site.root, push=False))
    ) as validator:
        expect = Expect(audience=ENTERPRISE, realm="enterprise", witnesses=place.policy)
        fresh = place.site.token()
        receipt = receipt_of(http, fresh)
        assert validator.validate(fresh, expect, Presented(receipt=receipt)).key.realm == "enterprise"
        bare = receipt.rpartition("\u2014 w.example ")[0]
        with pytest.raises(Refused) as caught:
            validator.validate(fresh, expect, Presented(receipt=bare))
        assert caught.value.reason is Reason.RECEIPT_NOT_WITNESSED
    verified = partial(verify, place, token=fresh)
    assert verified(receipt, place.policy) == 0
    assert "the quorum has seen this head: w at" in capsys.readouterr().out
    assert verified(bare) == 0
    assert "none were asked for" in capsys.readouterr().out
    stranger = place.directory / "stranger.txt"
    stranger.write_text(f"witness s {vkey_of_nobody()}\nquorum s\n")
    for text, policy in ((bare, place.policy), (receipt, stranger)):
        assert verified(text, policy) == 1
        assert "receipt_not_witnessed" in capsys.readouterr().out


def verify(place: Place, receipt: str, policy: Path | None = None, *, token: str) -> int:
    """`sealwright ledger verify`, with the receipt of a token on a file."""
    file = place.directory / "receipt.tlog-proof"
    file.write_text(receipt)
    asked = ["--token", token, "--state", str(place.directory / "site")]
    return main(["ledger", "verify", str(file), *asked, *(["--witnesses", str(policy)] if policy else [])])


def test_a_killed_witness_stops_nobody_and_comes_back_where_it_was(place: Place, http: httpx.Client) -> None:
    place.require_witness()
    log_id = place.log_id(place.site.token())
    eventually(lambda: place.cosigned(http, log_id), "the head was never cosigned")
    place.end_witness(signal.SIGKILL)
    for _ in range(3):
        token = place.site.token()
        receipt_of(http, token)
    eventually(lambda: not place.cosigned(http, log_id), "a head was cosigned by nobody")
    place.start_witness()
    eventually(lambda: place.cosigned(http, log_id), "the head was not cosigned again")
    seen = httpx.get(f"http://127.0.0.1:{place.port}/status").json()["logs"]
    assert {(one["proven"], one["suspected"]) for one in seen} == {(0, 0)}


def test_a_monitor_names_a_key_that_it_did_not_expect(place: Place) -> None:
    place.site.token()
    status, told = place.monitor("--realm", "consumer")
    assert status == 1
    assert {alarm["code"] for alarm in told["alarms"]} == {"unexpected_key"}
    assert "enterprise" in told["alarms"][0]["detail"]


def test_a_monitor_that_reaches_nobody_says_so(place: Place) -> None:
    nowhere = f"http://127.0.0.1:{reserved_port()}"
    options = ["--root", str(place.site.root), "--once", "--json", "--grace", "0"]
    done = subprocess.run(
        [*PROGRAM, "monitor", nowhere, *options], capture_output=True, check=False, timeout=110
    )
    assert done.returncode == 2
    assert {alarm["code"] for alarm in json.loads(done.stdout)["alarms"]} == {"unreachable"}


def test_the_witness_ends_in_order(place: Place) -> None:
    place.require_witness()
    page = f"http://127.0.0.1:{place.port}/status"
    eventually(lambda: answers(page), "the witness never answered")
    assert place.end_witness(signal.SIGTERM) == 0
