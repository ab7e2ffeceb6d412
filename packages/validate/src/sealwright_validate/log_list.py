"""The log list: every log of one Sealwright that ever was (docs/formats/log-list.md).

Bytes in, trusted object out; the time is an argument. A list is taken only if

- its digest is a `log-list` leaf of a log that it lists, and that log's admission is signed by an admission
  key of the root and had not expired when the leaf was made;
- it is not from the future, not past, and lives a day at the most;
- every log id, origin, verifier key and evidence level is that of a signed admission, and every checkpoint is
  signed by that log's key and has the size that the list names;
- it takes nothing back of the list before it: no log vanishes, shrinks or reopens.

May never take a key from the list itself that no admission vouches for.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from sealwright_validate.documents import DocumentKey, integer, objects, open_compact, text
from sealwright_validate.encoding import Members, decode_json_object
from sealwright_validate.errors import Reason, Refused
from sealwright_validate.incarnations import evidence_of, identity_key, log_id_of
from sealwright_validate.keyset import Evidence, LogKey
from sealwright_validate.manifest import ADMISSION_TYPE
from sealwright_validate.note import open_checkpoint
from sealwright_validate.receipt import STATEMENT, event_members, read_event_receipt, require_event
from sealwright_validate.root import Role, TrustedRoot, require_unexpired_root

MAX_LIFE: Final = 86_400  # seconds
MAX_LAG: Final = 300  # seconds between making a list and its leaf
_TYPE: Final = "log-list"


@dataclass(frozen=True, slots=True)
class ListedLog:
    """One log. `size`, `root` and `checkpoint` are final when `closed_at` (seconds since 1970) is set."""

    log_id: str
    key: LogKey
    evidence: Evidence
    admission_expires_at: int
    size: int
    root: bytes
    checkpoint: str
    closed_at: int | None


@dataclass(frozen=True, slots=True)
class LogList:
    """A verified list. `text` is exactly what the leaf's digest is of."""

    version: int
    issued_at: int
    expires_at: int
    authority: str
    logs: Mapping[str, ListedLog]
    text: str

    @property
    def keys(self) -> Mapping[str, LogKey]:
        """The key of each log by log id: what receipts are checked with."""
        return {log_id: log.key for log_id, log in self.logs.items()}


def vkey_of(key: LogKey) -> str:
    """The C2SP verifier key of a log: `name+hex(key id)+base64(0x01 || public key)`."""
    encoded = b64encode(b"\x01" + key.public).decode("ascii")
    return f"{key.origin}+{key.key_id.hex()}+{encoded}"


def open_log_list(
    root: TrustedRoot,
    unverified: bytes,
    previous: LogList | None = None,
    *,
    now: float,
    skew: float = 30.0,
    former: Iterable[Role] = (),
) -> LogList:
    """The list in a served `{"root_version", "log_list", "receipt"}`.

    Args:
        root: the root in force, verified from the pinned one.
        unverified: what was served.
        previous: the list that was accepted before, if any.
        now: seconds since 1970.
        skew: seconds that clocks may differ.
        former: admission roles of earlier roots that were verified on the way; they vouch for old logs.

    Raises:
        Refused: `log_list_not_trusted`, `log_list_stale`, `log_list_rolled_back` or `root_expired`.
    """
    require_unexpired_root(root, now)
    keys = {kid: key for role in (*former, root.admission) for kid, key in role.keys.items()}
    try:
        served = decode_json_object(unverified)
        if integer(served, "root_version") != root.version:
            raise _untrusted("the list builds on another root version")
        found = _list(text(served, "log_list"), keys)
        _require_logged(found, text(served, "receipt"))
    except Refused as refusal:
        raise _untrusted(f"{refusal.reason}: {refusal.detail}") from None
    _require_fresh(found, now, skew)
    if previous is not None:
        _require_newer(found, previous)
    return found


def _list(unverified_text: str, keys: Mapping[str, DocumentKey]) -> LogList:
    members = decode_json_object(unverified_text.encode())
    logs: dict[str, ListedLog] = {}
    for entry in objects(members, "logs"):
        log = _log(entry, keys)
        if log.log_id in logs:
            raise _untrusted(f"log {log.log_id} is listed twice")
        logs[log.log_id] = log
    return LogList(
        version=integer(members, "version"),
        issued_at=integer(members, "issued_at"),
        expires_at=integer(members, "expires_at"),
        authority=text(members, "authority"),
        logs=MappingProxyType(logs),
        text=unverified_text,
    )


def _log(entry: Members, keys: Mapping[str, DocumentKey]) -> ListedLog:
    admission = open_compact(entry.get("admission"), ADMISSION_TYPE, keys)
    public = identity_key(admission)
    log_id, key = log_id_of(public), LogKey(text(admission, "origin"), public)
    told = (entry.get("id"), entry.get("origin"), entry.get("vkey"), entry.get("evidence"))
    vouched = (log_id, key.origin, vkey_of(key), text(admission, "evidence"))
    if told != vouched or text(admission, "incarnation") != log_id:
        raise _untrusted(f"log {log_id} is listed otherwise than it was admitted")
    size, note = integer(entry, "size"), entry.get("checkpoint")
    root = _root_at(note, size, key)
    closed_at = None if entry.get("closed_at") is None else integer(entry, "closed_at")
    expires_at = integer(admission, "expires_at")
    return ListedLog(log_id, key, evidence_of(admission), expires_at, size, root, str(note), closed_at)


def _root_at(note: Any, size: int, key: LogKey) -> bytes:
    """The root that the checkpoint of this size has; the empty log has no checkpoint."""
    if size == 0:
        if note != "":
            raise _untrusted("an empty log has no checkpoint")
        return b""
    if not isinstance(note, str):
        raise _untrusted("a checkpoint is missing")
    checkpoint = open_checkpoint(note, key)
    if checkpoint.size != size:
        raise _untrusted("a checkpoint of another size than the list names")
    return checkpoint.root


def _require_logged(found: LogList, unverified_receipt: str) -> None:
    receipt = read_event_receipt(unverified_receipt)
    origin = receipt.unverified_checkpoint.partition("\n")[0]
    holder = next((log for log in found.logs.values() if log.key.origin == origin), None)
    if holder is None:
        raise _untrusted("the receipt is of a log that the list does not name")
    require_event(receipt, holder.key)
    members = event_members(receipt.leaf, STATEMENT)
    digest = sha256(found.text.encode()).hexdigest()
    if members.get("type") != _TYPE or members.get("digest") != digest:
        raise _untrusted("the leaf states something else")
    at = integer(members, "at")
    if at >= holder.admission_expires_at:
        raise _untrusted("the log's admission had expired when it stated the list")
    if abs(at - found.issued_at) > MAX_LAG:
        raise _untrusted("the list was not stated when it was made")


def _require_fresh(found: LogList, now: float, skew: float) -> None:
    if found.issued_at > now + skew or now >= found.expires_at:
        raise Refused(Reason.LOG_LIST_STALE, "the list is past, or from the future")
    if not 0 < found.expires_at - found.issued_at <= MAX_LIFE:
        raise _untrusted("the list lives too long")


def _require_newer(found: LogList, previous: LogList) -> None:
    if found.version < previous.version or (
        found.version == previous.version and found.text != previous.text
    ):
        raise _rolled_back(f"version {found.version} after {previous.version}")
    for log_id, before in previous.logs.items():
        after = found.logs.get(log_id)
        if after is None:
            raise _rolled_back(f"log {log_id} has vanished")
        if after.size < before.size or (after.size == before.size and after.root != before.root):
            raise _rolled_back(f"log {log_id} has shrunk or changed")
        if before.closed_at is not None and (after.closed_at, after.size) != (before.closed_at, before.size):
            raise _rolled_back(f"log {log_id} was closed and goes on")


def _untrusted(detail: str) -> Refused:
    return Refused(Reason.LOG_LIST_NOT_TRUSTED, detail)


def _rolled_back(detail: str) -> Refused:
    return Refused(Reason.LOG_LIST_ROLLED_BACK, detail)
