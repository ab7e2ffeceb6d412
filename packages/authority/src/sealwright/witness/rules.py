"""What a witness decides, without a store, a clock or a key: is this submission well formed, and does the new
head contain the old one?

Rules of C2SP tlog-witness v1.0.0, "add-checkpoint", in their order. May never let a head through that is
smaller than the one before it, or of its size and different.
"""

from __future__ import annotations

from sealwright.errors import Refused
from sealwright.witness.model import Submission
from sealwright_validate import errors as validate_errors
from sealwright_validate.merkle import EMPTY_ROOT, require_consistency
from sealwright_validate.note import Checkpoint, decimal, hash_of

MAX_BODY = 65_536
"""Bytes of a request."""
MAX_PROOF = 63
"""Hashes of a consistency proof (tlog-witness)."""


def parse_submission(body: bytes) -> Submission:
    """The parts of a request.

    Raises:
        Refused: `malformed_request`.
    """
    try:
        head, separator, note = body.decode("utf-8").partition("\n\n")
        lines = head.split("\n")
        if not separator or len(lines) > 1 + MAX_PROOF or not lines[0].startswith("old "):
            raise Refused("malformed_request", "old size, proof and checkpoint are expected")
        proof = tuple(hash_of(line) for line in lines[1:])
        return Submission(decimal(lines[0].removeprefix("old ")), proof, note)
    except (UnicodeDecodeError, IndexError, validate_errors.Refused) as error:
        raise Refused("malformed_request", "a line of the request is malformed", str(error)) from error


def origin_of(unverified_note: str) -> str:
    """The origin that a note claims."""
    return unverified_note.partition("\n")[0]


def require_growth(submission: Submission, head: Checkpoint, cosigned: Checkpoint | None) -> None:
    """The new head contains everything that was cosigned.

    Raises:
        Refused: `old_above_size`, `old_not_cosigned`, `inconsistent`.
    """
    old, size = submission.old, cosigned.size if cosigned is not None else 0
    if old > head.size:
        raise Refused("old_above_size", "the old size is above that of the checkpoint")
    if old != size:
        raise Refused("old_not_cosigned", f"the last cosigned size is {size}")
    root = cosigned.root if cosigned is not None else EMPTY_ROOT
    if old == 0:
        # The empty tree is in every tree, so there is nothing to prove; it has one root of its own.
        if submission.proof or (head.size == 0 and head.root != EMPTY_ROOT):
            raise Refused("inconsistent", "from nothing there is nothing to prove")
        return
    try:
        require_consistency(old, head.size, root, head.root, submission.proof)
    except validate_errors.Refused as refusal:
        raise Refused(
            "inconsistent", "the proof does not lead to the checkpoint", refusal.detail
        ) from refusal
