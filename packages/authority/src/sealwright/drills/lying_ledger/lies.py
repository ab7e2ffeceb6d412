"""The lies, each told to a fresh copy of the book."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from sealwright.drills.forger import claims_of
from sealwright.drills.lying_ledger.host import Host, altered, head_of, own_key
from sealwright.drills.lying_ledger.observers import Control
from sealwright.drills.lying_ledger.scene import Scene
from sealwright.ledger.log_list import LogLists
from sealwright.ledger.model import Place
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.receipts import Receipts
from sealwright.wiring.log_list import StoredListing

Lie = Callable[[Scene], Host]


@dataclass(frozen=True, slots=True)
class Told:
    """A lie with a sentence about it, and who is expected to say what, because of which control. Whoever is
    not named says nothing.
    """

    name: str
    attack: str
    lie: Lie
    expected: Mapping[str, tuple[Control, str]]


def _index(scene: Scene) -> int:
    return int(str(claims_of(scene.victim)["jti"]).split(".")[1])


def edit(scene: Scene) -> Host:
    """Put another token's digest in the leaf beside the victim's; the signed head stays as it is."""
    host, index = scene.copy(), _index(scene)
    leaves = host.leaves(scene.log.log_id)
    leaves[index + 1] = altered(leaves[index + 1])
    host.rewrite(scene.log.log_id, leaves, host.published(scene.log.log_id))
    return host


def reorder(scene: Scene) -> Host:
    """Exchange the victim's leaf and the next."""
    host, index = scene.copy(), _index(scene)
    leaves = host.leaves(scene.log.log_id)
    leaves[index], leaves[index + 1] = leaves[index + 1], leaves[index]
    host.rewrite(scene.log.log_id, leaves, host.published(scene.log.log_id))
    return host


def truncate(scene: Scene) -> Host:
    """Go back to the head of day ten, which is genuine."""
    host, log_id = scene.copy(), scene.log.log_id
    host.rewrite(log_id, scene.early.leaves(log_id), scene.early.published(log_id))
    return host


def fork(scene: Scene) -> Host:
    """With the stolen identity key: another history of the same size, signed."""
    host, index = scene.copy(), _index(scene)
    leaves = host.leaves(scene.log.log_id)
    leaves[index + 1] = altered(leaves[index + 1])
    identity = next(s for s in scene.book.signers.values() if s.log_id == scene.log.log_id)
    sign = identity.local.signer.identity.sign
    host.rewrite(scene.log.log_id, leaves, head_of(scene.log, leaves, sign))
    return host


def stale(scene: Scene) -> Host:
    """Serve all of day ten on day fourteen."""
    return scene.early


def swap(scene: Scene) -> Host:
    """Serve the files of one log under the name of another."""
    host, other = scene.copy(), scene.closed.log_id
    host.publish(scene.log.log_id, host.leaves(other), host.published(other))
    return host


def resign(scene: Scene) -> Host:
    """Another history under a head that the host signed with a key of its own."""
    host, index = scene.copy(), _index(scene)
    leaves = host.leaves(scene.log.log_id)
    leaves[index] = altered(leaves[index])
    host.rewrite(scene.log.log_id, leaves, head_of(scene.log, leaves, own_key()))
    return host


def drop(scene: Scene) -> Host:
    """Make as if a closed log had never been, and have a live signer state a list without it."""
    host = scene.copy()
    host.drop(scene.closed.log_id, asyncio.run(_list_without(scene, scene.closed.log_id)))
    return host


@dataclass(frozen=True, slots=True)
class _Without:
    """A listing that leaves one log out."""

    full: StoredListing
    log_id: str

    def logs(self) -> list[dict[str, Any]]:
        """All but that one."""
        return [entry for entry in self.full.logs() if entry["id"] != self.log_id]

    def marks(self) -> object:
        """Always new."""
        return object()


async def _list_without(scene: Scene, log_id: str) -> bytes:
    """A list that a live signer stated, as the host asked it to. It grows the book's log by a leaf."""
    book = scene.book
    publisher = Publisher(book.stores.ledger, book.files.hot)
    receipts = Receipts(book.stores.ledger, book.files, book.stores.digests)
    signer = next(s for s in book.signers.values() if s.log_id != scene.log.log_id)

    async def state(kind: str, digest: str) -> Place:
        return Place(signer.log_id, await signer.statement(kind, digest))

    def receipt(place: Place) -> str:
        publisher.publish(place.log_id)
        return receipts.at(place)

    full = StoredListing(book.stores.admissions, book.stores.ledger, book.files)
    store = book.stores.lists
    lists = LogLists(
        store,
        _Without(full, log_id),
        state,
        receipt,
        book.clock,
        scene.directory,
        book.config.server.url,
        1,
    )
    await lists.keep()
    kept = store.latest()
    if kept is None:
        raise LookupError("no list was kept")
    document: bytes = msgspec.json.encode(msgspec.json.decode(kept.document))
    return document


def _sees(control: Control, *codes: str) -> tuple[Control, str]:
    return control, " ".join(codes)


FSCK, PROOF, KEY, MEMORY = Control.FSCK, Control.RECEIPT_PROOF, Control.LOG_KEY, Control.WITNESS_MEMORY
LIES = (
    Told(
        "edit",
        "put another token's digest in a leaf, in rows and files alike",
        edit,
        {
            "fsck": _sees(FSCK, "listed_root", "published_root", "root_mismatch"),
            "validator": _sees(PROOF, "receipt_invalid"),
            "monitor": _sees(Control.MONITOR, "tree_damaged"),
        },
    ),
    Told(
        "reorder",
        "exchange two leaves, in rows and files alike",
        reorder,
        {
            "fsck": _sees(FSCK, "listed_root", "published_root", "record_digest", "root_mismatch"),
            "validator": _sees(PROOF, "receipt_invalid"),
            "monitor": _sees(Control.MONITOR, "tree_damaged"),
        },
    ),
    Told(
        "truncate",
        "go back to the genuine head of four days ago, and forget what came after",
        truncate,
        {
            "fsck": _sees(FSCK, "key_row", "leaf_missing", "manifest_row"),
            "validator": _sees(PROOF, "no_receipt"),
            "witness": _sees(MEMORY, "old_above_size"),
            "monitor": _sees(Control.MONITOR, "rollback"),
        },
    ),
    Told(
        "fork",
        "with a stolen identity key: sign another history of the same size",
        fork,
        {
            "fsck": _sees(FSCK, "listed_root"),
            "validator": _sees(Control.WITNESS_QUORUM, "receipt_not_witnessed"),
            "witness": _sees(MEMORY, "inconsistent"),
            "monitor": _sees(Control.MONITOR, "split_view"),
        },
    ),
    Told(
        "stale",
        "serve everything as it was four days ago",
        stale,
        {
            "validator": _sees(Control.LIST_EXPIRY, "log_list_stale", "no_receipt"),
            "witness": _sees(MEMORY, "old_above_size"),
            "monitor": _sees(Control.MONITOR, "log_list_refused", "manifest_refused"),
        },
    ),
    Told(
        "swap",
        "serve one log's files under the name of another",
        swap,
        {
            "fsck": _sees(FSCK, "bundle_differs", "published_checkpoint", "tile_differs"),
            "validator": _sees(PROOF, "no_receipt"),
            "witness": _sees(MEMORY, "old_above_size"),
            "monitor": _sees(Control.MONITOR, "checkpoint_refused"),
        },
    ),
    Told(
        "resign",
        "sign another history with a key of one's own",
        resign,
        {
            "fsck": _sees(FSCK, "listed_root", "published_checkpoint", "stored_checkpoint"),
            "validator": _sees(KEY, "receipt_invalid"),
            "witness": _sees(KEY, "log_signature"),
            "monitor": _sees(Control.MONITOR, "checkpoint_refused"),
        },
    ),
    Told(
        "drop",
        "make as if a closed log had never been, and have a live signer state a list without it",
        drop,
        {
            "fsck": _sees(FSCK, "key_row", "manifest_row"),
            "validator": _sees(Control.LIST_MEMORY, "log_list_rolled_back"),
            "monitor": _sees(Control.MONITOR, "checkpoint_refused", "log_list_refused"),
        },
    ),
)
