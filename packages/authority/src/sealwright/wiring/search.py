"""One search over history, in a process of its own: `python -m sealwright.wiring.search <config> <now>`.

Takes what is new to the lake, runs the catalogue over it, raises what it finds, and prints what it did as one
JSON object. A process of its own, because a search takes memory and processor time that issuance must not
miss; it ends with its parent's wish or by itself, and what it has not done the next one does.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import Any

import msgspec

from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.detection.catalogue.model import Params
from sealwright.detection.model import StoredAlarm
from sealwright.errors import SealwrightError
from sealwright.issuer.events import GrantEvents
from sealwright.wiring.beside import Beside
from sealwright.wiring.stores import Stores

NICE = 10
LOOK_BACK = 3_600.0
"""Seconds that a search looks back at the least: what is found again has the same id, and is told once."""
MANIFEST_SLACK = 30.0
EXIT_WITHOUT_EXTRA = 3


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What one search did. `alarms` counts new ones by code and severity."""

    exported: dict[str, int]
    alarms: dict[str, int]
    pruned: int
    seconds: float


class _Moment:
    """The parent's time, carried on by this process's own clock."""

    def __init__(self, now: float) -> None:
        self._start = time.monotonic()
        self._now = now

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now + time.monotonic() - self._start


def search(config: Config, clock: Clock) -> Told:
    """Export, tidy up, hunt, prune. Needs the extra `detect`."""
    from sealwright.detection.compaction import tidy
    from sealwright.detection.engine import DuckEngine
    from sealwright.detection.export import export
    from sealwright.detection.hunting import hunt
    from sealwright.wiring import evidence

    began, stores = clock.now(), Stores.open(config, clock)
    config.lake.mkdir(mode=0o700, parents=True, exist_ok=True)
    events = GrantEvents.open(config.state.path)
    beside = Beside(stores.clients, stores.keys, stores.audit, stores.canaries, events)
    exported = evidence.keep(config, stores.ledger.logs(), began)
    exported |= export(config.lake, stores.ledger, stores.keys, stores.observations, beside, events)
    tidy(config.lake)  # before anything is read
    engine = DuckEngine(config.lake)
    try:
        params = Params(
            since=began - max(LOOK_BACK, 2.0 * config.detection.every),
            now=began,
            complete_until=began,
            manifest_life=config.manifest.life + MANIFEST_SLACK,
            checkpoint_age=2.0 * config.detection.every,
            witnesses=1 if config.witness.policy else 0,
        )
        new = hunt(engine.tables(), params, stores.alarms, engine.runnable())
    finally:
        engine.close()
    pruned = stores.observations.prune(began - config.detection.hot)
    return Told(exported=exported, alarms=_counted(new), pruned=pruned, seconds=clock.now() - began)


def _counted(new: list[StoredAlarm]) -> dict[str, int]:
    return dict(Counter(f"{one.alarm.code} {one.alarm.severity.value}" for one in new))


def main(arguments: list[str]) -> int:
    """`<configuration as JSON> <unix seconds>`."""
    os.nice(NICE)
    config = msgspec.json.decode(arguments[0], type=Config)
    try:
        told: Any = search(config, _Moment(float(arguments[1])))
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_WITHOUT_EXTRA
    except SealwrightError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
