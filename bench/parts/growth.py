"""What a token costs as the ledger grows: it must be flat.

The authority's own link, ledger, SQLite store and publisher run in this process with a real signer; only HTTP
and client authentication are left out, since a million requests would take too long. It may not use a ledger
in memory.
"""

import asyncio
import hashlib
import random
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import uvloop

from harness import procfs
from harness.model import Floor, Outcome, Part, Setting, Table, WrongAnswer, median
from harness.signing import IN_FLIGHT, Session, signer
from sealwright.clock import SystemClock
from sealwright.keys.link import SignerLink
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.service import Ledger
from sealwright.store.db import open_state
from sealwright.store.ledger import SqlLedgerStore

ALGORITHM = "ES256"
BATCH = 256
BUCKETS = 10
THIRD = 3  # buckets at either end that are compared
FLAT = 0.8
CHECKS = 500  # look-ups per bucket
KEPT = 20  # tokens per bucket that are looked up, over and over
MEBIBYTE = 1024**2


@dataclass(frozen=True, slots=True)
class Bucket:
    """One stretch of growth: microseconds per token, milliseconds per batch, microseconds per look-up."""

    leaves: int
    wall: float
    authority: float
    signer: float
    batch: float
    check: float
    disk: int


def record() -> bytes:
    """A private record as the issuer makes it: salt and JSON."""
    facts = (
        b'{"client_id":"bench-client","sub":"bench-client","aud":["https://api.example/"],"scope":"mail.read"'
    )
    return (
        secrets.token_bytes(16)
        + facts
        + b',"grant":"client_credentials","authentication":"client_secret_basic"}'
    )


async def _no_leaves_before(log_id: str, first: int, end: int) -> None:
    raise WrongAnswer(f"a new signer has leaves {first} to {end} in log {log_id}")


class Growing:
    """The authority's side of the ledger, without HTTP, on a directory of its own."""

    def __init__(self, session: Session, folder: Path) -> None:
        self._session, self._folder = session, folder
        store = SqlLedgerStore(open_state(folder))
        self._publisher = Publisher(store, folder / "ledger")
        self._ledger = Ledger(store, SystemClock(), self._publisher.committed)
        hello = session.hello
        self.link = session.runner.run(
            SignerLink.open(
                session.connection,
                lambda _: self._ledger.open_log(hello.log_id, hello.origin, hello.vkey, hello.acked),
                _no_leaves_before,
            )
        )
        self._publisher.start()
        self._tokens: list[str] = []

    def close(self) -> None:
        """Publish what is due."""
        self._publisher.stop()

    @property
    def leaves(self) -> int:
        """Durable leaves."""
        return self._ledger.size(self._session.hello.log_id) or 0

    async def _sign(self, batches: list[float], until: int) -> None:
        while len(batches) < until:
            batches.append(0.0)
            at, records = len(batches) - 1, [record() for _ in range(BATCH)]
            requests = [
                self._session.request(ALGORITHM, hashlib.sha256(kept).hexdigest()) for kept in records
            ]
            started = time.perf_counter()
            outcomes = await self.link.sign(requests, records, lambda: None)
            batches[at] = time.perf_counter() - started
            if at % max(1, until // KEPT) == 0:
                outcome: Any = outcomes[0]
                self._tokens.append(outcome[0])

    async def _grow(self, batches: list[float], until: int) -> None:
        await asyncio.gather(*(self._sign(batches, until) for _ in range(IN_FLIGHT)))

    def grow(self, tokens: int) -> Bucket:
        """Issue this many tokens and look some up."""
        count, pid = -(-tokens // BATCH), self._session.process.pid
        batches: list[float] = []
        before, signing, started = time.process_time(), procfs.cpu_seconds([pid])[pid], time.perf_counter()
        self._session.runner.run(self._grow(batches, count))
        wall = time.perf_counter() - started
        own, theirs = time.process_time() - before, procfs.cpu_seconds([pid])[pid] - signing
        micro = 1e6 / (count * BATCH)
        check = self._check()
        disk = sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file())
        return Bucket(
            self.leaves, wall * micro, own * micro, theirs * micro, median(batches) * 1e3, check, disk
        )

    def _check(self) -> float:
        """Microseconds to answer "was this issued?", for tokens from the whole life of the ledger."""
        asked = []
        for token in self._tokens:
            claims = jwt.decode(token, options={"verify_signature": False})
            digest = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
            asked.append((claims["jti"], digest, jwt.get_unverified_header(token)["kid"]))
        times = []
        for _ in range(CHECKS):
            place = random.choice(asked)
            started = time.perf_counter()
            standing = self._ledger.check(*place)
            times.append(time.perf_counter() - started)
            if standing.reason is not None:
                raise WrongAnswer(f"an issued token is not found in the ledger: {standing}")
        return median(times) * 1e6


def cost(bucket: Bucket) -> float:
    """CPU that a token takes of signer and authority together, microseconds."""
    return bucket.authority + bucket.signer


def run(setting: Setting) -> Outcome:
    """Let a ledger grow in ten equal steps."""
    total = 20 * BATCH * BUCKETS if setting.quick else 1_000_000
    buckets = []
    with signer(setting.scratch, [ALGORITHM], uvloop.new_event_loop) as session:
        growing = Growing(session, setting.scratch)
        for number in range(BUCKETS):
            setting.say(f"{number * total // BUCKETS:,} leaves")
            buckets.append(growing.grow(total // BUCKETS))
        signed = session.runner.run(session.connection.stats())
        growing.close()
        if signed["size"] != growing.leaves:
            raise WrongAnswer(f"the signer has {signed['size']} leaves, the ledger {growing.leaves}")
    flat = median([cost(bucket) for bucket in buckets[:THIRD]]) / median(
        [cost(bucket) for bucket in buckets[-THIRD:]]
    )
    columns = (
        "leaves",
        "µs/token",
        "CPU µs/token, authority",
        "CPU µs/token, signer",
        "ms/batch",
        "µs/look-up",
        "MiB on disk",
    )
    rows = tuple(
        (each.leaves, each.wall, each.authority, each.signer, each.batch, each.check, each.disk / MEBIBYTE)
        for each in buckets
    )
    return Outcome(
        (Table("Cost of a token as the ledger grows", columns, rows),),
        (
            Floor(
                f"CPU per token of the first {THIRD} tenths by that of the last {THIRD} (flat is 1)",
                FLAT,
                flat,
            ),
        ),
        (
            f"Batches of {BATCH}, {IN_FLIGHT} under way, one synced commit for all that wait.",
            "Link, ledger, store and publisher run in this process, without HTTP; the signer is a real one.",
            "The CPU of the authority includes making the requests.",
            "A look-up answers whether a token was issued, for tokens from the ledger's whole life.",
        ),
    )


PART = Part("growth", "The ledger as it grows", run)
