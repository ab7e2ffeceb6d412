"""A whole authority for tests: real signer process, real authority process, on a free loopback port.

Does by hand what the supervisor does, so that a test can kill any part at any moment.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sealwright.admission.appraise import SoftwareAppraiser
from sealwright.admission.model import AdmissionPolicy, Candidate, Evidence, EvidenceLevel
from sealwright.admission.service import Admitter
from sealwright.admission.trust import open_root_of_trust
from sealwright.clock import SystemClock
from sealwright.config import Config
from sealwright.config.model import KeyConfig, ManifestConfig, ServerConfig, StateConfig
from sealwright.config.signer_policy import origin_prefix, signer_policy
from sealwright.errors import Unavailable
from sealwright.ids import secret_digest
from sealwright.issuer.model import Client, ClientKind
from sealwright.ledger.fsck import Report, check_ledger
from sealwright.wiring.authority import Stores
from sealwright_signer.client import Connection, Hello, Process, SignerGone, launch

SECRET = "a-secret-made-up-for-tests"
AUDIENCE = "https://mail.enterprise.example"
_SERVE = """
import sys, msgspec
from sealwright.config import Config
from sealwright.logs import write_json_logs
from sealwright.wiring import serve
write_json_logs("authority", "info")
serve(msgspec.json.decode(sys.argv[1], type=Config))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Site:
    """Signer and authority over one state directory."""

    def __init__(self, directory: Path, keys: KeyConfig | None = None) -> None:
        self.state = directory
        for name in ("run", "ledger", "trust", "log"):
            (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.config = msgspec.structs.replace(
            Config(),
            server=ServerConfig(port=free_port()),
            state=StateConfig(directory=str(directory)),
            keys=keys or KeyConfig(),
            manifest=ManifestConfig(life=60),
        )
        self.stores = Stores.open(self.config, SystemClock())
        self.signer: Process | None = None
        self.authority: subprocess.Popen[bytes] | None = None
        self._register()

    @property
    def url(self) -> str:
        return self.config.server.url

    def _register(self) -> None:
        digest = secret_digest(SECRET)
        for realm, audience in (("enterprise", AUDIENCE), ("consumer", "https://mail.consumer.example")):
            self.stores.clients.add(Client(f"{realm}-app", realm, digest, (audience,), ("mail.read",)))
        reporter = Client("mail-api", "enterprise", digest, (), (), kind=ClientKind.REPORTER)
        self.stores.clients.add(reporter)

    def start_signer(self) -> None:
        """Launch a new incarnation, admit it, name it to the authority."""
        clock = SystemClock()
        root = open_root_of_trust(self.state / "trust", clock.now())
        newest = self.stores.keys.latest_manifest()
        policy = signer_policy(self.config, [root.admission.jwk], newest.version if newest else 0)
        with (self.state / "log" / "signer.log").open("ab") as log:
            self.signer = launch(policy, self.state / "run" / "signer-0.sock", log=log)
        nonce = secrets.token_bytes(32)
        hello, evidence = asyncio.run(_introduce(self.signer.socket_path, nonce))
        admitter = Admitter(
            root.admission,
            AdmissionPolicy(EvidenceLevel.NONE, 86_400),
            SoftwareAppraiser(),
            self.stores.admissions,
            clock,
            origin_prefix(self.config),
        )
        admitter.close_left_over()
        candidate = Candidate(hello.log_id, hello.origin, hello.jwk, hello.policy_digest)
        shown = Evidence(evidence["kind"], evidence["evidence"], evidence["binding"], nonce.hex())
        admitter.admit(candidate, shown, hello.policy_digest)
        named = {
            "slot": 0,
            "log_id": hello.log_id,
            "socket": str(self.signer.socket_path),
            "pid": self.signer.pid,
        }
        temporary = self.state / "run" / "signers.json.new"
        temporary.write_text(json.dumps({"version": 1, "signers": [named]}))
        temporary.replace(self.state / "run" / "signers.json")

    def start_authority(self) -> None:
        with (self.state / "log" / "authority.log").open("ab") as log:
            self.authority = subprocess.Popen(
                [sys.executable, "-c", _SERVE, msgspec.json.encode(self.config).decode()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill_authority(self) -> None:
        if self.authority is not None:
            os.kill(self.authority.pid, signal.SIGKILL)
            self.authority.wait()

    def kill_signer(self) -> None:
        if self.signer is not None:
            os.kill(self.signer.pid, signal.SIGKILL)
            self.signer.wait()

    def stop(self) -> None:
        if self.authority is not None and self.authority.poll() is None:
            self.authority.terminate()
            self.authority.wait(timeout=20)
        if self.signer is not None and self.signer.popen.poll() is None:
            self.signer.terminate()

    def token(self, realm: str = "enterprise") -> str:
        """One token over HTTP.

        Raises:
            Unavailable: the authority does not answer, or answers 503.
        """
        credentials = base64.b64encode(f"{realm}-app:{SECRET}".encode()).decode()
        status, answer = self.call(
            f"/{realm}/oauth2/token",
            b"grant_type=client_credentials",
            {"Authorization": f"Basic {credentials}", "Content-Type": "application/x-www-form-urlencoded"},
        )
        if status != 200:
            raise Unavailable("no_token", f"{status}: {answer}")
        token: str = answer["access_token"]
        return token

    def call(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of one request."""
        request = urllib.request.Request(self.url + path, body, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            raise Unavailable("no_answer", "the authority does not answer", str(error)) from error

    def wait_ready(self, seconds: float = 20.0) -> str:
        """The first token."""
        until = time.monotonic() + seconds
        while True:
            try:
                return self.token()
            except Unavailable:
                if time.monotonic() > until or (self.authority and self.authority.poll() is not None):
                    log = (self.state / "log" / "authority.log").read_text()[-3_000:]
                    raise AssertionError(f"the authority did not come up:\n{log}") from None
                time.sleep(0.05)

    def fsck(self) -> Report:
        return check_ledger(self.stores.ledger, self.state / "ledger")


async def _introduce(path: Path, nonce: bytes) -> tuple[Hello, dict[str, str]]:
    until = time.monotonic() + 20
    while True:
        with contextlib.suppress(SignerGone):
            connection = await Connection.open(path)
            hello, evidence = await connection.hello("observer"), await connection.evidence(nonce)
            await connection.close()
            return hello, evidence
        if time.monotonic() > until:
            raise AssertionError("the signer did not come up")
        await asyncio.sleep(0.02)


@contextlib.contextmanager
def running(directory: Path, keys: KeyConfig | None = None) -> Iterator[Site]:
    """A site that is up, and is taken down afterwards."""
    site = Site(directory, keys)
    try:
        site.start_signer()
        site.start_authority()
        site.wait_ready()
        yield site
    finally:
        site.stop()
