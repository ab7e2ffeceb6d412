"""Starts the parts in order, watches them, restarts what dies, ends them in reverse order.

One thread, nothing read from a network. May never leave a child behind when it returns, and never gives up on
a part that was up once.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from sealwright.errors import SealwrightError, Unavailable
from sealwright.supervisor.model import Stage
from sealwright.supervisor.ports import Part, Reporter
from sealwright.supervisor.rules import History

TICK = 0.1
"""Seconds between two looks at the parts."""
SETTLE = 1.0
"""Seconds between two parts of a rolling restart: the authority finds a new signer within them."""
START_LIMIT = 60.0
"""Seconds that a part may take until it serves."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    part: Part
    stage: Stage = Stage.DOWN
    history: History = field(default_factory=History)
    since: float = 0.0
    due: float = 0.0
    was_up: bool = False


class Supervisor:
    """Keeps parts running.

    Args:
        parts: in the order in which they are started; they end in the reverse order.
        reporter: who is told.
        monotonic: a clock that never goes back, in seconds.
        spare: names of parts that nothing waits for, at the first start either.
        rolls: how often people asked so far for a rolling restart.
        rolling: names of the parts that are replaced then, one after another.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        reporter: Reporter,
        monotonic: Callable[[], float],
        spare: Collection[str] = (),
        rolls: Callable[[], int] = lambda: 0,
        rolling: Collection[str] = (),
    ) -> None:
        self._rolls, self._rolled, self._rolling = rolls, rolls(), frozenset(rolling)
        self._spare = frozenset(spare)
        self._watched = [_Watched(part) for part in parts]
        self._reporter = reporter
        self._monotonic = monotonic
        self._beside: list[Callable[[], None]] = []

    def beside(self, work: Callable[[], None]) -> None:
        """Do this at every tick as well; it must not raise, nor take long."""
        self._beside.append(work)

    def run(self, stop: threading.Event, on_ready: Callable[[], None]) -> None:
        """Start everything, call `on_ready`, and keep it running until `stop` is set; then end everything.

        Raises:
            SealwrightError: a part did not come up at the first start. Everything was ended again.
        """
        for watched in self._watched:
            watched.part.prepare()
        try:
            for watched in self._watched:
                if watched.part.name not in self._spare:  # these are brought up by the first tick
                    self._bring_up(watched, stop)
            if not stop.is_set():
                on_ready()
            while not stop.wait(TICK):
                self.tick()
                if (asked := self._rolls()) > self._rolled:
                    self._rolled = asked
                    self._roll(stop)
        finally:
            self._stop_all()

    def tick(self) -> None:
        """Look at every part once, and do what is due."""
        for work in self._beside:
            work()
        for watched in self._watched:
            if watched.stage is not Stage.DOWN and (how := watched.part.ended()) is not None:
                self._died(watched, how)
            elif watched.stage is Stage.DOWN:
                self._restart(watched)
            elif watched.stage is Stage.STARTING:
                self._look(watched)
            else:
                self._tend(watched)

    def _bring_up(self, watched: _Watched, stop: threading.Event) -> None:
        part = watched.part
        watched.since = self._monotonic()
        part.start()
        watched.stage = Stage.STARTING
        while not part.ready():
            how = part.ended()
            if how is not None or self._monotonic() - watched.since > START_LIMIT:
                how = how or f"it did not serve within {START_LIMIT:.0f} s"
                raise Unavailable("part_failed", f"{part.name} did not start: {how}", part.last_words())
            if stop.wait(TICK / 4):
                return
        self._came_up(watched)

    def _roll(self, stop: threading.Event) -> None:
        """Replace one part after another; each serves before the next one ends."""
        for watched in self._watched:
            if watched.part.name not in self._rolling or watched.stage is not Stage.UP or stop.is_set():
                continue
            log.info("rolling restart", extra={"facts": {"part": watched.part.name}})
            watched.part.stop()
            watched.stage = Stage.DOWN
            try:
                self._bring_up(watched, stop)
            except SealwrightError as error:
                watched.part.stop()
                self._died(watched, error.public)
            stop.wait(SETTLE)

    def _came_up(self, watched: _Watched) -> None:
        now = self._monotonic()
        watched.stage, watched.history = Stage.UP, watched.history.came_up(now)
        seconds = now - watched.since
        facts = {"part": watched.part.name, "pid": watched.part.pid, "seconds": round(seconds, 3)}
        log.info("up", extra={"facts": facts})
        self._reporter.up(watched.part.name, watched.part.pid, seconds, again=watched.was_up)
        watched.was_up = True

    def _died(self, watched: _Watched, how: str) -> None:
        now = self._monotonic()
        if watched.stage is Stage.UP:
            watched.since = now
        watched.stage, watched.history = Stage.DOWN, watched.history.died(now)
        watched.due = now + watched.history.delay
        facts = {"part": watched.part.name, "how": how, "retry_in": watched.history.delay}
        log.error("died", extra={"facts": facts})
        self._bury(watched.part)
        self._reporter.died(watched.part.name, how, watched.history.delay)

    def _bury(self, part: Part) -> None:
        try:
            part.bury()
        except SealwrightError as error:
            log.warning("could not be buried", extra={"facts": {"part": part.name, "error": str(error)}})

    def _restart(self, watched: _Watched) -> None:
        if self._monotonic() < watched.due:
            return
        try:
            watched.part.start()
        except SealwrightError as error:
            watched.part.stop()
            self._died(watched, error.public)
            return
        watched.stage, watched.due = Stage.STARTING, self._monotonic() + START_LIMIT
        self._look(watched)

    def _look(self, watched: _Watched) -> None:
        if watched.part.ready():
            self._came_up(watched)
        elif self._monotonic() > watched.due:
            watched.part.stop()
            self._died(watched, f"it did not serve within {START_LIMIT:.0f} s")

    def _tend(self, watched: _Watched) -> None:
        try:
            watched.part.tend()
        except SealwrightError as error:
            log.warning(
                "could not be tended", extra={"facts": {"part": watched.part.name, "error": str(error)}}
            )

    def _stop_all(self) -> None:
        # Whatever goes wrong with one part, the others are ended too; the stack ends them in reverse order.
        with contextlib.ExitStack() as stack:
            for watched in self._watched:
                stack.callback(self._stop, watched)

    def _stop(self, watched: _Watched) -> None:
        if watched.part.pid is None:
            return
        watched.part.stop()
        watched.stage = Stage.DOWN
        log.info("stopped", extra={"facts": {"part": watched.part.name}})
        self._reporter.stopped(watched.part.name)
