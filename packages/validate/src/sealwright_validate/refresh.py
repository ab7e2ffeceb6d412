"""The thread that refreshes keys, and the way in which an unknown key id may hurry it.

Starts with the first use and again after a fork. Single flight; a bounded number of callers waits; an id that
was not found is not asked for again for a while. May never turn a flood of unknown key ids into a flood of
requests.
"""

import logging
import os
import weakref
from collections.abc import Callable
from random import SystemRandom
from threading import Condition, Event, Thread
from typing import Final

from sealwright_validate.clock import Clock
from sealwright_validate.errors import Refused, Unavailable

_LOG: Final = logging.getLogger("sealwright_validate")
JITTER: Final = SystemRandom()
RETRY_FIRST: Final = 0.5  # seconds
RETRY_LAST: Final = 5.0  # seconds
_MAX_WAITING: Final = 8  # callers that may wait for a hurried pull at once
_MISS_LIFETIME: Final = 30.0  # seconds for which a key id counts as unknown without asking again
_MAX_MISSES: Final = 1024


class Refresher:
    """Calls `pull` again and again: after `pause()` seconds, sooner after a failure or for an unknown key
    id.
    """

    def __init__(
        self,
        pull: Callable[[], None],
        pause: Callable[[], float],
        knows: Callable[[str], bool],
        *,
        clock: Clock,
        eager_interval: float,
        beside: Callable[[Event], None] | None = None,
    ) -> None:
        self._pull = pull
        self._pause = pause
        self._knows = knows
        self._clock = clock
        self._eager_interval = eager_interval
        self._beside = beside
        self._begin()
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _after_fork(reference))

    def _begin(self) -> None:
        self.stop = Event()
        self._started = False
        self._wake = Event()
        self._done = Condition()
        self._pulls = 0
        self._pulling = False
        self._failing = False
        self._waiting = 0
        self._eager_at = float("-inf")
        self._misses: dict[str, float] = {}

    def start(self) -> None:
        """Start the threads unless they run."""
        with self._done:
            if self._started or self.stop.is_set():
                return
            self._started = True
            stop = self.stop
        Thread(target=self._run, args=(stop,), name="sealwright-pull", daemon=True).start()
        if self._beside is not None:
            Thread(target=self._beside, args=(stop,), name="sealwright-push", daemon=True).start()

    def close(self) -> None:
        """Stop the threads; what is trusted stays until it expires."""
        self.stop.set()
        self._wake.set()

    def hurry(self) -> None:
        """Pull soon: something may have been missed."""
        self._wake.set()

    def arrived(self) -> None:
        """Tell waiting callers that keys came in by another way."""
        with self._done:
            self._done.notify_all()

    def wait_ready(self, ready: Callable[[], bool], timeout: float) -> None:
        """Wait until a first pull has ended, well or badly, at most `timeout` seconds."""
        self.start()
        with self._done:
            self._done.wait_for(lambda: self._pulls > 0 or ready(), timeout)

    def may_learn(self, kid: str) -> bool:
        """Whether asking again for this key id could help: it was not asked for just now."""
        until = self._misses.get(kid)
        return not self._failing and (until is None or self._clock.monotonic() >= until)

    def learn(self, kid: str, timeout: float) -> None:
        """Pull at once for a key id that is not known, or join a pull that is under way."""
        self.start()
        with self._done:
            now = self._clock.monotonic()
            # While pulls fail nobody waits for one: retries go on by themselves, threads are for others.
            if self._failing or self._waiting >= _MAX_WAITING or not self.may_learn(kid):
                return
            if not self._pulling:
                if now - self._eager_at < self._eager_interval:
                    return
                self._eager_at = now
                self._pulling = True
                self._wake.set()
            self._waiting += 1
            seen = self._pulls
            try:
                self._done.wait_for(lambda: self._pulls > seen or self._knows(kid), timeout)
            finally:
                self._waiting -= 1
            if not self._knows(kid):
                self._remember_miss(kid, now)

    def _remember_miss(self, kid: str, now: float) -> None:
        while len(self._misses) >= _MAX_MISSES:
            del self._misses[next(iter(self._misses))]
        self._misses[kid] = now + _MISS_LIFETIME

    def _run(self, stop: Event) -> None:
        retry = RETRY_FIRST
        while not stop.is_set():
            self._wake.clear()
            with self._done:
                self._pulling = True
            try:
                self._pull()
                pause, retry = self._pause(), RETRY_FIRST
                failed = False
            except (Unavailable, Refused) as error:
                _LOG.warning("keys could not be refreshed: %s", error)
                pause = retry * JITTER.uniform(0.5, 1.0)
                retry = min(retry * 2, RETRY_LAST)
                failed = True
            with self._done:
                self._pulling, self._failing = False, failed
                self._pulls += 1
                self._done.notify_all()
            self._wake.wait(pause)


def _after_fork(reference: "weakref.ref[Refresher]") -> None:
    refresher = reference()
    if refresher is not None:
        refresher._begin()  # noqa: SLF001 - the same module
