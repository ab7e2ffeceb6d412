"""The witness: checks, persists, and only then answers.

Checking the last size and replacing it happen under one lock for each log, or two requests could roll a log
back between them (tlog-witness, "add-checkpoint"). May never give out a cosignature over a head that is not
durable.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from threading import Lock

from sealwright.clock import Clock
from sealwright.errors import Refused
from sealwright.witness.model import Cosigned, KnownLog, LogStanding, Submission
from sealwright.witness.ports import LogBook, WitnessStore
from sealwright.witness.rules import origin_of, parse_submission, require_growth
from sealwright.witness.signing import Cosigner
from sealwright_validate import errors as validate_errors
from sealwright_validate.note import Checkpoint, base64, open_checkpoint

log = logging.getLogger(__name__)
STALE_AFTER = 300.0
"""Seconds without a new head after which an open log counts as stale."""


class SizeConflict(Exception):
    """The submission begins at another size than the one that was cosigned last."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the last cosigned size is {size}")
        self.size = size


class Witness:
    """Cosigns heads. Safe to use from several threads."""

    def __init__(
        self,
        cosigners: Sequence[Cosigner],
        logs: LogBook,
        store: WitnessStore,
        clock: Clock,
        stale_after: float = STALE_AFTER,
    ) -> None:
        self._cosigners = tuple(cosigners)
        self._logs = logs
        self._store = store
        self._clock = clock
        self._stale_after = stale_after
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)
        self._started = clock.now()

    @property
    def vkeys(self) -> list[str]:
        """The verifier keys that others pin."""
        return [cosigner.vkey for cosigner in self._cosigners]

    @property
    def name(self) -> str:
        """The name in the cosignature lines."""
        return self._cosigners[0].key.name

    def add_checkpoint(self, body: bytes) -> str:
        """The cosignature lines over a submitted checkpoint, which is durable by then.

        Raises:
            Refused: `malformed_request`, `unknown_log`, `log_signature`, `old_above_size`, `inconsistent`.
            SizeConflict: the old size is not the one that was cosigned last.
            Unavailable: the head could not be made durable.
        """
        submission = parse_submission(body)
        note = submission.unverified_note
        known = self._logs.find(origin_of(note))
        if known is None:
            raise Refused("unknown_log", "no log of this origin is known here")
        head = _require_signed(note, known)
        with self._locks[head.origin]:
            before = self._store.get(head.origin)
            try:
                require_growth(submission, head, before.head if before else None)
            except Refused as refusal:
                self._suspect(refusal.code, submission, head, before)
                if refusal.code == "old_not_cosigned":
                    raise SizeConflict(before.head.size if before else 0) from refusal
                raise
            return self._cosign(note, known, head, before)

    def _cosign(self, note: str, known: KnownLog, head: Checkpoint, before: Cosigned | None) -> str:
        now = int(self._clock.now())
        # A clock that was set back must not make an older statement about a newer tree.
        at = max(now, before.at if before else 1)
        text, _, signatures = note.rpartition("\n\n")
        lines = "".join(cosigner.line(f"{text}\n", head, at) for cosigner in self._cosigners)
        own = next(line for line in signatures.split("\n") if _is_of(line, known))
        self._store.put(Cosigned(head, f"{text}\n\n{own}\n{lines}", at))
        return lines

    def _suspect(self, code: str, submission: Submission, head: Checkpoint, before: Cosigned | None) -> None:
        """Keep what looks like a fork or a rollback: heads under the log's signature that do not fit.

        Two roots at one size prove it. The rest is only suspect: whoever has a public checkpoint can send it
        late, or with a false proof.
        """
        if before is None:
            return
        proven = head.size == before.head.size and head.root != before.head.root
        if not proven and code != "inconsistent" and head.size >= before.head.size:
            return
        text = f"{before.note}\n{submission.unverified_note}"
        self._store.keep_evidence(head.origin, text, proven=proven)
        facts = {"origin": head.origin, "size": head.size, "cosigned": before.head.size, "proven": proven}
        log.error("a log shows a tree that does not fit the one it showed before", extra={"facts": facts})

    def checkpoint(self, origin_digest: str) -> str | None:
        """The newest cosigned head of the log whose origin has this SHA-256 (hex)."""
        for origin in self._logs.known():
            if sha256(origin.encode()).hexdigest() == origin_digest:
                cosigned = self._store.get(origin)
                return cosigned.note if cosigned else None
        return None

    def standings(self) -> list[LogStanding]:
        """How each log stands."""
        now = self._clock.now()
        return [self._standing(origin, known, now) for origin, known in sorted(self._logs.known().items())]

    def _standing(self, origin: str, known: KnownLog, now: float) -> LogStanding:
        cosigned = self._store.get(origin)
        since = max(cosigned.at if cosigned else 0.0, self._started)
        stale = bool(known.is_open) and now - since > self._stale_after
        size = cosigned.head.size if cosigned else 0
        at = cosigned.at if cosigned else None
        proven, suspected = self._store.evidence(origin)
        return LogStanding(origin, size, at, stale, proven, suspected)


def _is_of(line: str, known: KnownLog) -> bool:
    """Whether a signature line, of a note that was verified, is the one that was verified."""
    name, _, encoded = line.removeprefix("\u2014 ").partition(" ")
    return name == known.key.origin and base64(encoded).startswith(known.key.key_id)


def _require_signed(note: str, known: KnownLog) -> Checkpoint:
    try:
        return open_checkpoint(note, known.key)
    except validate_errors.Refused as refusal:
        text = "the checkpoint is not signed by its log, or is none"
        raise Refused("log_signature", text, refusal.detail) from refusal
