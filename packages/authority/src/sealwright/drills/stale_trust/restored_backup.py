"""Step 6: the database of this morning is put back, in which a revoked key was still trusted."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

import sealwright_validate.trust_state as state
from sealwright.config.model import StateConfig
from sealwright.drills.model import Finding
from sealwright.drills.simulation.world import FlakyStore
from sealwright.drills.stale_trust.rolled_back_manifest import fed, served
from sealwright.drills.stale_trust.yard import Control, Yard, judged, without
from sealwright.errors import Misconfigured
from sealwright.wiring import startcheck
from sealwright.wiring.stores import Stores

STEP = "6-backup"
AHEAD = 100
"""Versions by which the attacker numbers the restored state's next manifest ahead."""


def run(yard: Yard) -> Iterator[Finding]:
    """Back up, revoke, put the backup back."""
    key = yard.active("enterprise")
    yard.persist()
    with tempfile.TemporaryDirectory(prefix="sealwright-drill-") as name:
        _copy(yard.directory / "sealwright.db", Path(name) / "sealwright.db")
        yard.do(yard.world.service.revoke(key.kid, "key_compromise"))
        yard.at(yard.now + 1)
        yard.persist()
        config = msgspec.structs.replace(yard.world.config, state=StateConfig(directory=name))
        restored = Stores.open(config, yard.world.clock)
        yield _start(yard, restored)
        yield _come_back(yard, restored)


def _copy(database: Path, to: Path) -> None:
    source, target = sqlite3.connect(database), sqlite3.connect(to)
    with source, target:
        source.backup(target)
    source.close()
    target.close()


def _start(yard: Yard, restored: Stores) -> Finding:
    newest, files = restored.keys.latest_manifest(), yard.directory / "ledger"
    flawed = {"require_not_restored": lambda *_given: None, "require_sound": lambda *_given: None}
    with without(yard, Control.BACKUP_CHECK, startcheck, **flawed):
        try:
            startcheck.before_serving(restored.ledger, newest, files, yard.now)
            observed = "serves as if nothing had happened"
        except Misconfigured as error:
            observed = error.code
    attack = "put back a database from before the revocation, and start"
    return judged(f"{STEP}-start", attack, Control.BACKUP_CHECK, "state_rolled_back", observed)


def _come_back(yard: Yard, restored: Stores) -> Finding:
    """Whoever gets past the start has a new signer and numbers ahead; validators remember what is buried."""
    newest = yard.world.service.manifest()
    restored.keys.add_manifest(replace(newest, version=newest.version + AHEAD, content=""))
    yard.do(yard.world.kill_signer())
    yard.world.store = FlakyStore(restored.keys)
    yard.world.kill_authority()
    heard = list(yard.world.parties)
    yard.world.parties = []  # what comes now is shown to a validator by hand
    yard.at(yard.now + 1)
    yard.world.parties = heard
    with without(yard, Control.TOMBSTONES, state, open_manifest=_unburied(vars(state)["open_manifest"])):
        observed = fed(yard, served(yard))
    attack = "publish the restored keys with a new signer and a higher version"
    return judged(f"{STEP}-tombstones", attack, Control.TOMBSTONES, "manifest_inconsistent", observed)


def _unburied(real: Any) -> Any:
    def opened(root: Any, document: Any, seen: Any, **times: Any) -> Any:
        return real(root, document, seen and replace(seen, tombstones=MappingProxyType({})), **times)

    return opened
