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
from sealwright.ledger.fsck import Progress, Report, check_ledger
from sealwright.ledger.model import Place
from sealwright.ledger.ports import LedgerStore
from sealwright.ledger.receipts import Receipts
from sealwright.ledger.service import Ledger
from sealwright.store.db import open_engine, require_readable
from sealwright.store.keys import SqlKeyStore
from sealwright.store.ledger import SqlLedgerStore


@dataclass(frozen=True, slots=True)
class Inspection:
    """The ledger of a state directory."""

    store: LedgerStore
    ledger: Ledger
    receipts: Receipts
    keys: SqlKeyStore
    directory: Path

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
        return check_ledger(self.store, self.directory, progress)


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
    store = SqlLedgerStore(engine)
    ledger = Ledger(store, SystemClock(), lambda _log_id: None)
    files = LedgerFiles(config.state.path / "ledger")
    receipts = Receipts(store, files, store)
    return Inspection(store, ledger, receipts, SqlKeyStore(engine), files.hot)
