"""What witnesses say of a log: the quorum on its head, and the heads that they hold themselves.

May never take a witness's head that it has not cosigned itself, or that the log has not signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256

from sealwright.errors import Unavailable
from sealwright.monitor.reading import Find, Mark
from sealwright_validate.errors import Refused
from sealwright_validate.keyset import LogKey
from sealwright_validate.note import Checkpoint, open_checkpoint
from sealwright_validate.witnesses import Witness, WitnessPolicy

Reach = Callable[[str], Find]
"""From a witness's address to its files."""


class Witnesses:
    """The pinned witnesses of one monitor."""

    def __init__(self, policy: WitnessPolicy, reach: Reach) -> None:
        self._policy = policy
        self._finds = {
            name: reach(witness.url.rstrip("/"))
            for name, witness in policy.witnesses.items()
            if witness.url is not None
        }

    def missing(self, note: str, head: Checkpoint) -> str | None:
        """Why the quorum is not there, None where it is."""
        try:
            cosigned = self._policy.cosigned(note, head)
        except Refused as refusal:
            return refusal.detail
        return None if self._policy.is_met(cosigned) else f"cosigned by {sorted(cosigned)}"

    def heads(self, key: LogKey) -> Iterator[Mark | str]:
        """The head that each witness holds of a log, or the name of one that gave no answer."""
        for name, find in self._finds.items():
            try:
                found = find(f"/{sha256(key.origin.encode()).hexdigest()}/checkpoint")
            except Unavailable:
                yield name
                continue
            head = self._head(self._policy.witnesses[name], found, key) if found is not None else None
            if head is not None:
                yield Mark(head.size, head.root, f"witness {name}")

    def _head(self, witness: Witness, unverified: bytes, key: LogKey) -> Checkpoint | None:
        try:
            note = unverified.decode("utf-8")
            head = open_checkpoint(note, key)
            return head if witness.name in self._policy.cosigned(note, head) else None
        except (UnicodeDecodeError, Refused):
            return None  # whatever that is, it is no statement of this witness about this log
