"""Receipts: C2SP tlog-proofs of leaves, made from the published files (docs/formats/receipt.md).

Every proof is checked against the signed root before it is handed out: damaged files give no receipt instead
of a false one. May never put more into a receipt than the public files say.
"""

from __future__ import annotations

import base64
from functools import partial
from itertools import islice

from sealwright.errors import Refused, Unavailable
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.merkle import leaf_hash
from sealwright.ledger.model import TOKEN_LEAF, Log, Place, TokenLeaf, parse_leaf
from sealwright.ledger.note import Checkpoint, open_checkpoint, parse_vkey
from sealwright.ledger.ports import DigestIndex, LedgerStore
from sealwright.ledger.proofs import Tree
from sealwright.ledger.service import parse_place
from sealwright.ledger.tiles import WIDTH, decode_bundle
from sealwright_validate.errors import Refused as Disproved
from sealwright_validate.merkle import require_inclusion

FIRST_LINE = "c2sp.org/tlog-proof@v1"


class Receipts:
    """Makes receipts of every log. Safe to use from several threads."""

    def __init__(self, store: LedgerStore, files: LedgerFiles, digests: DigestIndex) -> None:
        self._store = store
        self._files = files
        self._digests = digests
        self._logs: dict[str, Log] = {}
        self._trees: dict[str, Tree] = {}
        self._heads: dict[str, tuple[str, Checkpoint]] = {}

    def of_jti(self, jti: str) -> str:
        """The receipt of the token with this `jti`.

        Raises:
            Refused: `unknown_place`. Otherwise as `at`.
        """
        place = parse_place(jti)
        if place is None or self._log(place.log_id) is None:
            raise Refused("unknown_place", "no token was issued with this jti")
        return self.at(place)

    def of_digest(self, digest: str) -> str:
        """The receipt of the token whose signing input has this SHA-256 (hex).

        Raises:
            Refused: `unknown_place`. Otherwise as `at`.
        """
        try:
            raw = bytes.fromhex(digest)
        except ValueError as error:
            raise Refused("unknown_place", "a digest is 64 hexadecimal digits") from error
        for place in self._digests.find(raw):
            if self._is_of(place, raw):  # what the index says is a hint
                return self.at(place)
        raise Refused("unknown_place", "no token with this digest is in the ledger")

    def _is_of(self, place: Place, digest: bytes) -> bool:
        leaf = self._store.leaf(place.log_id, place.index)
        return leaf is not None and leaf.startswith(TOKEN_LEAF + digest)

    def at(self, place: Place, origin: str | None = None) -> str:
        """The receipt of the leaf at a place, under the published checkpoint.

        Args:
            place: log and index.
            origin: where it is given, the log must have it.

        Raises:
            Refused: `unknown_log` or `no_leaf`.
            Unavailable: `not_published` while the files are behind; `ledger_damaged`.
        """
        log = self._log(place.log_id)
        if log is None or origin not in {None, log.origin}:
            raise Refused("unknown_log", "there is no such log")
        note, head = self._head(log)
        if place.index >= head.size:
            known = self._store.log(log.log_id)
            if known is None or place.index >= known.size:
                raise Refused("no_leaf", f"the log has {head.size} leaves")
            raise Unavailable("not_published", "the leaf is not under the published checkpoint yet")
        leaf = self._leaf(place, head.size)
        path = self._path(log.log_id, place.index, head)
        try:
            require_inclusion(leaf_hash(leaf), place.index, head.size, path, head.root)
        except Disproved as error:
            raise _damaged(f"leaf {place.index} of log {log.log_id}: {error.detail}") from error
        return render(leaf, place.index, path, note)

    def _path(self, log_id: str, index: int, head: Checkpoint) -> list[bytes]:
        tree = self._trees.get(log_id)
        if tree is None:
            tree = self._trees[log_id] = Tree(partial(_read_tile, self._files, log_id))
        return tree.inclusion(index, head.size)

    def _log(self, log_id: str) -> Log | None:
        """The log; of this only what never changes is used: origin and key."""
        known = self._logs.get(log_id)
        if known is None:
            known = self._store.log(log_id)
            if known is not None:
                self._logs[log_id] = known
        return known

    def _head(self, log: Log) -> tuple[str, Checkpoint]:
        note = self._files.checkpoint(log.log_id)
        if note is None:
            raise Unavailable("not_published", "nothing of this log is published yet")
        kept = self._heads.get(log.log_id)
        if kept is None or kept[0] != note:
            try:
                kept = (note, open_checkpoint(note, parse_vkey(log.vkey)))
            except Refused as error:
                raise _damaged(f"the published checkpoint of log {log.log_id}: {error}") from error
            self._heads[log.log_id] = kept
        return kept

    def _leaf(self, place: Place, size: int) -> bytes:
        leaf = self._store.leaf(place.log_id, place.index)
        if leaf is not None:
            return leaf
        # Its row has moved to cold storage; the bundle is published wherever it is.
        number, within = divmod(place.index, WIDTH)
        width = min(WIDTH, size - number * WIDTH)
        bundle = self._files.tile(place.log_id, "entries", number, width)
        try:
            found = next(islice(decode_bundle(bundle or b""), within, None), None)
        except ValueError:
            found = None
        if found is None:
            raise _damaged(f"the bundle with leaf {place.index} of log {place.log_id} cannot be read")
        return found


def _read_tile(files: LedgerFiles, log_id: str, level: int, number: int, width: int) -> bytes | None:
    return files.tile(log_id, str(level), number, width)


def render(leaf: bytes, index: int, path: list[bytes], checkpoint: str) -> str:
    """The text of a receipt."""
    parsed = parse_leaf(leaf)
    extra = parsed.record if isinstance(parsed, TokenLeaf) else leaf
    hashes = [_base64(node) for node in path]
    return "\n".join([FIRST_LINE, f"extra {_base64(extra)}", f"index {index}", *hashes]) + f"\n\n{checkpoint}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _damaged(detail: str) -> Unavailable:
    return Unavailable(
        "ledger_damaged", "the ledger's files are damaged; run `sealwright ledger fsck`", detail
    )
