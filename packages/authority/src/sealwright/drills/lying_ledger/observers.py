"""Who looks at the ledger, each with what it alone knows: fsck the rows, a relying party its receipts and the
list that it saw, a witness the head that it cosigned, a monitor every leaf that it read.

All of them are the real ones. Each says `nothing`, or the stable code of what it noticed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import sealwright_validate.note
import sealwright_validate.receipt
from sealwright.drills.forger import claims_of, from_b64u
from sealwright.drills.lying_ledger.host import Host
from sealwright.drills.simulation.world import VirtualClock
from sealwright.errors import Refused, SealwrightError
from sealwright.ledger.files import LOG_LIST, LedgerFiles
from sealwright.ledger.model import Log
from sealwright.ledger.proofs import Tree
from sealwright.ledger.receipts import render
from sealwright.wiring.witness import WitnessSettings, build
from sealwright.witness.service import SizeConflict, Witness
from sealwright_validate import errors as validate_errors
from sealwright_validate.keyset import LogKey
from sealwright_validate.log_list import LogList, open_log_list
from sealwright_validate.receipt import read_receipt, require_receipt
from sealwright_validate.root import pinned_root
from sealwright_validate.witnesses import WitnessPolicy

NOTHING = "nothing"


class Control(StrEnum):
    """What notices a lie; each can be switched off, and then the drill must fail."""

    FSCK = "fsck"
    RECEIPT_PROOF = "receipt-proof"
    LIST_EXPIRY = "log-list-expiry"
    LIST_MEMORY = "log-list-memory"
    WITNESS_MEMORY = "witness-memory"
    WITNESS_QUORUM = "witness-quorum"
    LOG_KEY = "log-key"
    MONITOR = "monitor"


def fsck(host: Host, flaws: frozenset[str]) -> str:
    """Read everything again, list included; the first code that is about the ledger itself."""
    if Control.FSCK in flaws:
        return NOTHING
    found = host.opened.fsck().damages
    codes = sorted({damage.code for damage in found})
    return " ".join(codes) or NOTHING


class RelyingParty:
    """A validator that pins the root and a witness, saw the list of day ten, and holds a token."""

    def __init__(self, root: bytes, seen: LogList, witness: WitnessPolicy) -> None:
        self._root = pinned_root(root)
        self._seen = seen
        self._witness = witness

    def lists(self, host: Host, now: float, flaws: frozenset[str]) -> str:
        """What it says to the list that the host serves."""
        served = (host.ledger / LOG_LIST).read_bytes()
        before = None if Control.LIST_MEMORY in flaws else self._seen
        at = _made_at(served) if Control.LIST_EXPIRY in flaws else now
        try:
            open_log_list(self._root, served, before, now=at)
        except validate_errors.Refused as refusal:
            return str(refusal.reason.value)
        return NOTHING

    def receipt(self, host: Host, token: str, keys: Mapping[str, LogKey], flaws: frozenset[str]) -> str:
        """What it says to a receipt for its token, made of what the host serves."""
        claims = claims_of(token)
        log_id, index, _ = str(claims["jti"]).split(".")
        header, payload, _ = token.split(".")
        digest = hashlib.sha256(f"{header}.{payload}".encode()).digest()
        kid = str(_header(header)["kid"])
        with _without_proof(flaws):
            try:
                text = served_receipt(host, log_id, int(index))
                head = require_receipt(text, claims, digest, kid, keys)
                if Control.WITNESS_QUORUM not in flaws:
                    note = read_receipt(text).unverified_checkpoint
                    self._witness.require_quorum(note, head, earliest=0.0, latest=float("inf"))
            except validate_errors.Refused as refusal:
                return str(refusal.reason.value)
            except (SealwrightError, LookupError, ValueError):
                return "no_receipt"
        return NOTHING


def served_receipt(host: Host, log_id: str, index: int) -> str:
    """The receipt that a host can make of its files, without looking whether it holds."""
    note = host.published(log_id)
    size = int(note.split("\n")[1])
    files = LedgerFiles(host.ledger)
    path = Tree(lambda level, number, width: files.tile(log_id, str(level), number, width))
    return render(host.leaves(log_id)[index], index, path.inclusion(index, size), note)


class OneWitness:
    """A witness that cosigned every log on day ten and is asked again now."""

    def __init__(self, directory: Path, logs: list[Log], clock: VirtualClock) -> None:
        self._directory = directory
        self._clock = clock
        self._keys = {log.origin: _log_key(log) for log in logs}
        self._sizes: dict[str, int] = {}
        self._witness = self._open()

    def _open(self) -> Witness:
        settings = WitnessSettings(self._directory, "witness.drill", self._keys, ())
        return build(settings, self._clock)[0]

    @property
    def policy(self) -> WitnessPolicy:
        """What whoever trusts this witness pins."""
        return WitnessPolicy.parse(f"witness w {self._witness.vkeys[0]}\nquorum w\n").demand()

    def forget(self) -> None:
        """Lose every head: a witness without a memory cosigns anything."""
        shutil.rmtree(self._directory / "logs", ignore_errors=True)
        self._witness = self._open()
        self._sizes.clear()

    def cosign(self, host: Host, log: Log) -> str:
        """Ask it to cosign what the host serves; `nothing` when it does, and its line is then served."""
        old, note = self._sizes.get(log.origin, 0), host.published(log.log_id)
        size = int(note.split("\n")[1])
        files = LedgerFiles(host.ledger)
        tree = Tree(lambda level, number, width: files.tile(log.log_id, str(level), number, width))
        try:
            proof = tree.consistency(old, size) if 0 < old <= size else []
            lines = "".join(f"{base64.b64encode(node).decode()}\n" for node in proof)
            cosigned = self._witness.add_checkpoint(f"old {old}\n{lines}\n{note}".encode())
        except SizeConflict:
            return "size_conflict"
        except Refused as refusal:
            return refusal.code
        self._sizes[log.origin] = size
        (host.ledger / log.log_id / "checkpoint").write_text(note + cosigned, encoding="utf-8")
        return NOTHING


def _log_key(log: Log) -> LogKey:
    return LogKey(log.origin, base64.b64decode(log.vkey.split("+", 2)[2])[1:])


def _header(part: str) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(from_b64u(part))
    return members


def _made_at(served: bytes) -> float:
    return float(json.loads(json.loads(served)["log_list"])["issued_at"])


@contextmanager
def without_keys(flaws: frozenset[str]) -> Iterator[None]:
    """In a drill with that flaw, readers who take any line of a log's name for its signature."""
    module = vars(sealwright_validate.note)
    before = module["_verifies"]
    if Control.LOG_KEY in flaws:
        module["_verifies"] = lambda line, _signed, key: line.startswith(f"\u2014 {key.origin} ")
    try:
        yield
    finally:
        module["_verifies"] = before


@contextmanager
def _without_proof(flaws: frozenset[str]) -> Iterator[None]:
    """In a drill with that flaw, a validator that looks at a receipt without checking the proof."""
    module = vars(sealwright_validate.receipt)
    before: Callable[..., None] = module["require_inclusion"]
    if Control.RECEIPT_PROOF in flaws:
        module["require_inclusion"] = lambda *_: None
    try:
        yield
    finally:
        module["require_inclusion"] = before
