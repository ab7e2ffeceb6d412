"""What the ledger costs as it grows: appending with a synced commit, proofs, look-ups, `fsck`; and beside it,
in the same run, what the disk's own sync costs.

Leaves are made here under a head that is signed once a batch, as a signer does; store, publisher, index and
receipts are the authority's own, on a real disk. It may not append without a sync, nor count a proof that the
validator did not accept.
"""

import asyncio
import base64
import hashlib
import os
import random
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness.model import Floor, Outcome, Part, Setting, Table, WrongAnswer, median
from sealwright.clock import SystemClock
from sealwright.ledger import tiles
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.fsck import check_ledger
from sealwright.ledger.merkle import Frontier, leaf_hash
from sealwright.ledger.model import Batch, Place
from sealwright.ledger.note import open_checkpoint, parse_vkey
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.receipts import Receipts
from sealwright.ledger.service import Ledger, LogWriter
from sealwright.store.db import open_state
from sealwright.store.digests import SqliteDigestIndex
from sealwright.store.ledger import SqlLedgerStore
from sealwright_validate.keyset import LogKey
from sealwright_validate.merkle import require_inclusion
from sealwright_validate.note import open_checkpoint as open_head
from sealwright_validate.receipt import read_receipt

LEAVES, QUICK = 10_000_000, 100_000
FSCK_LEAVES, PUBLISHED = 1_000_000, 50_000
BUCKETS, THIRD = 10, 3
BATCH = 256
LOOKS = 1_000
SYNCS = 200
FLAT = 0.8
PROOF, CHECK, LOOK_UP, FSCK = 1e-3, 0.2e-3, 50e-6, 10.0
RECORD = bytes(32)


class Scribe:
    """Signs heads over leaves as a signer does, and forgets the leaves."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        public = self._key.public_key()
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.log_id = base64.b32encode(hashlib.sha256(spki).digest()[:10]).decode().lower()
        self.origin = f"bench.example/ledger/{self.log_id}"
        self.key = LogKey(self.origin, public.public_bytes_raw())
        encoded = base64.b64encode(b"\x01" + self.key.public).decode()
        self.vkey = f"{self.origin}+{self.key.key_id.hex()}+{encoded}"
        self._frontier = Frontier()

    def batch(self, leaves: list[bytes]) -> Batch:
        """The next batch, under a new head."""
        first = self._frontier.size
        self._frontier.extend(leaves)
        root = base64.b64encode(self._frontier.root()).decode()
        text = f"{self.origin}\n{self._frontier.size}\n{root}\n"
        line = base64.b64encode(self.key.key_id + self._key.sign(text.encode())).decode()
        return Batch(first, leaves, f"{text}\n\u2014 {self.origin} {line}\n")


def digest_of(number: int) -> bytes:
    """The digest of the signing input of token `number`."""
    return hashlib.sha256(b"%d" % number).digest()


def leaves_of(first: int, count: int) -> list[bytes]:
    """Token leaves."""
    times = struct.pack(">QQ", 1_800_000_000, 1_800_000_600)
    head, kid = b"\x01\x01", hashlib.sha256(b"key").digest()
    return [head + digest_of(number) + kid + times + RECORD for number in range(first, first + count)]


@dataclass(frozen=True, slots=True)
class Grown:
    """One stretch of growth: leaves per second by the clock and by CPU time, milliseconds per commit; behind
    the commits leaves per second that were published and indexed.
    """

    size: int
    wall: float
    cpu: float
    commit: float
    syncs: float = 0.0
    published: float = 0.0
    indexed: float = 0.0


class Book:
    """A ledger of one log in a directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scribe = folder, Scribe()
        self.store = SqlLedgerStore(open_state(folder))
        self.files = LedgerFiles(folder / "ledger")
        self.index = SqliteDigestIndex(folder)
        self.publisher = Publisher(self.store, self.files.hot)
        self._ledger = Ledger(self.store, SystemClock(), lambda _log_id: None)
        self._writer: LogWriter | None = None

    @property
    def size(self) -> int:
        """Durable leaves."""
        return self._writer.size if self._writer is not None else 0

    async def grow(self, count: int) -> Grown:
        """Append leaves in batches, each durable before the next; making them is not counted."""
        scribe = self.scribe
        if self._writer is None:
            self._writer = self._ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 0)
        wall = cpu = 0.0
        batches = 0
        for first in range(self._writer.size, self._writer.size + count, BATCH):
            batch = scribe.batch(leaves_of(first, BATCH))
            started, before = time.perf_counter(), time.process_time()
            await self._writer.commit(batch)
            wall += time.perf_counter() - started
            cpu += time.process_time() - before
            batches += 1
        done = batches * BATCH
        return Grown(self._writer.size, done / wall, done / cpu, wall / batches * 1e3)


def publish(book: Book, count: int, *, synced: bool) -> float:
    """Publish the last `count` leaves; leaves per second. Files are derived from rows: a large log's are
    written without syncs, or an hour would go by.
    """
    module = vars(tiles)
    before = module["write_durably"]
    if not synced:
        module["write_durably"] = write_plainly
    started = time.perf_counter()
    try:
        book.publisher.publish(book.scribe.log_id)
    finally:
        module["write_durably"] = before
    head = open_checkpoint(book.files.checkpoint(book.scribe.log_id) or "", parse_vkey(book.scribe.vkey))
    log = book.store.log(book.scribe.log_id)
    if log is None or head.size != log.size:
        raise WrongAnswer("the published head is not the last one")
    return count / (time.perf_counter() - started)


def write_plainly(path: Path, data: bytes) -> None:
    """Write a file, without waiting for the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def sync_rate(folder: Path, size: int) -> float:
    """How often the disk makes a write of this many bytes durable, per second."""
    data = os.urandom(size)
    with (folder / "sync").open("wb", buffering=0) as file:
        started = time.perf_counter()
        for _ in range(SYNCS):
            file.write(data)
            os.fdatasync(file.fileno())
        rate = SYNCS / (time.perf_counter() - started)
    (folder / "sync").unlink()
    return rate


def cost(do: Callable[[int], object], size: int) -> tuple[float, float]:
    """Seconds of CPU for one call, in the middle and by the slowest of a hundred, at random places."""
    times = []
    for _ in range(LOOKS):
        place = random.randrange(size)
        before = time.process_time()
        do(place)
        times.append(time.process_time() - before)
    return median(times), sorted(times)[-LOOKS // 100]


def look(book: Book, size: int) -> list[tuple[str, float, float, float]]:
    """(what, seconds, slowest of a hundred, seconds promised)."""
    log_id, key = book.scribe.log_id, book.scribe.key
    receipts = Receipts(book.store, book.files, book.index)
    made = [(index, receipts.at(Place(log_id, index))) for index in random.sample(range(size), 200)]

    def check(number: int) -> None:
        index, text = made[number % len(made)]
        receipt = read_receipt(text)
        head = open_head(receipt.unverified_checkpoint, key)
        [leaf] = leaves_of(index, 1)
        require_inclusion(leaf_hash(leaf), index, head.size, receipt.hashes, head.root)

    def find(number: int) -> None:
        if book.index.find(digest_of(number)) != [Place(log_id, number)]:
            raise WrongAnswer("the index does not find a token")

    def leaf(number: int) -> None:
        if book.store.leaf(log_id, number) != leaves_of(number, 1)[0]:
            raise WrongAnswer("a leaf is not at its place")

    works: tuple[tuple[str, Callable[[int], object], float], ...] = (
        ("make a receipt", lambda index: receipts.at(Place(log_id, index)), PROOF),
        ("check a receipt", check, CHECK),
        ("look up by index", leaf, LOOK_UP),
        ("look up by digest", find, LOOK_UP),
    )
    return [(what, *cost(do, size), promised) for what, do, promised in works]


def fsck_rate(folder: Path, size: int, say: Callable[[str], None]) -> float:
    """Leaves per second of CPU."""
    folder.mkdir()
    book = Book(folder)
    asyncio.run(book.grow(size))
    publish(book, size, synced=False)
    tenth = max(1, size // BUCKETS)
    told = set[int]()

    def progress(_log_id: str, done: int, _size: int) -> None:
        if done // tenth not in told:
            told.add(done // tenth)
            say(f"fsck: {done:,} of {size:,} leaves")

    before = time.process_time()
    report = check_ledger(book.store, book.files.hot, progress)
    spent = time.process_time() - before
    if not report.sound or report.leaves < size:
        raise WrongAnswer(f"fsck: {report.damages[:3]}")
    return report.leaves / spent


def tenth(book: Book, bucket: int, size: int, say: Callable[[str], None]) -> Grown:
    """Append a tenth of the leaves, then publish and index it."""
    say(f"appending, bucket {bucket + 1} of {BUCKETS} of {size:,} leaves")
    syncs = sync_rate(book.folder, BATCH * 150)
    before = book.size
    grown = asyncio.run(book.grow(size // BUCKETS))
    count = grown.size - before
    say(f"publishing and indexing {count:,} of them")
    published = publish(book, count, synced=False)
    started = time.perf_counter()
    if book.index.follow() != count:
        raise WrongAnswer("the index does not follow")
    return replace(grown, syncs=syncs, published=published, indexed=count / (time.perf_counter() - started))


def run(setting: Setting) -> Outcome:
    """Grow, publish, prove, look up; then check a ledger of a million leaves."""
    size, folder = QUICK if setting.quick else LEAVES, setting.scratch / "grown"
    folder.mkdir()
    book = Book(folder)
    grown = [tenth(book, bucket, size, setting.say) for bucket in range(BUCKETS)]
    setting.say("proofs and look-ups")
    looked = look(book, grown[-1].size)
    checked = min(FSCK_LEAVES, size)
    setting.say(f"fsck of {checked:,} leaves")
    rate = fsck_rate(setting.scratch / "checked", checked, setting.say)
    setting.say(f"publishing {PUBLISHED:,} leaves with syncs")
    small = setting.scratch / "published"
    small.mkdir()
    published = Book(small)
    asyncio.run(published.grow(PUBLISHED))
    with_syncs = publish(published, PUBLISHED, synced=True)
    first, last = (median([g.cpu for g in part]) for part in (grown[:THIRD], grown[-THIRD:]))
    growth = Table(
        f"Appending, {BATCH} leaves a commit",
        (
            "leaves in the log",
            "leaves/s",
            "leaves per CPU second",
            "ms per commit",
            "disk syncs/s beside it",
            "published/s",
            "indexed/s",
        ),
        tuple((g.size, g.wall, g.cpu, g.commit, g.syncs, g.published, g.indexed) for g in grown),
    )
    works = Table(
        f"Looking at a log of {grown[-1].size:,} leaves",
        ("work", "CPU us", "slowest of 100, us"),
        tuple((what, middle * 1e6, slow * 1e6) for what, middle, slow, _ in looked),
    )
    behind = Table(
        "Behind the commits",
        ("work", "leaves/s"),
        (
            ("publishing tiles, each synced", with_syncs),
            ("fsck, per CPU second", rate),
        ),
    )
    floors = (
        Floor("leaves per CPU second, the last tenths by the first (flat is 1)", FLAT, last / first),
        *(Floor(f"{what}: promised time by ours", 1.0, least / middle) for what, middle, _, least in looked),
        Floor("fsck of a million leaves: 10 s of CPU by ours", 1.0, FSCK * rate / 1e6),
    )
    notes = (
        f"One writer; each commit is a full sync (SQLite, WAL) before the next begins: {BATCH} leaves each.",
        "Disk syncs are fdatasync of as many bytes as a commit writes, in the same run.",
        "A receipt: leaf, proof and head read, and the proof checked. Checking one: signature and proof.",
        "Files and index follow after each tenth, outside of the time of appending.",
        "The tiles of the large logs were written without syncs; publishing with them is measured apart.",
        "Published by others: Tessera on POSIX about 10,000/s on NVMe and 1,500/s on a small VM.",
    )
    return Outcome((growth, works, behind), floors, notes)


PART = Part("ledger", "The ledger: appending, proving, looking up, checking", run)
