"""A rolling restart of signers and authority under load fails no request."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(300)]
PATIENCE = 120.0
LOADERS = 6
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Site:
    """`sealwright up` on one state directory, with so many signers."""

    def __init__(self, folder: Path, signers: int) -> None:
        self.state = folder / "state"
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        self.port, guarded, ordinary = (one.getsockname()[1] for one in held)
        for one in held:
            one.close()
        self.environment = {
            "PATH": os.defpath,
            "SEALWRIGHT_SERVER__PORT": str(self.port),
            "SEALWRIGHT_DEMO__GUARDED_PORT": str(guarded),
            "SEALWRIGHT_DEMO__ORDINARY_PORT": str(ordinary),
            "SEALWRIGHT_SIGNERS__COUNT": str(signers),
        }
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self._command("up"), env=self.environment, stdout=output, stderr=output
            )
        self.until(lambda: "Ctrl-C stops everything." in self.output.read_text(), "the start")

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-I", "-m", "sealwright", *arguments, "--state", str(self.state)]

    def run(self, *arguments: str) -> str:
        ran = subprocess.run(
            self._command(*arguments), env=self.environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def until(self, holds: object, what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():  # type: ignore[operator] # a function of no arguments
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < end, f"{what} did not happen: {self.output.read_text()}"
            time.sleep(0.05)

    def ups(self) -> list[str]:
        """The parts that came up so far, in order."""
        lines = (self.state / "log" / "up.jsonl").read_text().splitlines()
        told = [json.loads(line) for line in lines]
        return [entry["facts"]["part"] for entry in told if entry["message"] == "up"]

    def authorization(self) -> dict[str, str]:
        found = re.search(r'user = "([^"]+)"', (self.state / "demo" / "enterprise.curl").read_text())
        assert found is not None
        return {"authorization": "Basic " + base64.b64encode(found[1].encode()).decode()}

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


class Load:
    """Asks for tokens over connections that are kept, as clients do, and tries nothing twice."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self._headers = site.authorization() | FORM
        self.tokens = 0
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(LOADERS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._site.port, timeout=60)
        while not self._stop.is_set():
            try:
                connection.request(
                    "POST", "/enterprise/oauth2/token", "grant_type=client_credentials", self._headers
                )
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            if answer.status != 200:
                self.failures.append(f"{answer.status} {content[:200]!r}")
            else:
                self.tokens += 1
        connection.close()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)


@pytest.fixture(params=[1, 2], ids=["one signer", "two signers"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="sealwright-test-") as folder:  # a short path, for its sockets
        made = Site(Path(folder), request.param)
        try:
            yield made
        finally:
            made.end()


def test_no_request_fails_while_signers_and_authority_are_replaced(site: Site) -> None:
    load = Load(site)
    site.until(lambda: load.tokens > 20, "tokens before the restart")
    before = site.ups()
    parts = [part for part in before if not part.startswith("demo-")]
    assert "nothing was changed" in site.run("restart")
    site.run("restart", "--apply")
    site.until(lambda: site.ups() == before + parts, "every part replaced")
    now = load.tokens
    site.until(lambda: load.tokens > now + 20 or load.failures, "tokens after the restart")
    load.end()
    assert load.failures == []
