"""Asks the pinned witnesses to cosign a head before it is published (docs/formats/witness.md).

Runs in the publisher's thread, behind the commits: no token waits for a witness. A witness that does not
answer costs its line, nothing else; one that has seen another tree is told of at once. May never publish a
line that was not verified, nor keep a head back because a witness is away.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

from sealwright.clock import Clock
from sealwright.errors import Refused, SealwrightError, Unavailable
from sealwright.ledger.model import Log
from sealwright_validate.errors import Misconfigured as Misused
from sealwright_validate.errors import Refused as Disproved
from sealwright_validate.note import Checkpoint, decimal, open_checkpoint
from sealwright_validate.witnesses import Witness, WitnessPolicy, parse_log_key

log = logging.getLogger(__name__)
FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0
"""Seconds until a witness that failed is asked again: doubled each time, up to the second."""
QUORUM_PATIENCE = 30.0
"""Seconds for which a log may lack its quorum before that is an alarm."""
ROUNDS = 3
"""Requests for one head: the witness may know another size than we think, and its log list may be behind."""
REFUSED, QUORUM_MISSED = "witness_refused", "witness_quorum_missed"


@dataclass(frozen=True, slots=True)
class Reply:
    """A witness's answer."""

    status: int
    body: bytes


class Send(Protocol):
    """Posts to a witness."""

    def __call__(self, url: str, body: bytes) -> Reply:
        """The answer.

        Raises:
            Unavailable: there is none in time.
        """
        ...


Prove = Callable[[str, int, int], Sequence[bytes]]
"""(log id, smaller size, larger size) → the consistency proof between them, from the files just written."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a person must look at: `witness_refused` or `witness_quorum_missed`.

    `since` is when it began, seconds since 1970.
    """

    code: str
    log_id: str
    witness: str
    detail: str
    since: float


@dataclass(slots=True)
class Endpoint:
    """One witness's address and how it has been lately. Times are seconds since 1970."""

    url: str
    witnesses: tuple[Witness, ...]
    sizes: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    retry_at: float = 0.0
    error: str = ""
    cosigned_at: float | None = None


class Cosigning:
    """Collects cosignatures for the heads of all logs. For one thread, the publisher's."""

    def __init__(
        self,
        policy: WitnessPolicy,
        send: Send,
        prove: Prove,
        clock: Clock,
        tell: Callable[[Trouble], None],
        timeout: float = 2.0,
    ) -> None:
        self._policy = policy
        self._send = send
        self._prove = prove
        self._clock = clock
        self._tell = tell
        self._timeout = timeout
        self._told: set[tuple[str, str, str]] = set()
        self.endpoints = _endpoints(policy.witnesses)
        self.missed: dict[str, float] = {}
        self._pool = ThreadPoolExecutor(max(1, 2 * len(self.endpoints)), "witness")

    def cosign(self, stored: Log, published: str | None) -> str:
        """The log's signed head with the cosignatures that could be had.

        Args:
            stored: the log as it is durable; its tiles are on disk.
            published: the checkpoint that is published now, if any: its lines are kept for the same head.

        Raises:
            Refused: `log_signature`: what is stored is no head of this log.
        """
        try:
            head = open_checkpoint(stored.checkpoint, parse_log_key(stored.vkey))
        except (Disproved, Misused) as error:
            raise Refused("log_signature", "the stored head is not signed by its log", str(error)) from error
        lines = self._kept(stored.checkpoint, published, head)
        if not self._met(stored.checkpoint, lines, head):
            lines |= self._collect(stored, head)
        # The operator's own cosigner may be in the policy: its line is in the note already.
        self._judge(stored, head, lines.keys() | self._policy.cosigned(stored.checkpoint, head).keys())
        return stored.checkpoint + "".join(lines[name] for name in sorted(lines))

    def close(self) -> None:
        """Wait for nobody any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _met(self, note: str, lines: Mapping[str, str], head: Checkpoint) -> bool:
        return bool(lines) and self._policy.is_met(
            self._policy.cosigned(note + "".join(lines.values()), head)
        )

    def _kept(self, note: str, published: str | None, head: Checkpoint) -> dict[str, str]:
        if published is None or not published.startswith(note.rpartition("\n\n")[0] + "\n\n"):
            return {}
        return self._lines(
            note, published.rpartition("\n\n")[2], head, tuple(self._policy.witnesses.values())
        )

    def _lines(
        self, note: str, unverified_lines: str, head: Checkpoint, witnesses: Sequence[Witness]
    ) -> dict[str, str]:
        """The verified line of each of these witnesses. Lines of others, and false ones, are dropped."""
        found: dict[str, str] = {}
        for line in unverified_lines.split("\n")[:32]:
            if not line.startswith("\u2014 "):
                continue
            try:
                names = self._policy.cosigned(f"{note}{line}\n", head)
            except Disproved:
                continue
            for witness in witnesses:
                if witness.name in names:
                    found[witness.name] = f"{line}\n"
        return found

    def _collect(self, stored: Log, head: Checkpoint) -> dict[str, str]:
        now = self._clock.now()
        asked: dict[Future[dict[str, str]], Endpoint] = {}
        for endpoint in self.endpoints:
            if now >= endpoint.retry_at:
                asked[self._pool.submit(self._ask, endpoint, stored, head)] = endpoint
        wait(asked, self._timeout)
        lines: dict[str, str] = {}
        for future, endpoint in asked.items():
            lines |= self._outcome(future, endpoint, stored, head)
        return lines

    def _outcome(
        self, future: Future[dict[str, str]], endpoint: Endpoint, stored: Log, head: Checkpoint
    ) -> dict[str, str]:
        now = self._clock.now()
        try:
            if not future.done():
                future.cancel()
                raise Unavailable("witness_slow", f"no answer within {self._timeout:g} s")
            lines = future.result()
        except Refused as refusal:
            self._failed(endpoint, refusal, now)
            self._report(Trouble(REFUSED, stored.log_id, endpoint.url, refusal.public, now))
            return {}
        except SealwrightError as error:
            self._failed(endpoint, error, now)
            return {}
        endpoint.sizes[head.origin], endpoint.cosigned_at = head.size, now
        endpoint.failures, endpoint.retry_at, endpoint.error = 0, 0.0, ""
        return lines

    def _failed(self, endpoint: Endpoint, error: SealwrightError, now: float) -> None:
        endpoint.error = error.public
        # A log that it does not know yet is no fault of the other logs.
        pause = 0.0 if error.code == "log_unknown" else min(FIRST_PAUSE * 2**endpoint.failures, LAST_PAUSE)
        endpoint.failures = min(endpoint.failures + 1, 16)
        endpoint.retry_at = now + pause
        log.warning("a witness did not cosign", extra={"facts": {"witness": endpoint.url, "why": str(error)}})

    def _ask(self, endpoint: Endpoint, stored: Log, head: Checkpoint) -> dict[str, str]:
        """The verified lines of one witness.

        Raises:
            Refused: `witness_refused`: it has seen another tree.
            Unavailable: anything else.
        """
        old = endpoint.sizes.get(head.origin, 0)
        for _ in range(ROUNDS):
            old = min(old, head.size)
            proof = self._prove(stored.log_id, old, head.size) if 0 < old < head.size else ()
            reply = self._send(f"{endpoint.url}/add-checkpoint", _body(old, proof, stored.checkpoint))
            if reply.status != 409:  # noqa: PLR2004 - Conflict (tlog-witness)
                return self._answer(endpoint, reply, stored, head)
            old = _size_in(reply)
            if old > head.size:
                raise Refused(REFUSED, f"it has seen {old} leaves, and the log has {head.size}")
        raise Unavailable("witness_busy", "it keeps naming other sizes")

    def _answer(self, endpoint: Endpoint, reply: Reply, stored: Log, head: Checkpoint) -> dict[str, str]:
        match reply.status:
            case 200:
                text = reply.body.decode("utf-8", errors="replace")
                lines = self._lines(stored.checkpoint, text, head, endpoint.witnesses)
                if lines:
                    return lines
                raise Unavailable("witness_rubbish", "its answer holds no cosignature of a pinned key")
            case 422:
                raise Refused(REFUSED, f"the tree of {head.size} leaves is not the one that it has seen")
            case 404:
                raise Unavailable("log_unknown", "it does not know the log (yet)")
            case status:
                raise Unavailable("witness_error", f"it answered {status}")

    def _judge(self, stored: Log, head: Checkpoint, names: Collection[str]) -> None:
        now = self._clock.now()
        if self._policy.is_met(names):
            if self.missed.pop(stored.log_id, None) is not None:
                self._told = {one for one in self._told if one[:2] != (QUORUM_MISSED, stored.log_id)}
            return
        since = self.missed.setdefault(stored.log_id, now)
        if now - since >= QUORUM_PATIENCE:
            detail = f"cosigned by {sorted(names)} at {head.size} leaves"
            self._report(Trouble(QUORUM_MISSED, stored.log_id, "", detail, since))

    def _report(self, trouble: Trouble) -> None:
        key = (trouble.code, trouble.log_id, trouble.witness)
        if key not in self._told:
            self._told.add(key)
            self._tell(trouble)


def _endpoints(witnesses: Mapping[str, Witness]) -> tuple[Endpoint, ...]:
    urls: dict[str, list[Witness]] = {}
    for witness in witnesses.values():
        if witness.url:
            urls.setdefault(witness.url.rstrip("/"), []).append(witness)
    return tuple(Endpoint(url, tuple(of)) for url, of in urls.items())


def _body(old: int, proof: Sequence[bytes], note: str) -> bytes:
    hashes = "".join(f"{b64encode(node).decode('ascii')}\n" for node in proof)
    return f"old {old}\n{hashes}\n{note}".encode()


def _size_in(reply: Reply) -> int:
    try:
        return decimal(reply.body.decode("ascii").removesuffix("\n"))
    except (UnicodeDecodeError, IndexError, Disproved) as error:
        raise Unavailable("witness_rubbish", "it names no size") from error
