"""Step 2: a manifest that is well signed and not yet expired, and older than one that was seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

import sealwright_validate.trust_state as state
from sealwright.drills.model import Finding
from sealwright.drills.stale_trust.yard import Control, Yard, judged, without
from sealwright_validate import Refused

STEP = "2-rolled-back"


def served(yard: Yard) -> bytes:
    """The manifest as it is served now."""
    manifest = yard.world.service.manifest()
    document = {"root_version": 1, "admission": manifest.admission, "manifest": manifest.jws}
    return msgspec.json.encode(document)


def run(yard: Yard) -> Iterator[Finding]:
    """Record it, wait until the next one was heard, and play the recording."""
    yard.at(yard.now + 1)
    recorded = served(yard)
    yard.at(yard.now + yard.world.config.manifest.life // 2 + 1)
    with without(
        yard, Control.ROLLBACK_PROTECTION, state, open_manifest=_forgetful(vars(state)["open_manifest"])
    ):
        observed = fed(yard, recorded)
    attack = "play the manifest before this one to a validator"
    yield judged(STEP, attack, Control.ROLLBACK_PROTECTION, "manifest_rolled_back", observed)
    fed(yard, served(yard))


def fed(yard: Yard, document: bytes) -> str:
    """What a validator says to a manifest."""
    try:
        yard.world.parties[0].trust.feed(document)
    except Refused as refusal:
        return str(refusal.reason.value)
    return "accepted"


def _forgetful(real: Any) -> Any:
    return lambda root, document, _seen, **times: real(root, document, None, **times)
