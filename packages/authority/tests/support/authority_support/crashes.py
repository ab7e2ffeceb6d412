"""Writes a log again and again while its process is killed and its disk fails; run as a program of its own.

    python crashes.py DIRECTORY RUNS SEED [FLAW]        (with the shim of tests/faults in LD_PRELOAD)

FLAW breaks the authority's side on purpose, to show that it would be found: `early` releases before the
commit, `nosync` commits without waiting for the disk.

The signer's side (the journal, what was acknowledged) lives on here, as a signer does when the authority
dies. Each run is a child process: the real ledger service, store and publisher over the same state directory.
What it is told to be durable it "releases" by saying so in a pipe; nothing that was released may ever be
missing. Prints what happened as JSON.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import json
import mmap
import os
import random
import select
import signal
import sqlite3
import struct
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError

from authority_support.logs import tokens
from sealwright.errors import SealwrightError
from sealwright.ledger.fsck import check_ledger
from sealwright.ledger.model import Batch
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.service import Ledger, LogWriter
from sealwright.store.db import open_state
from sealwright.store.ledger import SqlLedgerStore
from sealwright_signer.identity import log_id_of
from sealwright_signer.journal import Journal

# What goes wrong (see faults.c), and at which sync or write at the latest. 6: a kill from outside, any time.
FAULTS = {1: 8, 2: 8, 3: 8, 4: 8, 5: 40, 6: 1}
BATCHES = 3
WELL, FAILED, GAP, BROKEN, WENT_ON = 0, 1, 3, 4, 5
PATIENCE = 60.0
_SAID = struct.Struct(">cQ")
"""`O`: the log had so many leaves when it was opened. `R`: released up to here."""
EARLY, NOSYNC = "early", "nosync"
Offer = tuple[Batch, list[bytes]]


class StoppedClock:
    """Time does not matter here."""

    def now(self) -> float:
        return 1_800_000_000.0


class Shim:
    """The preloaded library, and the memory that it shares with us."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._synced = ctypes.c_long.from_buffer(self._memory)
        self._library.fault_share(ctypes.byref(self._synced))

    def arm(self, after: int, fault: int) -> None:
        self._library.fault_arm(ctypes.c_long(after), fault)

    @property
    def synced(self) -> int:
        """Size of the write-ahead log when it was last on disk."""
        return int(self._synced.value)


class Signer:
    """What survives: the journal, and every leaf that was ever made."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        self.log_id = log_id_of(public)
        self.journal = Journal(f"ledger.test/ledger/{self.log_id}", public, key.sign)
        self.leaves: list[bytes] = []

    def offers(self, dice: random.Random) -> list[Offer]:
        """What a connection begins with, and some more batches."""
        found: list[Offer] = [(_batch(one), []) for one in json.loads(self.journal.pending())]
        for _ in range(BATCHES):
            leaves, records = tokens(dice.randint(1, 4), len(self.leaves))
            self.leaves += leaves
            self.journal.append(leaves)
            found.append((_batch(json.loads(self.journal.batch())), records))
        return found


def _batch(told: dict[str, Any]) -> Batch:
    return Batch(told["first"], [base64.b64decode(leaf) for leaf in told["leaves"]], told["checkpoint"])


class Run:
    """One life of the authority's side."""

    def __init__(self, directory: Path, signer: Signer, released: int, flaw: str, *, publishes: bool) -> None:
        self._directory = directory
        self._publishes = publishes
        self._signer = signer
        self._released = released
        self._flaw = flaw

    def live(self, offers: Sequence[Offer], out: int) -> int:
        """Store what is offered, release it, publish; how it ended."""
        try:
            store = SqlLedgerStore(self._engine())
            ledger = Ledger(store, StoppedClock(), lambda _log_id: None)
            writer = ledger.open_log(
                self._signer.log_id, self._signer.journal.origin, self._signer.journal.vkey, self._released
            )
            os.write(out, _SAID.pack(b"O", writer.size))
            self._require_released(store)
        except SealwrightError as error:
            return GAP if error.code == "ledger_gap" else FAILED
        except (OSError, sqlite3.Error, SQLAlchemyError):
            return FAILED
        ended = asyncio.run(self._write(writer, offers, out))
        # Not in every run: publishing begins with reading the whole log again.
        return ended or (self._publish(store) if self._publishes else WELL)

    def _engine(self) -> Engine:
        engine = open_state(self._directory)
        if self._flaw == NOSYNC:
            engine.dispose()
            event.listen(engine, "connect", lambda one, _record: one.execute("PRAGMA synchronous=OFF"))
        return engine

    def _require_released(self, store: SqlLedgerStore) -> None:
        """The newest of what was released is there as it was released."""
        first = max(0, self._released - 40)
        found = [entry.leaf for entry in store.entries(self._signer.log_id, first, self._released)]
        if found != self._signer.leaves[first : self._released]:
            raise SealwrightError("ledger_gap", "what was released is not what is stored")

    async def _write(self, writer: LogWriter, offers: Sequence[Offer], out: int) -> int:
        failed = False
        for batch, records in offers:
            if self._flaw == EARLY:
                os.write(out, _SAID.pack(b"R", batch.end))
            try:
                await writer.commit(batch, records)
            except (OSError, sqlite3.Error, SQLAlchemyError, SealwrightError):
                failed = True
            else:
                if failed:
                    return WENT_ON
                os.write(out, _SAID.pack(b"R", batch.end))
        return FAILED if failed else WELL

    def _publish(self, store: SqlLedgerStore) -> int:
        try:
            Publisher(store, self._directory / "ledger").publish(self._signer.log_id)
        except (OSError, SealwrightError):
            return FAILED
        return WELL


class Ordeal:
    """All runs."""

    def __init__(self, directory: Path, seed: int, flaw: str = "") -> None:
        self._directory = directory
        self._flaw = flaw
        self._dice = random.Random(seed)
        self._shim = Shim()
        self._signer = Signer()
        self._released = 0
        self._cut = 0.0
        self._runs = 0
        self.happened: Counter[str] = Counter()

    def run(self, fault: int) -> None:
        """One child, one fault, and what the disk makes of it."""
        self._runs += 1
        offers = self._signer.offers(self._dice)
        after = self._dice.randint(1, FAULTS[fault])
        delay, self._cut = self._dice.uniform(0.0, 0.04), self._dice.uniform(0.0, 2.0)
        incoming, outgoing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os._exit(self._child(fault, after, offers, outgoing))
        os.close(outgoing)
        if fault == 6:
            select.select([], [], [], delay)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._hear(incoming)
        _, status = os.waitpid(pid, 0)
        self._settle(status)

    def _child(self, fault: int, after: int, offers: Sequence[Offer], out: int) -> int:
        try:
            self._shim.arm(after, fault if fault != 6 else 0)
            publishes = self._runs % 5 == 0  # five: each kind of fault meets it
            run = Run(self._directory, self._signer, self._released, self._flaw, publishes=publishes)
            return run.live(offers, out)
        except BaseException:  # noqa: BLE001 - whatever it is, the parent must hear of it
            traceback.print_exc()
            return BROKEN

    def _hear(self, incoming: int) -> None:
        with os.fdopen(incoming, "rb") as pipe:
            said = pipe.read()
        for kind, size in _SAID.iter_unpack(said[: len(said) - len(said) % _SAID.size]):
            if kind == b"R":
                self._released = max(self._released, size)
            elif size > self._released:  # written, but reported as failed, or not reported at all
                self.happened["reappeared"] += 1
        self._signer.journal.acknowledge(max(self._released, self._signer.journal.acked))

    def _settle(self, status: int) -> None:
        if os.WIFSIGNALED(status):
            self.happened["killed"] += 1
            self._cut_power()
            return
        code = os.WEXITSTATUS(status)
        names = {WELL: "well", FAILED: "failed", GAP: "gap", BROKEN: "broken", WENT_ON: "went on"}
        self.happened[names.get(code, f"exit {code}")] += 1

    def _cut_power(self) -> None:
        """What was not on disk when the process died may be gone: cut some of it off, now and then."""
        log = self._directory / "sealwright.db-wal"
        unsynced = log.stat().st_size - self._shim.synced if log.exists() else 0
        if self._cut >= 1.0 or unsynced <= 0:
            return
        os.truncate(log, self._shim.synced + int(self._cut * unsynced))
        self.happened["power cut"] += 1

    def check(self) -> None:
        """Read everything again, in a child as well: no database is ever open in this process."""
        pid = os.fork()
        if pid == 0:
            os._exit(self._checked())
        _, status = os.waitpid(pid, 0)
        self.happened["checks"] += 1
        if status != 0:
            self.happened["unsound"] += 1

    def _checked(self) -> int:
        store = SqlLedgerStore(open_state(self._directory))
        stored = store.log(self._signer.log_id)
        size = stored.size if stored else 0
        leaves = [entry.leaf for entry in store.entries(self._signer.log_id, 0, size)]
        report = check_ledger(store, self._directory / "ledger")
        for damage in report.damages:
            sys.stderr.write(f"{damage}\n")
        whole = size >= self._released and leaves == self._signer.leaves[:size]
        return 0 if report.sound and whole else 1

    def report(self) -> dict[str, Any]:
        """For the test."""
        return {"released": self._released, "made": len(self._signer.leaves), **self.happened}


def main() -> None:
    """See the module."""
    directory, runs, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    ordeal = Ordeal(directory, seed, sys.argv[4] if len(sys.argv) > 4 else "")
    kinds = list(FAULTS)
    for number in range(runs):
        ordeal.run(kinds[number % len(kinds)])
        if ordeal.happened["gap"]:
            break  # something is missing for good
        if number % 50 == 49 or number == runs - 1:
            ordeal.check()
    sys.stdout.write(json.dumps(ordeal.report()) + "\n")


if __name__ == "__main__":
    main()
