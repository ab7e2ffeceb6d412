"""A receipt: the proof, checkable offline, that a leaf is in the ledger of the signer that signed it
(docs/formats/receipt.md).

The form is C2SP tlog-proof. For a token its extra data is the 32-byte digest of the token's private record,
which the leaf needs and the token does not hold; for anything else it is the whole leaf. The checkpoint must
carry the signature of the very incarnation whose log it is: for a token, the one that the `jti` names. May
never accept a proof for another place, another token or another log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sealwright_validate.encoding import decode_base64url, decode_json_object
from sealwright_validate.errors import Reason, Refused
from sealwright_validate.heads import SeenHeads
from sealwright_validate.keyset import LogKey
from sealwright_validate.merkle import HASH_BYTES, leaf_hash, require_inclusion
from sealwright_validate.note import Checkpoint, base64, decimal, hash_of, open_checkpoint

if TYPE_CHECKING:  # steps.py stands above
    from sealwright_validate.steps import Case

MAX_RECEIPT_BYTES: Final = 16 * 1024
MAX_EVENT_RECEIPT_BYTES: Final = 104 * 1024
"""A leaf of 65,535 bytes in base64, and a token's receipt beside it."""
KEY_EVENT: Final = 2
STATEMENT: Final = 3
_FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"
_MAX_HASHES: Final = 63
_LEAF_VERSION: Final = b"\x01"
_LEAF_TOKEN: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt taken apart; nothing of it is verified yet."""

    index: int
    record: bytes
    hashes: tuple[bytes, ...]
    unverified_checkpoint: str


@dataclass(frozen=True, slots=True)
class EventReceipt:
    """A receipt of a key event or a statement taken apart; nothing of it is verified yet."""

    index: int
    leaf: bytes
    hashes: tuple[bytes, ...]
    unverified_checkpoint: str


def read_receipt(unverified: str) -> Receipt:
    """The parts of a tlog-proof with a record digest as extra data."""
    index, record, hashes, checkpoint = _parts(unverified, MAX_RECEIPT_BYTES)
    if len(record) != HASH_BYTES:
        raise _broken("the extra data is no record digest")
    return Receipt(index, record, hashes, checkpoint)


def read_event_receipt(unverified: str) -> EventReceipt:
    """The parts of a tlog-proof with a leaf of kind 2 or 3 as extra data."""
    index, leaf, hashes, checkpoint = _parts(unverified, MAX_EVENT_RECEIPT_BYTES)
    return EventReceipt(index, leaf, hashes, checkpoint)


def require_event(receipt: EventReceipt, log: LogKey) -> Checkpoint:
    """The leaf is at its place in this log; returns the verified tree head."""
    checkpoint = open_checkpoint(receipt.unverified_checkpoint, log)
    hashed = leaf_hash(receipt.leaf)
    require_inclusion(hashed, receipt.index, checkpoint.size, receipt.hashes, checkpoint.root)
    return checkpoint


def event_members(leaf: bytes, kind: int) -> dict[str, Any]:
    """The JSON members of a leaf of `kind` 2 or 3 (docs/formats/ledger.md)."""
    if leaf[:2] != _LEAF_VERSION + bytes((kind,)):
        raise _broken("a leaf of another kind or version")
    return decode_json_object(leaf[2:])


def _parts(unverified: str, longest: int) -> tuple[int, bytes, tuple[bytes, ...], str]:
    if len(unverified) > longest:
        raise _broken("too long")
    head, separator, checkpoint = unverified.partition("\n\n")
    lines = head.split("\n")
    if not separator or len(lines) < 3 or lines[0] != _FIRST_LINE:  # noqa: PLR2004 - first, extra, index
        raise _broken("no tlog-proof with extra data")
    extra, index, hashes = lines[1], lines[2], lines[3:]
    if not extra.startswith("extra ") or not index.startswith("index ") or len(hashes) > _MAX_HASHES:
        raise _broken("extra or index is missing, or too many hashes")
    data = base64(extra.removeprefix("extra "))
    return decimal(index.removeprefix("index ")), data, tuple(map(hash_of, hashes)), checkpoint


def token_leaf(digest: bytes, kid: str, issued: int, expires: int, record: bytes) -> bytes:
    """The ledger leaf of a token (docs/formats/ledger.md, kind 1)."""
    try:
        times = issued.to_bytes(8, "big") + expires.to_bytes(8, "big")
    except OverflowError:
        raise _broken("a time that no leaf can hold") from None
    return _LEAF_VERSION + _LEAF_TOKEN + digest + decode_base64url(kid) + times + record


def require_receipt(
    unverified: str, claims: Mapping[str, Any], digest: bytes, kid: str, logs: Mapping[str, LogKey]
) -> Checkpoint:
    """The token's leaf is at its place in the log that its `jti` names; returns the verified tree head."""
    log_id, _, rest = str(claims.get("jti")).partition(".")
    log = logs.get(log_id)
    if log is None:
        raise _broken("the manifest lists no such log")
    receipt = read_receipt(unverified)
    if receipt.index != decimal(rest.partition(".")[0]):
        raise _broken("a receipt for another place")
    checkpoint = open_checkpoint(receipt.unverified_checkpoint, log)
    leaf = token_leaf(digest, kid, int(claims["iat"]), int(claims["exp"]), receipt.record)
    require_inclusion(leaf_hash(leaf), receipt.index, checkpoint.size, receipt.hashes, checkpoint.root)
    return checkpoint


def require_witnessed_receipt(unverified: str, case: "Case", seen: SeenHeads) -> None:
    """The receipt proves the case's token, in the one tree that was seen so far and that the witnesses whom
    the relying party demands have seen too.

    A head with the token in it cannot have been cosigned before the token was made: a quorum that is older is
    of an older tree.
    """
    head = require_receipt(unverified, case.claims, case.digest, case.key.kid, case.snapshot.logs)
    receipt = read_receipt(unverified)
    issued = int(case.claims["iat"])
    if case.expect.witnesses is not None:
        limits = {"earliest": issued - case.skew, "latest": case.now + case.skew}
        case.expect.witnesses.require_quorum(receipt.unverified_checkpoint, head, **limits)
    leaf = token_leaf(case.digest, case.key.kid, issued, int(case.claims["exp"]), receipt.record)
    seen.require_same(head, receipt.index, leaf_hash(leaf))


def _broken(detail: str) -> Refused:
    return Refused(Reason.RECEIPT_INVALID, detail)
