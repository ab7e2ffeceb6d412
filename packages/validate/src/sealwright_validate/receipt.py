"""A receipt: the proof, checkable offline, that the leaf of a token is in the ledger of the signer that
signed it.

The form is C2SP tlog-proof; its extra data is the 32-byte digest of the token's private record, which the
leaf needs and the token does not hold. The checkpoint must carry the signature of the very incarnation whose
log the token's `jti` names, as the manifest lists it. May never accept a proof for another place, another
token or another log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sealwright_validate.encoding import decode_base64url
from sealwright_validate.errors import Reason, Refused
from sealwright_validate.keyset import LogKey
from sealwright_validate.merkle import HASH_BYTES, leaf_hash, require_inclusion
from sealwright_validate.note import Checkpoint, base64, decimal, hash_of, open_checkpoint

MAX_RECEIPT_BYTES: Final = 16 * 1024
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


def read_receipt(unverified: str) -> Receipt:
    """The parts of a tlog-proof with a record digest as extra data."""
    if len(unverified) > MAX_RECEIPT_BYTES:
        raise _broken("too long")
    head, separator, checkpoint = unverified.partition("\n\n")
    lines = head.split("\n")
    if not separator or len(lines) < 3 or lines[0] != _FIRST_LINE:  # noqa: PLR2004 - first, extra, index
        raise _broken("no tlog-proof with extra data")
    extra, index, hashes = lines[1], lines[2], lines[3:]
    if not extra.startswith("extra ") or not index.startswith("index ") or len(hashes) > _MAX_HASHES:
        raise _broken("extra or index is missing, or too many hashes")
    record = base64(extra.removeprefix("extra "))
    if len(record) != HASH_BYTES:
        raise _broken("the extra data is no record digest")
    return Receipt(decimal(index.removeprefix("index ")), record, tuple(map(hash_of, hashes)), checkpoint)


def token_leaf(digest: bytes, kid: str, issued: int, expires: int, record: bytes) -> bytes:
    """The ledger leaf of a token (docs/formats/ledger.md, kind 1)."""
    times = issued.to_bytes(8, "big") + expires.to_bytes(8, "big")
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


def _broken(detail: str) -> Refused:
    return Refused(Reason.RECEIPT_INVALID, detail)
