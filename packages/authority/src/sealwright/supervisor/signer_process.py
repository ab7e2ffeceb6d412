"""`SignerLauncher` on `sealwright_signer.client`: a process of its own, reached over its Unix socket.

Connects as an observer, so that it never takes the authority role from the authority.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sealwright.admission.model import Candidate, Evidence
from sealwright.errors import Misconfigured, Refused, Unavailable
from sealwright.supervisor.child import open_log, tail
from sealwright_signer.client import READY, Connection, Hello, Process, SignerGone, SignerRefused, launch

ANSWER_LIMIT = 10.0
"""Seconds that a signer may take to introduce itself; it makes its identity key and shuts itself in first."""
TOKEN_LIMIT = 60.0
"""Seconds more for one that tries its algorithms in a token first."""
ENDING_LIMIT = 2.0
"""Seconds in which a signer that does not answer may turn out to have ended."""
LONGEST_SOCKET_PATH = 107
"""Bytes; sun_path of Linux less its end."""


class ClientSignerProcess:
    """A running signer."""

    def __init__(
        self,
        process: Process,
        policy_digest: str,
        log: Path | None = None,
        limit: float = ANSWER_LIMIT,
        ready: Path | None = None,
    ) -> None:
        self._process = process
        self._ready = ready
        self._log = log
        self._limit = limit
        self._policy_digest = policy_digest

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._process.socket_path

    @property
    def policy_digest(self) -> str:
        """Hex SHA-256 of the policy document that it was given."""
        return self._policy_digest

    def ended(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.popen.poll()

    def reachable(self) -> bool:
        """Whether it can be asked: one on another host can as soon as its near end has said so."""
        return self._ready is None or self._ready.exists()

    def introduce(self, nonce: bytes) -> tuple[Candidate, Evidence]:
        """Who it says it is, and evidence that is bound to `nonce`."""
        hello, shown = self._answered(nonce)
        try:
            evidence = Evidence(shown["kind"], shown["evidence"], shown["binding"], nonce.hex())
        except (KeyError, TypeError) as error:
            raise Refused("signer_nonsense", "the signer's evidence is malformed", repr(error)) from error
        return Candidate(hello.log_id, hello.origin, hello.jwk, hello.policy_digest), evidence

    def release(self, sealed: bytes) -> None:
        """Hand over a secret that is encrypted to the key in its last evidence."""
        try:
            asyncio.run(asyncio.wait_for(self._hand_over(sealed), self._limit))
        except (SignerGone, TimeoutError) as error:
            text = f"the signer does not answer{self._last_words()}"
            raise Unavailable("signer_silent", text, repr(error)) from error
        except SignerRefused as error:
            raise Refused(
                "release_not_taken", f"the signer cannot use its secret: {error.message}"
            ) from error

    async def _hand_over(self, sealed: bytes) -> None:
        connection = await Connection.open(self._process.socket_path)
        try:
            await connection.hello("observer")
            await connection.release(sealed)
        finally:
            await connection.close()

    def describe(self) -> dict[str, Any]:
        """Its custody, its measures of isolation, and why it shows no evidence, as it states them."""
        hello, shown = self._answered(bytes(32))
        return {"custody": hello.custody, "isolation": hello.isolation, "note": shown.get("note", "")}

    def _answered(self, nonce: bytes) -> tuple[Hello, dict[str, str]]:
        try:
            return asyncio.run(asyncio.wait_for(self._ask(nonce), self._limit))
        except (SignerGone, TimeoutError) as error:
            text = f"the signer does not answer{self._last_words()}"
            raise Unavailable("signer_silent", text, repr(error)) from error
        except SignerRefused as error:
            raise Refused(
                "signer_refused", f"the signer does not introduce itself: {error.message}"
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise Refused("signer_nonsense", "the signer's introduction is malformed", repr(error)) from error

    def _last_words(self) -> str:
        """Why it has ended, as it said; nothing while it runs."""
        try:
            self._process.wait(ENDING_LIMIT)
        except subprocess.TimeoutExpired:
            return ""
        said = tail(self._log, 1) if self._log else ""
        return f": {said}" if said else ""

    async def _ask(self, nonce: bytes) -> tuple[Hello, dict[str, str]]:
        connection = await Connection.open(self._process.socket_path)
        try:
            return await connection.hello("observer"), await connection.evidence(nonce)
        finally:
            await connection.close()

    def stop(self) -> None:
        """End it, by force when it does not end in time."""
        self._process.terminate()


class ClientSignerLauncher:
    """Starts signer processes.

    Args:
        run: directory of the sockets.
        logs: directory of the logs.
        program: another program than the signer itself; drills bring theirs.
        collector: how the signer gets evidence of itself, `name` or `name:/path`.
        elsewhere: whether `program` is the near end of a channel to another host.
    """

    def __init__(
        self,
        run: Path,
        logs: Path,
        program: Sequence[str] | None = None,
        collector: str = "none",
        *,
        elsewhere: bool = False,
    ) -> None:
        self._collector = collector
        self._elsewhere = elsewhere
        self._run = run
        self._logs = logs
        self._program = program

    def launch(self, slot: int, policy: Mapping[str, Any]) -> ClientSignerProcess:
        """Start one with this policy; the caller's thread must live as long as the signer is to."""
        socket = self._run / f"signer-{slot}.sock"
        if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH:
            raise Misconfigured(
                "path_too_long",
                f"{socket} is too long for a socket; choose a shorter state directory",
            )
        custody = policy["custody"]
        if "label" in custody:  # a token tells apart whose keys it holds; what is left over is swept at start
            policy = {**policy, "custody": {**custody, "label": f"{custody['label']} signer-{slot}"}}
        log, ready = self._logs / f"signer-{slot}.log", socket.with_name(socket.name + READY)
        ready.unlink(missing_ok=True)
        descriptor = open_log(log)
        try:
            process = launch(policy, socket, log=descriptor, program=self._program, collector=self._collector)
        except (OSError, subprocess.SubprocessError) as error:
            raise Misconfigured("signer_not_started", f"the signer cannot be started: {error}") from error
        finally:
            os.close(descriptor)
        digest = hashlib.sha256(json.dumps(policy).encode()).hexdigest()
        limit = ANSWER_LIMIT if custody["kind"] == "memory" else ANSWER_LIMIT + TOKEN_LIMIT
        return ClientSignerProcess(process, digest, log, limit, ready if self._elsewhere else None)
