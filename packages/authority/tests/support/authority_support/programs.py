"""The ordinary programs, `sealwright up` and its commands, over a state directory and a file of settings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from signer_support.ports import reserved_port

PATIENCE = 90.0
"""Seconds; far beyond what anything here takes."""
UP = "Ctrl-C stops everything."


def until(holds: Callable[[], Any], what: str) -> Any:
    """What `holds` gives once it gives something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {PATIENCE} s")


class Programs:
    """A site started by `sealwright up`.

    Args:
        folder: an empty one, with a short path: a socket's name has 107 bytes at most.
        settings: TOML of sections other than server, state and demo.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        self.state, self.output, self.file = folder / "state", folder / "output", folder / "sealwright.toml"
        self.port = reserved_port()
        demo = f"[demo]\nguarded_port = {reserved_port()}\nordinary_port = {reserved_port()}\n"
        self.file.write_text(f"{settings}\n[server]\nport = {self.port}\n{demo}")
        self.process: subprocess.Popen[bytes] | None = None

    def _words(self, *arguments: str) -> list[str]:
        options = ["--state", str(self.state), "--config", str(self.file)]
        return [sys.executable, "-I", "-m", "sealwright", *arguments, *options]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command on this site, waited for."""
        return subprocess.run(
            self._words(*arguments),
            env={"PATH": os.defpath},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def start(self) -> str:
        """Start it; what it printed when it was up, or had ended instead."""
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self._words("up"), env={"PATH": os.defpath}, stdout=output, stderr=output
            )
        process = self.process
        until(lambda: UP in self.output.read_text() or process.poll() is not None, "the start")
        return self.output.read_text()

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)
            self.process = None

    def signer(self) -> dict[str, Any]:
        """The first signer that the authority may use now; empty when there is none."""
        listed = json.loads((self.state / "run" / "signers.json").read_text())["signers"]
        return dict(listed[0]) if listed else {}

    def token(self, realm: str) -> str | None:
        """A token, or None when none is to be had now."""
        curl = (self.state / "demo" / f"{realm}.curl").read_text()
        credentials = b64encode(curl.split('"')[1].encode()).decode()
        request = Request(
            f"http://127.0.0.1:{self.port}/{realm}/oauth2/token",
            b"grant_type=client_credentials",
            {"Authorization": f"Basic {credentials}"},
        )
        try:
            with urlopen(request, timeout=PATIENCE) as answer:
                token: str = json.loads(answer.read())["access_token"]
                return token
        except HTTPError as error:
            error.close()
            return None
