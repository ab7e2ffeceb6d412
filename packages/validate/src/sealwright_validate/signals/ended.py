"""What security events have ended, in memory and in a journal that every process of a service shares.

An event counts as taken only when its line is on disk, so that a restart forgets nothing. May never drop an
entry that could still matter: when there is no room, no more is taken.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

from sealwright_validate.clock import Clock
from sealwright_validate.errors import Misconfigured, Reason, Refused, Unavailable
from sealwright_validate.signals.effects import Effect, Kind

MAX_ENTRIES: Final = 500_000
KEEP: Final = {Kind.KEY: 90 * 86_400.0, Kind.TOKEN: 2 * 86_400.0, Kind.SESSION: 2 * 86_400.0}
"""Seconds: no token that is accepted lives longer than a day; a key comes back never."""
_Session = tuple[str, str, str]


class Ended:
    """Safe in threads; processes share the journal and follow it with `follow`."""

    def __init__(self, journal: Path, *, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._lock = Lock()
        self._forget_all()
        try:
            journal.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                self._compact()
        except OSError as error:
            raise Misconfigured(f"the journal of signals cannot be kept: {error}") from None
        self.follow()

    def __len__(self) -> int:
        return len(self._keys) + len(self._tokens) + len(self._sessions)

    def _forget_all(self) -> None:
        self._keys: dict[tuple[str, str], float] = {}
        self._tokens: dict[tuple[str, str], float] = {}
        self._sessions: dict[_Session, float] = {}
        self._read, self._inode = 0, -1

    def end(self, effect: Effect) -> None:
        """End something: on disk first, then here. Raises Unavailable when it cannot be kept."""
        if len(self) >= MAX_ENTRIES:
            raise Unavailable("there is no room for more signals")
        line = json.dumps({"received": self._clock.wall(), **effect._asdict()}) + "\n"
        try:
            with self._locked(), self._journal.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(f"the journal of signals cannot be written: {error}") from None
        with self._lock:
            self._apply(effect)

    def follow(self) -> None:
        """Take in what other processes have written since."""
        with self._lock:
            try:
                status = self._journal.stat()
                if (status.st_ino, status.st_size) == (self._inode, self._read):
                    return
                if status.st_ino != self._inode or status.st_size < self._read:
                    self._forget_all()
                    self._inode = status.st_ino
                with self._journal.open("rb") as file:
                    file.seek(self._read)
                    for line in file:
                        if not line.endswith(b"\n"):  # another process is writing it
                            break
                        self._read += len(line)
                        self._apply(_effect(json.loads(line)))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise Unavailable(f"the journal of signals cannot be read: {error}") from None

    def is_ended(self, kid: str, claims: Mapping[str, Any]) -> Reason | None:
        """Why a token is ended, None where it is not. `claims` come from a verified signature."""
        if not (self._keys or self._tokens or self._sessions):
            return None
        issuer, issued = claims.get("iss"), claims.get("iat", 0)
        if not isinstance(issuer, str):
            return None
        spared = self._keys.get((issuer, kid))
        if spared is not None and issued >= spared:
            return Reason.KEY_REVOKED
        jti = claims.get("jti")
        if isinstance(jti, str) and self._tokens:
            place = jti.rpartition(".")[0]  # a token can be named by its place in the ledger alone
            if (issuer, jti) in self._tokens or (issuer, place) in self._tokens:
                return Reason.TOKEN_REVOKED
        sub, client = claims.get("sub", ""), claims.get("client_id", "")
        for session in ((issuer, "", ""), (issuer, sub, ""), (issuer, "", client), (issuer, sub, client)):
            at = self._sessions.get(session)
            if at is not None and issued <= at:
                return Reason.TOKEN_REVOKED
        return None

    def require_living(self, kid: str, claims: Mapping[str, Any]) -> None:
        """Refuse a token that a security event has ended."""
        reason = self.is_ended(kid, claims)
        if reason is not None:
            raise Refused(reason, "ended by a security event")

    def _apply(self, effect: Effect) -> None:
        match effect.kind:
            case Kind.KEY:
                key = (effect.iss, effect.kid)
                self._keys[key] = min(effect.at, self._keys.get(key, effect.at))
            case Kind.TOKEN:
                self._tokens[effect.iss, effect.jti] = effect.at
            case Kind.SESSION:
                session = (effect.iss, effect.sub, effect.client)
                self._sessions[session] = max(effect.at, self._sessions.get(session, effect.at))

    def _compact(self) -> None:
        """Leave out what can matter no more. Only when something can be: a new file costs the others a
        reading.
        """
        if not self._journal.exists():
            self._journal.touch(mode=0o600)
            return
        now = self._clock.wall()
        lines = self._journal.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith(b"\n") and _matters(line, now)]
        if len(kept) < len(lines):
            fresh = self._journal.with_suffix(".new")
            with fresh.open("wb") as file:
                file.writelines(kept)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._journal)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, over processes."""
        with self._journal.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _effect(entry: dict[str, Any]) -> Effect:
    members = {name: entry[name] for name in Effect._fields}
    return Effect(**{**members, "kind": Kind(members["kind"])})


def _matters(line: bytes, now: float) -> bool:
    entry = json.loads(line)
    return bool(now - entry["received"] <= KEEP[Kind(entry["kind"])])
