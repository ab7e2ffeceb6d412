"""What a lying host does with the ledger that it stores. It holds everything but the signers' memory.

Works on a copy of the book. It rewrites rows, tiles and bundles so that they fit each other: what does not
fit is only the head that a signer signed. One lie has the identity key as well, to show what is left then.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright.config import Config
from sealwright.config.model import StateConfig
from sealwright.files import make_private_directory
from sealwright.ledger.files import CHECKPOINT, LOG_LIST
from sealwright.ledger.merkle import Frontier
from sealwright.ledger.model import Log
from sealwright.ledger.tiles import TileWriter
from sealwright.wiring.inspect import Inspection, inspect

Sign = Callable[[bytes], bytes]


def copy_state(source: Path, target: Path) -> None:
    """Copy rows, files and documents of an authority."""
    make_private_directory(target)
    for name in ("ledger", "trust"):
        shutil.copytree(source / name, target / name)
    with sqlite3.connect(source / "sealwright.db") as rows, sqlite3.connect(target / "sealwright.db") as to:
        rows.backup(to)
    rows.close()
    to.close()


class Host:
    """A state directory in the hands of a liar.

    Args:
        state: a copy that it may do anything with.
        manifest: the manifest document that it serves.
    """

    def __init__(self, state: Path, manifest: bytes) -> None:
        self.state = state
        self.manifest = manifest
        self.ledger = state / "ledger"

    @property
    def opened(self) -> Inspection:
        """The state as the command line sees it."""
        return inspect(msgspec.structs.replace(Config(), state=StateConfig(str(self.state))))

    def leaves(self, log_id: str) -> list[bytes]:
        """The leaves of a log."""
        store = self.opened.store
        log = store.log(log_id)
        return [entry.leaf for entry in store.entries(log_id, 0, log.size if log else 0)]

    def rewrite(self, log_id: str, leaves: Sequence[bytes], checkpoint: str) -> None:
        """Put these leaves under this checkpoint, in rows and files alike."""
        frontier = Frontier()
        frontier.extend(leaves)
        with sqlite3.connect(self.state / "sealwright.db") as rows:
            (number,) = rows.execute("SELECT id FROM logs WHERE log_id = ?", (log_id,)).fetchone()
            rows.execute("DELETE FROM leaves WHERE log = ? AND idx >= ?", (number, len(leaves)))
            change = "UPDATE leaves SET leaf = ? WHERE log = ? AND idx = ?"
            rows.executemany(change, [(leaf, number, index) for index, leaf in enumerate(leaves)])
            head = (len(leaves), checkpoint, b"".join(frontier.nodes), number)
            rows.execute("UPDATE logs SET size = ?, checkpoint = ?, frontier = ? WHERE id = ?", head)
        rows.close()
        self.publish(log_id, leaves, checkpoint)

    def publish(self, log_id: str, leaves: Sequence[bytes], checkpoint: str) -> None:
        """Serve these leaves under this checkpoint."""
        shutil.rmtree(self.ledger / log_id, ignore_errors=True)
        writer = TileWriter(self.ledger / log_id)
        for leaf in leaves:
            writer.append(leaf)
        writer.publish(checkpoint)

    def drop(self, log_id: str, log_list: bytes) -> None:
        """Make as if a log had never been, and serve a list without it."""
        with sqlite3.connect(self.state / "sealwright.db") as rows:
            (number,) = rows.execute("SELECT id FROM logs WHERE log_id = ?", (log_id,)).fetchone()
            rows.execute("DELETE FROM leaves WHERE log = ?", (number,))
            rows.execute("DELETE FROM logs WHERE id = ?", (number,))
            rows.execute("UPDATE log_list SET document = ?", (log_list,))
        rows.close()
        shutil.rmtree(self.ledger / log_id)
        (self.ledger / LOG_LIST).write_bytes(log_list)

    def published(self, log_id: str) -> str:
        """The checkpoint that it serves."""
        return (self.ledger / log_id / CHECKPOINT).read_text(encoding="utf-8")


def head_of(log: Log, leaves: Sequence[bytes], sign: Sign) -> str:
    """A checkpoint over these leaves under the log's name, with whatever key `sign` has."""
    frontier = Frontier()
    frontier.extend(leaves)
    text = f"{log.origin}\n{len(leaves)}\n{base64.b64encode(frontier.root()).decode()}\n"
    key_id = bytes.fromhex(log.vkey.split("+")[1])
    line = base64.b64encode(key_id + sign(text.encode())).decode()
    return f"{text}\n\u2014 {log.origin} {line}\n"


def own_key() -> Sign:
    """A key that the host made for itself."""
    return Ed25519PrivateKey.generate().sign


def altered(leaf: bytes) -> bytes:
    """The leaf of another token: one whose issuance the host wants to have been."""
    return leaf[:2] + hashlib.sha256(leaf).digest() + leaf[34:]
