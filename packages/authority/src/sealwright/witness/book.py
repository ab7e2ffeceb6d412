"""The logs that a witness cosigns: those of its policy file, and those of the authorities that it follows.

A log of a followed authority is taken from its log list under the pinned root, and is remembered when the
list cannot be had. May never take a log's key from a submission.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

from sealwright.clock import Clock
from sealwright.errors import SealwrightError
from sealwright.ledger.follow import Follower
from sealwright.witness.model import KnownLog
from sealwright_validate import errors as validate_errors
from sealwright_validate.keyset import LogKey

log = logging.getLogger(__name__)
EAGER_INTERVAL = 1.0
"""Seconds between looks that unknown origins may cause."""
REFRESH = 60.0
"""Seconds between looks at the log lists."""


class FollowedLogs:
    """A `LogBook`. Safe to use from several threads."""

    def __init__(self, fixed: Mapping[str, LogKey], followers: Sequence[Follower], clock: Clock) -> None:
        self._logs = {origin: KnownLog(key) for origin, key in fixed.items()}
        self._followers = tuple(followers)
        self._clock = clock
        self._looked = float("-inf")
        self._lock = threading.Lock()

    def known(self) -> Mapping[str, KnownLog]:
        """Every log by its origin."""
        return dict(self._logs)

    def find(self, origin: str) -> KnownLog | None:
        """The log of this origin; the lists are read again for one that is not known."""
        found = self._logs.get(origin)
        if found is None and self._followers:
            self.refresh(EAGER_INTERVAL)
            found = self._logs.get(origin)
        return found

    def refresh(self, interval: float = 0.0) -> None:
        """Read the log lists, unless that was done within `interval` seconds. Failures are logged."""
        # Whoever comes while it is being read does not wait: strangers must not tie up every thread.
        if not self._lock.acquire(blocking=False):
            return
        try:
            if abs(self._clock.now() - self._looked) >= interval:
                for follower in self._followers:
                    self._read(follower)
                self._looked = self._clock.now()
        finally:
            self._lock.release()

    def _read(self, follower: Follower) -> None:
        try:
            listed = follower.pull_logs()
        except (SealwrightError, validate_errors.Refused) as error:
            log.warning("a log list cannot be used", extra={"facts": {"error": str(error)}})
            return
        for entry in listed.logs.values():
            self._logs[entry.key.origin] = KnownLog(entry.key, entry.closed_at is None)
