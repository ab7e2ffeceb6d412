"""Opens the state of an authority for reading, whether it runs or not: for `sealwright ledger`.

May never make a table, a file or a change.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sealwright.clock import SystemClock
from sealwright.config import Config
from sealwright.errors import Misconfigured, Refused
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.fsck import ListToCheck, Progress, Report, check_ledger
from sealwright.ledger.model import Place
from sealwright.ledger.receipts import Receipts
from sealwright.ledger.repair import Step, plan_repair
from sealwright.ledger.service import Ledger
from sealwright.store.admin import SqlAuditStore
from sealwright.store.cold import ColdLeaves
from sealwright.store.db import open_engine, require_readable
from sealwright.store.keys import SqlKeyStore
from sealwright.store.ledger import SqlLedgerStore
from sealwright.store.log_list import SqlLogListStore
from sealwright.wiring.cold import cold_files
from sealwright.wiring.vouched import Vouched


@dataclass(frozen=True, slots=True)
class Inspection:
    """The ledger of a state directory."""

    store: SqlLedgerStore
    ledger: Ledger
    receipts: Receipts
    keys: SqlKeyStore
    trail: SqlAuditStore
    lists: SqlLogListStore
    files: LedgerFiles
    trust: Path

    @property
    def directory(self) -> Path:
        """Where the published files are."""
        return self.files.hot

    def announced(self, kid: str) -> Place:
        """The place of a key's announcement.

        Raises:
            Refused: `unknown_key`.
        """
        key = self.keys.get(kid)
        if key is None:
            raise Refused("unknown_key", "no key with this id was announced")
        return Place(key.log_id, key.ledger_index)

    def fsck(self, progress: Progress | None = None) -> Report:
        """Read everything again and name what is wrong."""
        roots = [file.read_bytes() for file in sorted(self.trust.glob("root-*.json"), key=_version)]
        listed = ListToCheck(self.lists.latest(), roots) if roots else None
        vouched = Vouched(self.store, self.keys, self.trail, self.files)
        vouched.prepare()
        report = check_ledger(
            self.store,
            self.directory,
            progress,
            cold=self.files.cold,
            listed=listed,
            watch=vouched.watch,
        )
        report.damages += vouched.damages()
        return report

    def repair(self) -> list[Step]:
        """What would be rebuilt; nothing is before a step is done."""
        return plan_repair(self.store, self.files, self.lists.latest())


def inspect(config: Config) -> Inspection:
    """The ledger of this configuration's state directory.

    Raises:
        Misconfigured: there is none, or it cannot be read.
    """
    database = config.state.path / "sealwright.db"
    if not database.is_file():
        text = f"there is no ledger in {config.state.path}; name another directory with --state"
        raise Misconfigured("no_state", text)
    engine = open_engine(f"sqlite:///{database}")
    require_readable(engine)
    cold = cold_files(config)
    store = SqlLedgerStore(engine, ColdLeaves(engine, cold))
    ledger = Ledger(store, SystemClock(), lambda _log_id: None)
    files = LedgerFiles(config.state.path / "ledger", cold)
    receipts = Receipts(store, files, store)
    trail = SqlAuditStore(engine)
    lists, trust = SqlLogListStore(engine), config.state.path / "trust"
    return Inspection(store, ledger, receipts, SqlKeyStore(engine), trail, lists, files, trust)


def _version(root: Path) -> int:
    number = root.stem.removeprefix("root-")
    return int(number) if number.isdecimal() else 0
