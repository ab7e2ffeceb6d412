"""Old trust that should have gone: keys nobody uses, manifests and databases that come back.

Carried out in one process under a virtual clock: the real rules, services, stores, signer and validators.
"""

from __future__ import annotations

from sealwright.drills.model import Drill
from sealwright.drills.stale_trust import (
    dormant_key,
    frozen_rotator,
    removed_too_early,
    restored_backup,
    rolled_back_manifest,
    unknown_key,
)
from sealwright.drills.stale_trust.yard import Control, Yard

DRILL = Drill(
    name="stale-trust",
    shows="old trust that should have gone: dormant keys, old manifests, restored backups, a frozen rotator",
    steps=(
        dormant_key.run,
        rolled_back_manifest.run,
        frozen_rotator.run,
        removed_too_early.run,
        unknown_key.run,
        restored_backup.run,
    ),
    controls=tuple(Control),
    titles={
        "1": "a key that nobody uses any more",
        "2": "yesterday's manifest",
        "3": "the rotator stands still",
        "4": "a key that is removed too early",
        "5": "keys that the ledger never saw",
        "6": "a database from a backup",
    },
    scene="a signer, an authority and two validators in this process; the hours pass in an instant",
    place=Yard,
)
