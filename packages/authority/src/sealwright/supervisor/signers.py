"""Signers as parts: launched, appraised and admitted before the authority hears of them.

A signer that dies is never restarted as itself: its log is closed, and the next one in its slot is a new
incarnation. May never publish a signer that is not admitted.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sealwright.admission.model import Admission
from sealwright.admission.service import Admitter
from sealwright.errors import SealwrightError, Unavailable
from sealwright.files import write_private
from sealwright.supervisor.child import describe_exit, tail
from sealwright.supervisor.model import LiveSigner
from sealwright.supervisor.ports import SignerLauncher, SignerProcess

NONCE_BYTES = 32
RENEWAL_RETRY = 30.0
"""Seconds between two attempts to renew an admission."""
NOT_ITS_FAULT = ("store_unavailable",)
"""Failures of a renewal that say nothing about the signer."""
log = logging.getLogger(__name__)


class SignersFile:
    """`run/signers.json`: the signers that the authority may use, rewritten atomically."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._live: dict[int, LiveSigner] = {}
        self._write()

    def put(self, signer: LiveSigner) -> None:
        """The authority may use this one."""
        self._live[signer.slot] = signer
        self._write()

    def drop(self, slot: int) -> None:
        """The one in this slot is gone."""
        if self._live.pop(slot, None):
            self._write()

    def _write(self) -> None:
        listed = [
            {"slot": live.slot, "log_id": live.log_id, "socket": str(live.socket), "pid": live.pid}
            for _, live in sorted(self._live.items())
        ]
        try:
            write_private(
                self._file, json.dumps({"version": 1, "signers": listed}, indent=2).encode() + b"\n"
            )
        except OSError as error:
            text = f"cannot write {self._file}: {error.strerror}"
            raise Unavailable("cannot_write", text) from error


class SignerPart:
    """`Part` that runs one incarnation after another in one slot.

    Args:
        slot: its place, 0 and up.
        launcher: starts the process.
        policy: makes the policy of the next incarnation.
        admitter: decides whether it may serve.
        file: where the authority looks.
        log: the log of the process.
        monotonic: a clock that never goes back, in seconds.
        asked: how often people asked so far that every signer prove itself now.
    """

    def __init__(
        self,
        slot: int,
        launcher: SignerLauncher,
        policy: Callable[[], Mapping[str, Any]],
        admitter: Admitter,
        file: SignersFile,
        log: Path,
        monotonic: Callable[[], float],
        asked: Callable[[], int] = lambda: 0,
    ) -> None:
        self._asked, self._answered, self._tried = asked, asked(), 0
        self._slot = slot
        self._launcher = launcher
        self._policy = policy
        self._admitter = admitter
        self._file = file
        self._log = log
        self._monotonic = monotonic
        self._process: SignerProcess | None = None
        self._failure: str | None = None
        self._admission: Admission | None = None
        self._unclosed: set[str] = set()
        self._retry_at = 0.0
        self._unproven_since: float | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return f"signer-{self._slot}"

    @property
    def pid(self) -> int | None:
        """Its process while there is one."""
        return self._process.pid if self._process else None

    @property
    def admission(self) -> Admission | None:
        """The admission of the incarnation that serves now."""
        return self._admission

    def prepare(self) -> None:
        """Nothing is needed: a signer listens on a socket of its own."""

    def start(self) -> None:
        """Launch a new incarnation, appraise it, admit it, publish it. A failure leaves no process behind.

        One that cannot be reached yet is admitted by `ready`, so that nobody waits for another host.
        """
        self._answered = self._tried = self._asked()
        self._failure = None
        self._process = self._launcher.launch(self._slot, self._policy())
        if self._process.reachable():
            self._admit(self._process)

    def _admit(self, process: SignerProcess) -> None:
        try:
            candidate, evidence = process.introduce(secrets.token_bytes(NONCE_BYTES))
            self._admission = self._admitter.admit(candidate, evidence, process.policy_digest)
            if (sealed := self._admitter.sealed_for(self._admission)) is not None:
                process.release(sealed)
            self._file.put(LiveSigner(self._slot, candidate.log_id, process.socket, process.pid))
        except SealwrightError:
            self.stop()
            raise

    def ready(self) -> bool:
        """Whether an admitted incarnation runs."""
        process = self._process
        if process is not None and self._admission is None and process.reachable():
            try:
                self._admit(process)
            except SealwrightError as error:
                self._failure = error.public
        return self._admission is not None and self.ended() is None

    def ended(self) -> str | None:
        """How it ended, or why it was not admitted; None while it runs."""
        if self._failure is not None:
            return self._failure
        status = self._process.ended() if self._process else None
        return None if status is None else describe_exit(status)

    def tend(self) -> None:
        """Let it prove itself again when that is due, and ask again after a pause when it fails.

        One that has not proved itself for the time of grace is ended, and its keys with it.
        """
        self._close_logs()
        if (
            self._process is None
            or self._admission is None
            or not (self._asked() > self._answered or self._admitter.renewal_due(self._admission))
        ):
            return
        if self._is_overdue(self._admission):
            facts = {"signer": self.name, "log_id": self._admission.log_id}
            log.error("ended: it does not prove itself any more", extra={"facts": facts})
            self._process.stop()
            self._admitter.note("signer_ended", self._admission.log_id, {"why": "not proven in time"})
            return
        count = self._asked()
        if self._monotonic() < self._retry_at and count == self._tried:
            return
        self._retry_at, self._tried = self._monotonic() + RENEWAL_RETRY, count
        try:
            candidate, evidence = self._process.introduce(secrets.token_bytes(NONCE_BYTES))
            self._admission = self._admitter.renew(candidate, evidence, self._process.policy_digest)
        except SealwrightError as error:
            if error.code not in NOT_ITS_FAULT:
                self._unproven_since = (
                    self._monotonic() if self._unproven_since is None else self._unproven_since
                )
            raise
        self._answered = count
        self._unproven_since, self._retry_at = None, 0.0

    def _is_overdue(self, admission: Admission) -> bool:
        since = self._unproven_since
        if since is None:
            return False
        return self._monotonic() - since >= self._admitter.grace or self._admitter.over(admission)

    def bury(self) -> None:
        """Take it from the file and close its log. What cannot be written now is written by `tend`, or by the
        next start of the supervisor, which closes every log that it finds open.
        """
        if self._admission is not None:
            self._unclosed.add(self._admission.log_id)
        self._process = self._admission = self._unproven_since = None
        self._retry_at = 0.0
        self._file.drop(self._slot)
        self._close_logs()

    def _close_logs(self) -> None:
        for log_id in sorted(self._unclosed):
            self._admitter.close(log_id)
            self._unclosed.discard(log_id)

    def stop(self) -> None:
        """End it: its keys are gone with it."""
        if self._process is not None:
            self._process.stop()
            self.bury()

    def last_words(self) -> str:
        """The end of its log."""
        return tail(self._log)
