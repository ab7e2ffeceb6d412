"""A closed log of one key, old enough to be archived, with everything that keeps and moves it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
from pathlib import Path

import msgspec

from authority_support.logs import Scribe
from sealwright.config import Config, RetentionConfig, StateConfig
from sealwright.config.retention import DAY
from sealwright.keys.model import Key, KeyState
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.fsck import check_ledger
from sealwright.ledger.model import Place
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.service import Ledger
from sealwright.store.db import open_state
from sealwright.store.keys import SqlKeyStore
from sealwright.store.ledger import SqlLedgerStore
from sealwright.wiring.cold import cold_files
from sealwright.wiring.retention import Keeper, open_keeper

START = 1_700_000_000
KID = hashlib.sha256(b"key").digest()
TOKENS = 600
LEAVES = TOKENS + 1
"""The last one announces the key."""


class Clock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.time = float(START)

    def now(self) -> float:
        return self.time


def leaf(number: int, record: bytes) -> bytes:
    times = struct.pack(">QQ", START + number, START + number + 600)
    digest, private = hashlib.sha256(b"%d" % number).digest(), hashlib.sha256(record).digest()
    return b"\x01\x01" + digest + KID + times + private


class ArchivedSite:
    """A closed, published log of one key with 600 tokens, each with a private record."""

    def __init__(self, directory: Path, retention: RetentionConfig | None = None) -> None:
        self.clock, self.directory, self.scribe = Clock(), directory, Scribe()
        asked = retention or RetentionConfig()
        self.config = msgspec.structs.replace(Config(), state=StateConfig(str(directory)), retention=asked)
        engine = open_state(directory)
        self.store = SqlLedgerStore(engine)
        self.files = LedgerFiles(directory / "ledger", cold_files(self.config))
        kid = base64.urlsafe_b64encode(KID).rstrip(b"=").decode()
        until = START + 7_200
        said = {"realm": "mail", "use_from": START, "use_until": START + 3_600, "verify_until": until}
        told = self.scribe.document("sealwright-key+jwt", {"kid": kid, "jwk": {}, **said})
        key = Key(kid, "mail", "ES256", self.scribe.log_id, told, TOKENS, {}, START, START + 3_600, until,
                  KeyState.RETIRED, until)  # fmt: skip
        members = {"at": START, "event": "announced", "kid": kid, "realm": "mail", "announcement": told}
        self._announcement = b"\x01\x02" + json.dumps(members).encode()
        SqlKeyStore(engine).add(key)
        asyncio.run(self._fill())
        self.keeper: Keeper = open_keeper(self.config, self.clock)

    async def _fill(self) -> None:
        ledger = Ledger(self.store, self.clock, lambda _log_id: None)
        records = [b"salt" * 4 + b'{"n":%d}' % number for number in range(TOKENS)]
        writer = ledger.open_log(self.scribe.log_id, self.scribe.origin, self.scribe.vkey, 0)
        leaves = [*(leaf(n, r) for n, r in enumerate(records)), self._announcement]
        await writer.commit(self.scribe.batch(leaves), [*records, None])
        ledger.close_log(self.scribe.log_id)
        Publisher(self.store, self.files.hot).publish(self.scribe.log_id)

    def place(self, index: int) -> Place:
        return Place(self.scribe.log_id, index)

    def archive(self) -> None:
        self.clock.time = START + 200 * DAY
        for due in self.keeper.due():
            self.keeper.move(due)

    def sound(self) -> bool:
        report = check_ledger(self.keeper.store, self.files.hot, cold=self.files.cold)
        assert report.leaves == LEAVES
        return report.sound

    def records(self) -> int:
        entries = self.keeper.store.entries(self.scribe.log_id, 0, LEAVES)
        return sum(entry.record is not None for entry in entries)
