"""The operator's own ML-DSA-44 line on each published head: see ADR 0050.

A witness in this process, over the logs of this authority: it remembers the head that it cosigned last,
durably, before it gives its line out, and cosigns nothing that does not grow from there. May never stand in
for a witness elsewhere, nor keep a head from being published.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.config.signer_policy import origin_prefix
from sealwright.errors import Refused as Refusal
from sealwright.errors import SealwrightError
from sealwright.files import read_private
from sealwright.ledger.cosigning import REFUSED, Trouble
from sealwright.ledger.model import Log
from sealwright.store.witness import FileWitnessStore
from sealwright.witness.model import KnownLog
from sealwright.witness.service import SizeConflict, Witness
from sealwright.witness.signing import NAME_FILE, open_cosigners
from sealwright_validate.cosignature import ML_DSA_44
from sealwright_validate.errors import Misconfigured, Refused
from sealwright_validate.witnesses import parse_log_key

log = logging.getLogger(__name__)
DIRECTORY, NAME = "cosigner", "cosigner"
"""In the state directory; behind the origin prefix of this authority's logs."""
Prove = Callable[[str, int, int], Sequence[bytes]]
"""(log id, smaller size, larger size) → the consistency proof between them."""


class OwnLogs:
    """A `LogBook` of the one log that is being published."""

    def __init__(self) -> None:
        self._known: dict[str, KnownLog] = {}

    def known(self) -> Mapping[str, KnownLog]:
        """Every log that was published since the start."""
        return dict(self._known)

    def find(self, origin: str) -> KnownLog | None:
        """The log of this origin."""
        return self._known.get(origin)

    def take(self, stored: Log) -> None:
        """This log is ours: its key is from our own store, not from the head."""
        self._known.setdefault(stored.origin, KnownLog(parse_log_key(stored.vkey)))


class OwnCosigner:
    """Adds one line. For one thread, the publisher's."""

    def __init__(
        self, directory: Path, name: str, prove: Prove, clock: Clock, tell: Callable[[Trouble], None]
    ) -> None:
        """`tell` hears of a head that does not grow from the one before."""
        cosigners = open_cosigners(directory, name, kinds=(ML_DSA_44,))
        self._logs = OwnLogs()
        store = FileWitnessStore(directory / "logs", [cosigner.key for cosigner in cosigners])
        self._witness = Witness(cosigners, self._logs, store, clock)
        self._store = store
        self._prove = prove
        self._tell = tell

    @property
    def vkey(self) -> str:
        """The verifier key that others pin as a witness."""
        return self._witness.vkeys[0]

    def cosigned(self, stored: Log) -> Log:
        """The log with our line on its head; as it is where we have cosigned another tree, or cannot write.

        The tiles of its size are on disk.
        """
        try:
            self._logs.take(stored)
            before = self._store.get(stored.origin)
            if before is not None and before.note.startswith(stored.checkpoint):
                return replace(stored, checkpoint=before.note)
            old = before.head.size if before is not None else 0
            proof = self._prove(stored.log_id, old, stored.size) if 0 < old < stored.size else ()
            lines = self._witness.add_checkpoint(_body(old, proof, stored.checkpoint))
        except (SealwrightError, Refused, Misconfigured, SizeConflict, ValueError) as error:
            if isinstance(error, Refusal):
                self._tell(Trouble(REFUSED, stored.log_id, NAME, error.public, 0.0))
            facts = {"log_id": stored.log_id, "why": str(error)}
            log.warning("our own cosigner has not cosigned a head", extra={"facts": facts})
            return stored
        return replace(stored, checkpoint=stored.checkpoint + lines)


def _body(old: int, proof: Sequence[bytes], note: str) -> bytes:
    hashes = "".join(f"{b64encode(node).decode('ascii')}\n" for node in proof)
    return f"old {old}\n{hashes}\n{note}".encode()


def own_cosigner(
    config: Config, prove: Prove, clock: Clock, tell: Callable[[Trouble], None] = lambda _trouble: None
) -> OwnCosigner:
    """The cosigner of this configuration's state directory; its key is made where there is none, for a name
    that it keeps.

    Raises:
        sealwright.errors.Misconfigured: its directory cannot be used.
    """
    directory = config.state.path / DIRECTORY
    named = directory / NAME_FILE
    name = read_private(named).decode() if named.exists() else f"{origin_prefix(config)}/{NAME}"
    return OwnCosigner(directory, name, prove, clock, tell)
