"""A whole Sealwright of its own: temporary state, free ports, a clock that can be moved, nothing shared with
others.

Does by hand what the supervisor does, so that a drill (or a test) can kill, replace or impersonate any part.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cryptography
import msgspec

import sealwright
import sealwright_signer
from sealwright.admission.appraise import SoftwareAppraiser
from sealwright.admission.model import AdmissionPolicy, Candidate, Evidence, EvidenceLevel
from sealwright.admission.service import Admitter
from sealwright.admission.trust import open_root_of_trust
from sealwright.config import Config
from sealwright.config.model import KeyConfig, ServerConfig, StateConfig
from sealwright.config.signer_policy import origin_prefix, signer_policy
from sealwright.drills.clockwork import SandboxClock
from sealwright.errors import Misconfigured, Unavailable
from sealwright.ids import new_client_secret, secret_digest
from sealwright.issuer.model import Client, ClientKind
from sealwright.wiring.stores import Stores
from sealwright_signer.client import Connection, Hello, Process, SignerGone, launch

PATIENCE = 60.0
"""Seconds to wait for anything of the sandbox."""
PAUSE = 0.02
FORM = "application/x-www-form-urlencoded"
REPORTER = "mail-api"
_BOOT = """import sys
n = sys.argv.index("--")
sys.path += sys.argv[1:n]
del sys.argv[1 : n + 1]
from sealwright.drills.programs.signer import main
sys.exit(main())"""
_SERVE = """import sys, msgspec
from sealwright.config import Config
from sealwright.logs import write_json_logs
from sealwright.wiring import serve
write_json_logs("authority", "info")
serve(msgspec.json.decode(sys.argv[1], type=Config))"""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON of an HTTP answer."""

    status: int
    body: Any


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Sandbox:
    """Signer and authority over one state directory.

    Args:
        directory: an empty directory for everything.
        flaws: controls to switch off.
        leaky: use the custody that hands its keys to the attacker and a clock that can be moved; False runs
        the
            ordinary programs.
        keys: rotation; the product's defaults when None.
        change: other sections of the configuration, by name.
    """

    def __init__(
        self,
        directory: Path,
        flaws: Collection[str] = (),
        *,
        leaky: bool = True,
        keys: KeyConfig | None = None,
        **change: Any,
    ) -> None:
        self.state = directory
        self.flaws = frozenset(flaws)
        self.leaky = leaky
        for name in ("run", "ledger", "trust", "log"):
            (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.clock = SandboxClock(directory / "clock")
        self.leak = directory / "leaked-keys.pem"
        self.config = msgspec.structs.replace(
            Config(),
            server=ServerConfig(port=free_port()),
            state=StateConfig(directory=str(directory)),
            keys=keys or KeyConfig(),
            **change,
        )
        self.stores = Stores.open(self.config, self.clock)
        self.secret = new_client_secret()
        self.signer: Process | None = None
        self.authority: subprocess.Popen[bytes] | None = None
        self._register()

    @property
    def url(self) -> str:
        """Base URL of the authority."""
        return self.config.server.url

    @property
    def root(self) -> Path:
        """The root document that validators pin."""
        return self.state / "trust" / "root.json"

    def audience(self, realm: str) -> str:
        """The audience that this sandbox issues for in a realm."""
        return self.config.realms[realm].audiences[0]

    def _register(self) -> None:
        digest = secret_digest(self.secret)
        for realm in self.config.realms:
            self.stores.clients.add(
                Client(f"{realm}-app", realm, digest, (self.audience(realm),), ("mail.read",))
            )
        realm = min(self.config.realms)
        self.stores.clients.add(Client(REPORTER, realm, digest, (), (), kind=ClientKind.REPORTER))

    def start(self) -> None:
        """Start signer and authority, and wait for the first token."""
        self.start_signer()
        self.start_authority()
        self.wait_ready()

    def start_signer(self) -> None:
        """Launch a new incarnation, admit it, name it to the authority."""
        root = open_root_of_trust(self.state / "trust", self.clock.now())
        newest = self.stores.keys.latest_manifest()
        policy = signer_policy(self.config, [root.admission.jwk], newest.version if newest else 0)
        with (self.state / "log" / "signer.log").open("ab") as log:
            self.signer = launch(
                policy, self.state / "run" / "signer-0.sock", log=log, program=self._signer_program()
            )
        nonce = secrets.token_bytes(32)
        hello, shown = asyncio.run(_introduce(self.signer.socket_path, nonce))
        admitter = Admitter(
            root.admission,
            AdmissionPolicy(EvidenceLevel.NONE, 7 * 86_400),
            SoftwareAppraiser(),
            self.stores.admissions,
            self.clock,
            origin_prefix(self.config),
        )
        admitter.close_left_over()
        candidate = Candidate(hello.log_id, hello.origin, hello.jwk, hello.policy_digest)
        evidence = Evidence(shown["kind"], shown["evidence"], shown["binding"], nonce.hex())
        admitter.admit(candidate, evidence, hello.policy_digest)
        self.name_signer(hello.log_id)

    def name_signer(self, log_id: str | None) -> None:
        """Tell the authority which signer to use; None: none."""
        listed = []
        if log_id is not None and self.signer is not None:
            path, pid = str(self.signer.socket_path), self.signer.pid
            listed = [{"slot": 0, "log_id": log_id, "socket": path, "pid": pid}]
        temporary = self.state / "run" / "signers.json.new"
        temporary.write_text(json.dumps({"version": 1, "signers": listed}))
        temporary.replace(self.state / "run" / "signers.json")

    def _signer_program(self) -> Sequence[str] | None:
        if not self.leaky:
            return None
        homes = dict.fromkeys(
            str(Path(str(module.__file__)).resolve().parent.parent)
            for module in (sealwright, sealwright_signer, cryptography)
        )
        files = [str(self.state / "clock"), str(self.leak), ",".join(sorted(self.flaws))]
        return [sys.executable, "-I", "-S", "-c", _BOOT, *homes, "--", *files]

    def start_authority(self) -> None:
        """Start the authority process. `wait_ready` waits for it."""
        config = msgspec.json.encode(self.config).decode()
        command = [sys.executable, "-c", _SERVE, config]
        if self.leaky:
            flaws = ",".join(sorted(self.flaws))
            program = "sealwright.drills.programs.authority"
            command = [sys.executable, "-m", program, str(self.state / "clock"), flaws, config]
        with (self.state / "log" / "authority.log").open("ab") as log:
            self.authority = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill_authority(self) -> None:
        """Kill -9."""
        if self.authority is not None:
            os.kill(self.authority.pid, signal.SIGKILL)
            self.authority.wait()

    def stop_authority(self) -> None:
        """End the authority in order."""
        if self.authority is not None and self.authority.poll() is None:
            self.authority.terminate()
            try:
                self.authority.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill_authority()

    def kill_signer(self) -> None:
        """Kill -9."""
        if self.signer is not None:
            os.kill(self.signer.pid, signal.SIGKILL)
            self.signer.wait()

    def stop(self) -> None:
        """End everything."""
        self.stop_authority()
        if self.signer is not None and self.signer.popen.poll() is None:
            self.signer.terminate()

    def remove(self) -> None:
        """Delete the state, leaked keys included."""
        shutil.rmtree(self.state, ignore_errors=True)

    def ask_token(self, realm: str, form: str = "grant_type=client_credentials", **headers: str) -> Answer:
        """Ask the token endpoint of a realm, as its registered client unless headers say otherwise."""
        sent = self.basic(f"{realm}-app") | {"Content-Type": FORM} | headers
        return self.call(f"/{realm}/oauth2/token", form.encode(), sent)

    def basic(self, client_id: str) -> dict[str, str]:
        """The header that authenticates a client of this sandbox."""
        credentials = base64.b64encode(f"{client_id}:{self.secret}".encode()).decode()
        return {"Authorization": f"Basic {credentials}"}

    def token(self, realm: str = "enterprise") -> str:
        """One token.

        Raises:
            Unavailable: the authority does not answer, or not with a token.
        """
        answer = self.ask_token(realm)
        if answer.status != 200:  # noqa: PLR2004 - HTTP OK
            raise Unavailable("no_token", f"{answer.status}: {answer.body}")
        token: str = answer.body["access_token"]
        return token

    def call(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request to the authority.

        Raises:
            Unavailable: it does not answer.
        """
        request = urllib.request.Request(self.url + path, body, headers or {})  # noqa: S310 - our own URL
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return Answer(answer.status, json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _lenient(error.read()))
        except OSError as error:
            raise Unavailable("no_answer", "the authority does not answer", str(error)) from error

    def wait_ready(self) -> str:
        """Wait for a token.

        Raises:
            Misconfigured: the authority ended instead; the end of its log is in the detail.
            Unavailable: it did not come up in time.
        """
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self.token()
            except Unavailable:
                if self.authority is not None and self.authority.poll() is not None:
                    raise Misconfigured("authority_ended", "the authority ended", self.last_words()) from None
                if time.monotonic() > until:
                    raise Unavailable("not_ready", "it did not come up", self.last_words()) from None
                time.sleep(PAUSE)

    def last_words(self) -> str:
        """The end of the authority's log."""
        return (self.state / "log" / "authority.log").read_text(encoding="utf-8")[-3_000:]


def _lenient(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


async def _introduce(path: Path, nonce: bytes) -> tuple[Hello, dict[str, Any]]:
    until = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(SignerGone):
            connection = await Connection.open(path)
            hello, evidence = await connection.hello("observer"), await connection.evidence(nonce)
            await connection.close()
            return hello, dict(evidence)
        if time.monotonic() > until:
            raise Unavailable("no_signer", "the signer did not come up")
        await asyncio.sleep(PAUSE)
