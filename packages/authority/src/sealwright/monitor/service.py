"""The monitor: one round after another over manifest, log list and every log (docs/formats/monitor.md).

Does the looking; what is decided is in `logs`, `leaves` and `reading`. May never stop because something that
it reads is wrong: that is what it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

import msgspec

from sealwright.errors import Misconfigured, Unavailable
from sealwright.ledger.follow import Follower
from sealwright.monitor.book import AlarmBook
from sealwright.monitor.logs import WatchedLog, new_log, restored
from sealwright.monitor.model import Alarm, Broken, Code, Finding, LogView, Report, Tally
from sealwright.monitor.reading import Mark, Reader
from sealwright.monitor.state import Saved, StateFile
from sealwright.monitor.witnesses import Witnesses
from sealwright_validate.clock import SYSTEM_CLOCK, Clock
from sealwright_validate.encoding import decode_base64url, decode_json_object
from sealwright_validate.errors import Reason, Refused
from sealwright_validate.keyset import KeySnapshot
from sealwright_validate.log_list import ListedLog

FETCHES = 8
"""Files that are fetched at once."""
Watch = Callable[[str, int, int], None]
"""(log id, leaves read, leaves in all)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as wrong. Times are seconds; `realms` empty accepts keys of any realm. `again`: bundles of
    each log that are read again in a round.
    """

    grace: float = 30.0
    quiet_after: float = 43_200.0
    closed_again: float = 600.0
    again: int = 8
    realms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Manifest:
    """The manifest in force: what it says, the digest of its JWS, and the log whose identity signed it."""

    snapshot: KeySnapshot
    digest: str
    log_id: str
    life: float


class Monitor:
    """Watches one Sealwright. For one thread."""

    def __init__(
        self,
        follower: Follower,
        rules: Rules,
        *,
        clock: Clock = SYSTEM_CLOCK,
        state: StateFile | None = None,
        witnesses: Witnesses | None = None,
    ) -> None:
        self._follower = follower
        self._rules = rules
        self._clock = clock
        self._state = state
        self._witnesses = witnesses
        self._began = clock.monotonic()
        self._manifest: _Manifest | None = None
        self._pool = ThreadPoolExecutor(FETCHES, "monitor")
        self.tally = Tally()
        saved = state.load() if state is not None else Saved()
        self.alarms = AlarmBook(rules.grace, saved.kept)
        self.logs: dict[str, WatchedLog] = {}
        if state is not None:
            try:
                self.logs = restored(saved.logs, rules.realms, clock.wall())
            except ValueError as error:
                raise Misconfigured(
                    "monitor_state", f"the saved state does not fit itself: {error}"
                ) from error

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def round(self, watch: Watch = lambda _log, _done, _all: None) -> list[Alarm]:
        """Look at everything once; returns the alarms that are new."""
        self.alarms.begin(self._clock.wall())
        self._look_at_manifest()
        listed = self._look_at_list()
        for log_id, entry in listed.items():
            self._look_at_log(log_id, entry, watch)
        self._compare(listed)
        self._look_for_silence(listed)
        if self._state is not None:
            saved = {log_id: log.saved() for log_id, log in self.logs.items()}
            self._state.save(Saved(saved, self.alarms.kept))
        return self.alarms.end()

    def report(self) -> Report:
        """How everything stands."""
        views = [
            LogView(
                log_id,
                log.key.origin,
                log.evidence,
                not log.closed,
                log.size,
                log.position.tree.size,
                log.state,
            )
            for log_id, log in self.logs.items()
        ]
        return Report(views, self.tally, self._clock.monotonic() - self._began, self.alarms.standing)

    def _look_at_manifest(self) -> None:
        try:
            served, snapshot = self._follower.pull_manifest()
        except Unavailable as error:
            self.alarms.after_grace("", Finding(Code.UNREACHABLE, str(error), subject="manifest"))
        except Refused as refusal:
            finding = Finding(Code.MANIFEST_REFUSED, str(refusal), subject=refusal.reason.value)
            stale = refusal.reason is Reason.MANIFEST_STALE
            (self.alarms.after_grace if stale else self.alarms.at_once)("", finding)
        else:
            document = decode_json_object(served)
            signer = _payload(document["admission"])["incarnation"]
            said = _payload(document["manifest"])
            digest = sha256(document["manifest"].encode()).hexdigest()
            life = float(said["expires_at"] - said["issued_at"])
            self._manifest = _Manifest(snapshot, digest, str(signer), life)

    def _look_at_list(self) -> dict[str, ListedLog]:
        try:
            listed = dict(self._follower.pull_logs().logs)
        except Unavailable as error:
            self.alarms.after_grace("", Finding(Code.UNREACHABLE, str(error), subject="log list"))
        except Refused as refusal:
            self.alarms.at_once(
                "", Finding(Code.LOG_LIST_REFUSED, str(refusal), subject=refusal.reason.value)
            )
        else:
            for log_id in self.logs.keys() - listed:
                self.alarms.at_once(
                    log_id, Finding(Code.LOG_VANISHED, "it was listed before and is no longer")
                )
            return listed
        last = self._follower.logs
        return dict(last.logs) if last is not None else {}

    def _look_at_log(self, log_id: str, listed: ListedLog, watch: Watch) -> None:
        now = self._clock.wall()
        log = self.logs.get(log_id)
        if log is None:
            log = self.logs[log_id] = new_log(log_id, listed.key, self._rules.realms, now)
        log.evidence, log.closed = listed.evidence.value, listed.closed_at is not None
        done = log.closed and log.state == "final" and log.position.tree.size == listed.size
        if done and now - log.looked_at < self._rules.closed_again:
            return
        log.looked_at = now
        try:
            log.state = self._read(log_id, log, listed, watch)
        except Broken as broken:
            log.state = broken.finding.code.value
            self.alarms.at_once(log_id, broken.finding)
        except Unavailable as error:
            log.state = "no answer"
            self.alarms.after_grace(log_id, Finding(Code.UNREACHABLE, str(error)))

    def _read(self, log_id: str, log: WatchedLog, listed: ListedLog, watch: Watch) -> str:
        """Read one log as far as it goes; what to call its state."""
        if log.key != listed.key:
            raise Broken(Code.UNKNOWN_INCARNATION, "it is listed with another key or origin than before")
        find = partial(self._find, log_id)
        served = find("checkpoint")
        if served is None:
            if listed.size or log.position.tree.size:
                self.alarms.after_grace(log_id, Finding(Code.CHECKPOINT_REFUSED, "no checkpoint is served"))
            return "empty"
        note = served.decode("utf-8", errors="replace")
        head = log.open_head(note)
        if head.size >= listed.size:
            log.require_listed(head, listed)
        self._mark(log_id, log, listed, head.size)
        reader = Reader(find, self._pool, self.tally)
        log.read_to(head, reader, self._clock.wall(), partial(_told, watch, log_id, head.size))
        for finding in log.position.audit.findings.values():
            self.alarms.keep(log_id, finding)
        log.position.audit.findings.clear()
        for finding in log.look_again(head, reader, self._rules.again):
            self.alarms.at_once(log_id, finding)
        missing = self._witnesses.missing(note, head) if self._witnesses else None
        if missing is not None:
            self.alarms.after_grace(log_id, Finding(Code.NOT_WITNESSED, missing))
        if head.size < listed.size:
            detail = f"a head of {head.size} leaves is served, the log list names {listed.size}"
            self.alarms.after_grace(log_id, Finding(Code.ROLLBACK, detail, subject="log list"))
            return "behind"
        return "final" if log.closed else "ok"

    def _find(self, log_id: str, path: str) -> bytes | None:
        return self._follower.find(f"/ledger/{log_id}/{path}")

    def _mark(self, log_id: str, log: WatchedLog, listed: ListedLog, size: int) -> None:
        """Take in which heads others have seen of this log."""
        if listed.size:
            log.note_mark(Mark(listed.size, listed.root, "the log list"))
        for seen in self._witnesses.heads(log.key) if self._witnesses else ():
            if isinstance(seen, str):
                self.alarms.after_grace(
                    "", Finding(Code.UNREACHABLE, f"witness {seen}", subject=f"witness {seen}")
                )
                continue
            log.note_mark(seen)
            if seen.size > size:
                detail = f"a head of {size} leaves is served, {seen.who} has seen {seen.size}"
                self.alarms.after_grace(log_id, Finding(Code.ROLLBACK, detail, subject=seen.who))

    def _compare(self, listed: dict[str, ListedLog]) -> None:
        """The manifest against the logs."""
        manifest = self._manifest
        if manifest is None:
            return
        for log_id, key in manifest.snapshot.logs.items():
            entry = listed.get(log_id)
            if entry is None or entry.key != key:
                detail = "the manifest names it; the log list does not, or with another key"
                self.alarms.after_grace(log_id, Finding(Code.UNKNOWN_INCARNATION, detail))
        for kid, trusted in manifest.snapshot.keys.items():
            of = self.logs.get(trusted.incarnation or "")
            life = of.position.audit.keys.get(decode_base64url(kid)) if of else None
            if life is None or life.realm != trusted.realm:
                detail = f"key {kid} is in the manifest, and its log has not announced it so"
                finding = Finding(Code.UNEXPECTED_KEY, detail, subject=kid)
                self.alarms.after_grace(trusted.incarnation or "", finding)
        signer = self.logs.get(manifest.log_id)
        if signer is None or manifest.digest not in signer.position.audit.manifests:
            detail = f"manifest version {manifest.snapshot.version} is not in the log of its signer"
            finding = Finding(Code.UNLOGGED_MANIFEST, detail, subject=manifest.digest)
            self.alarms.after_grace(manifest.log_id, finding)

    def _look_for_silence(self, listed: dict[str, ListedLog]) -> None:
        now, manifest = self._clock.wall(), self._manifest
        for log_id, entry in listed.items():
            log = self.logs[log_id]
            if entry.closed_at is not None:
                continue
            signs = manifest is not None and manifest.log_id == log_id
            limit = manifest.life + self._rules.grace if signs and manifest else self._rules.quiet_after
            if now - log.grown_at >= limit:
                detail = f"no new head for {now - log.grown_at:.0f} s, at {log.position.tree.size} leaves"
                self.alarms.at_once(log_id, Finding(Code.LOG_STOPPED, detail))


def _told(watch: Watch, log_id: str, size: int, done: int) -> None:
    watch(log_id, done, size)


def _payload(compact: Any) -> dict[str, Any]:
    """The payload of a JWS that was verified."""
    members: dict[str, Any] = msgspec.json.decode(decode_base64url(str(compact).split(".")[1]))
    return members
