"""What an admitted incarnation's custody needs (a PIN), encrypted to a key hashed into its evidence.

The supervisor's. Whoever carries the answer can neither read it nor have it encrypted to a key of their own:
the key is the keeper's beside the signer, and part of what was appraised. May never release what was not
written down first, nor twice for one appraisal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sealwright.admission.model import Admission
from sealwright.admission.ports import Note
from sealwright.admission.release import EXPIRY_BYTES
from sealwright.clock import Clock
from sealwright.errors import Refused
from sealwright.files import read_private
from sealwright_attest import seal_for


@dataclass(frozen=True, slots=True)
class Releaser:
    """Releases one secret to incarnations that were just admitted.

    `lease` is the seconds in which it must be used; `file` is read anew for each.
    """

    purpose: str
    file: Path
    lease: int
    note: Note
    clock: Clock

    def sealed(self, admission: Admission) -> bytes:
        """The secret for the key in the evidence that this admission rests on.

        Raises:
            Refused: `no_release_key`.
            Unavailable: it could not be written down; nothing was released.
        """
        proof = admission.proof
        if proof is None or proof.release_key is None or proof.nonce is None:
            raise Refused("no_release_key", "the evidence binds no key that a secret could be encrypted to")
        expires_at = int(self.clock.now()) + self.lease
        told = {"evidence": proof.evidence_hash, "level": str(proof.level), "policy": proof.policy_hash}
        told |= {"incarnation": admission.log_id, "nonce": proof.nonce.hex()}
        self.note("release_secret", self.purpose, {**told, "expires_at": expires_at})
        secret = read_private(self.file)
        return seal_for(proof, expires_at.to_bytes(EXPIRY_BYTES, "big") + secret, self.purpose)
