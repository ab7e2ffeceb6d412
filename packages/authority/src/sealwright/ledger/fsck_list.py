"""What `fsck` asks of the log list: it holds under the root of trust, and its heads are those of the leaves.

Changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sealwright.ledger.files import LOG_LIST
from sealwright.ledger.fsck_files import first_difference
from sealwright.ledger.model import StoredList
from sealwright_validate.encoding import decode_json_object
from sealwright_validate.errors import Refused
from sealwright_validate.log_list import ListedLog, LogList, open_log_list
from sealwright_validate.manifest import served_root_version
from sealwright_validate.root import Role, TrustedRoot, advance_root, pinned_root


@dataclass(frozen=True, slots=True)
class ListFault:
    """What is wrong with the list. `byte` is the first wrong byte of the file."""

    code: str
    where: str
    message: str
    byte: int | None = None


@dataclass(frozen=True, slots=True)
class CheckedList:
    """The logs of the list, where it holds, and what is wrong."""

    logs: Mapping[str, ListedLog]
    faults: tuple[ListFault, ...] = ()


def check_list(directory: Path, stored: StoredList | None, roots: list[bytes]) -> CheckedList:
    """Check the stored list, and the file that is served.

    Args:
        directory: the ledger's directory.
        stored: the newest list of the store; None before the first.
        roots: root documents in the order of their versions.
    """
    file = directory / LOG_LIST
    if stored is None:
        alone = (ListFault("log_list", LOG_LIST, "a list that is not stored"),) if file.is_file() else ()
        return CheckedList({}, alone)
    faults: list[ListFault] = []
    served = file.read_bytes() if file.is_file() else None
    try:
        root, former = follow_roots(roots, served_root_version(stored.document))
        listed = _open(root, former, stored.document)
    except Refused as error:
        faults.append(ListFault("log_list", "log_list", f"{error.reason}: {error.detail}"))
        return CheckedList({}, tuple(faults))
    if served is None:
        text = "the log list is not served; `sealwright ledger fsck --repair` writes the stored one"
        faults.append(ListFault("log_list_file", LOG_LIST, text))
    elif served != stored.document and not _is_neighbour(served, listed, roots):
        byte = first_difference(served, stored.document)
        faults.append(
            ListFault("log_list_file", LOG_LIST, "the served list differs from the stored one", byte)
        )
    return CheckedList(listed.logs, tuple(faults))


def _is_neighbour(served: bytes, listed: LogList, roots: list[bytes]) -> bool:
    """Whether the file holds the list before or after the stored one: it is written just behind the row."""
    try:
        root, former = follow_roots(roots, served_root_version(served))
        return abs(_open(root, former, served).version - listed.version) == 1
    except Refused:
        return False


def _open(root: TrustedRoot, former: list[Role], document: bytes) -> LogList:
    return open_log_list(root, document, now=_issued_at(document), former=former)


def follow_roots(documents: list[bytes], version: int) -> tuple[TrustedRoot, list[Role]]:
    """The root of a version, followed from the first document, and who admitted signers before it.

    Raises:
        sealwright_validate's Refused: a document does not follow from the one before.
    """
    root, former = pinned_root(documents[0]), list[Role]()
    for document in documents[1:]:
        if root.version >= version:
            break
        former.append(root.admission)
        root = advance_root(root, document)
    return root, former


def _issued_at(document: bytes) -> int:
    """When the list says that it was made: then it must have held."""
    text = decode_json_object(document).get("log_list")
    issued_at = decode_json_object(str(text).encode()).get("issued_at")
    return issued_at if isinstance(issued_at, int) else 0
