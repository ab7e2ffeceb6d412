"""Step 10, the cover-up: edit, delete, reorder, truncate the ledger. `fsck` and the next start name the
leaf.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from sealwright.config.model import StateConfig
from sealwright.drills.model import Control, Finding
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.steps import wait_for
from sealwright.errors import Misconfigured
from sealwright.ledger.fsck import check_ledger
from sealwright.wiring.stores import Stores

STEP = "10-cover-up"
TOKENS = 12
Damage = Callable[[sqlite3.Connection, int, int], None]


def _edit(database: sqlite3.Connection, log: int, index: int) -> None:
    where = "WHERE log = ? AND idx = ?"
    (leaf,) = database.execute(f"SELECT leaf FROM leaves {where}", (log, index)).fetchone()  # noqa: S608 - no input
    changed = leaf[:40] + bytes([leaf[40] ^ 1]) + leaf[41:]
    database.execute(f"UPDATE leaves SET leaf = ? {where}", (changed, log, index))  # noqa: S608 - no input


def _delete(database: sqlite3.Connection, log: int, index: int) -> None:
    database.execute("DELETE FROM leaves WHERE log = ? AND idx = ?", (log, index))


def _reorder(database: sqlite3.Connection, log: int, index: int) -> None:
    move = "UPDATE leaves SET idx = ? WHERE log = ? AND idx = ?"
    for new, old in ((-1, index), (index, index + 1), (index + 1, -1)):
        database.execute(move, (new, log, old))


def _truncate(database: sqlite3.Connection, log: int, index: int) -> None:
    database.execute("DELETE FROM leaves WHERE log = ? AND idx >= ?", (log, index))
    database.execute("UPDATE logs SET size = ? WHERE id = ?", (index, log))


DAMAGES: dict[str, Damage] = {"edit": _edit, "delete": _delete, "reorder": _reorder, "truncate": _truncate}


def run(sandbox: Sandbox) -> Iterator[Finding]:
    """Damage copies of the ledger and check them; damage the original and start from it."""
    for _ in range(TOKENS):
        sandbox.token("enterprise")
    target = max(sandbox.stores.ledger.logs(), key=lambda log: (log.closed_at is None, log.size))
    index = target.size - 4
    wait_for(lambda: _is_published(sandbox, target.log_id, index + 2), "the ledger's files")
    sandbox.stop_authority()
    for name, damage in DAMAGES.items():
        with tempfile.TemporaryDirectory(prefix="sealwright-drill-") as copy:
            _copy(sandbox, Path(copy))
            _apply(Path(copy), damage, target.log_id, index)
            found = _fsck(sandbox, Path(copy), target.log_id)
        expected = f"leaf {index} named"
        observed = expected if index in found else f"leaves named: {sorted(found) or 'none'}"
        attack = f"{name} a leaf of the ledger, and let fsck look"
        yield Finding(f"{STEP}-{name}", attack, Control.FSCK, expected, observed, held=index in found)
    _apply(sandbox.state, _edit, target.log_id, index)
    yield _start(sandbox, index)


def _is_published(sandbox: Sandbox, log_id: str, size: int) -> bool | None:
    checkpoint = sandbox.state / "ledger" / log_id / "checkpoint"
    if not checkpoint.is_file():
        return None
    return int(checkpoint.read_text(encoding="utf-8").split("\n")[1]) >= size or None


def _copy(sandbox: Sandbox, target: Path) -> None:
    with (
        sqlite3.connect(sandbox.state / "sealwright.db") as source,
        sqlite3.connect(target / "sealwright.db") as copy,
    ):
        source.backup(copy)
    shutil.copytree(sandbox.state / "ledger", target / "ledger")


def _apply(directory: Path, damage: Damage, log_id: str, index: int) -> None:
    database = sqlite3.connect(directory / "sealwright.db")
    try:
        with database:
            (log,) = database.execute("SELECT id FROM logs WHERE log_id = ?", (log_id,)).fetchone()
            damage(database, log, index)
    finally:
        database.close()


def _fsck(sandbox: Sandbox, directory: Path, log_id: str) -> set[int]:
    if Control.FSCK in sandbox.flaws:
        return set()
    config = msgspec.structs.replace(sandbox.config, state=StateConfig(directory=str(directory)))
    report = check_ledger(Stores.open(config, sandbox.clock).ledger, directory / "ledger")
    return {found.index for found in report.damages if found.log_id == log_id and found.index is not None}


def _start(sandbox: Sandbox, index: int) -> Finding:
    sandbox.start_authority()
    expected = f"refuses to start, leaf {index} named"
    try:
        sandbox.wait_ready()
        observed = "serves as if nothing had happened"
    except Misconfigured as error:
        named = "ledger_damaged" in error.detail and f"leaf {index}" in error.detail
        observed = expected if named else "ends without naming the leaf"
    attack = "edit a leaf, and start the authority"
    control = Control.START_CHECK
    return Finding(f"{STEP}-start", attack, control, expected, observed, held=observed == expected)
