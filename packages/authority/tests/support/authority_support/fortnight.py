"""Two weeks of a Sealwright on paper under everybody's eyes, and copies of it whose storage lies.

The honest site goes on: two signers, rotations, restarts; a witness cosigns, a monitor reads, a relying party
demands receipts with the witness's quorum. A `Copy` is the same site at one moment, on storage of its own
that may be changed in any way before its log goes on; afterwards everyone looks at it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from authority_support.monitors import RULES
from authority_support.papersite import PaperSite, Seat
from sealwright.errors import Refused, SealwrightError
from sealwright.ledger.cosigning import Cosigning, Reply, Trouble
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.follow import Fetch, Follower
from sealwright.ledger.fsck import check_ledger
from sealwright.ledger.model import Batch, Log, Place
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.receipts import Receipts
from sealwright.ledger.service import Ledger, parse_place
from sealwright.monitor.service import Monitor
from sealwright.monitor.state import StateFile
from sealwright.monitor.witnesses import Witnesses
from sealwright.store.db import open_state
from sealwright.store.ledger import SqlLedgerStore
from sealwright.store.witness import FileWitnessStore
from sealwright.wiring.witnessing import Witnessing, _prove
from sealwright.witness.book import FollowedLogs
from sealwright.witness.service import SizeConflict, Witness
from sealwright.witness.signing import open_cosigners
from sealwright_signer.journal import Journal, json_leaf
from sealwright_signer.tree import CompactRange, leaf_hash
from sealwright_validate import Expect, Presented, Trust, Validator
from sealwright_validate import Refused as ValidatorRefused
from sealwright_validate.clock import FixedClock
from sealwright_validate.encoding import decode_base64url
from sealwright_validate.fetch import Answer
from sealwright_validate.witnesses import WitnessPolicy

HOUR = 3_600
STEP = 3 * HOUR
URL = "https://w.example"
_STATUS = {"malformed_request": 400, "old_above_size": 400, "log_signature": 403, "unknown_log": 404}


class NoDigests:
    """Nobody looks tokens up by digest here."""

    def find(self, digest: bytes) -> list[Place]:
        return []


class Onlookers:
    """A witness and those who pin it, over one set of files that somebody serves."""

    def __init__(self, site: PaperSite, directory: Path, files: Path, fetch: Fetch) -> None:
        self._site = site
        self._fetch = fetch
        self._directory = directory
        self._files = LedgerFiles(files)
        self.troubles: list[Trouble] = []
        cosigners = open_cosigners(directory / "witness", "w.example")
        follower = Follower(fetch, site.pinned, clock=site.clock)
        book = FollowedLogs({}, [follower], site.clock)
        store = FileWitnessStore(directory / "witness" / "logs", [each.key for each in cosigners])
        self.witness = Witness(cosigners, book, store, site.clock)
        self.policy = WitnessPolicy.parse(f"witness w {self.witness.vkeys[0]} {URL}\nquorum w\n")

        def prove(log_id: str, old: int, size: int) -> list[bytes]:
            return _prove(self._files, log_id, old, size)

        cosigning = Cosigning(self.policy, self._post, prove, site.clock, self.troubles.append, 60.0)
        self.witnessing = Witnessing(self._files, cosigning)

    def _post(self, url: str, body: bytes) -> Reply:
        assert url == f"{URL}/add-checkpoint"
        try:
            return Reply(200, self.witness.add_checkpoint(body).encode())
        except SizeConflict as conflict:
            return Reply(409, b"%d\n" % conflict.size)
        except Refused as refusal:
            return Reply(_STATUS.get(refusal.code, 422), b"")

    def monitor(self, memory: str = "monitor") -> Monitor:
        """The monitor with everything that it remembers; with another memory, one that comes new."""
        kept = StateFile(self._directory / memory)
        follower = Follower(self._fetch, self._site.pinned, clock=self._site.clock, state_file=kept.trust)

        def reach(_url: str) -> Callable[[str], bytes | None]:
            def find(path: str) -> bytes | None:
                note = self.witness.checkpoint(path.split("/")[1])
                return note.encode() if note is not None else None

            return find

        seen = Witnesses(self.policy, reach)
        return Monitor(follower, RULES, clock=self._site.clock, state=kept, witnesses=seen)

    def receipt(self, store: SqlLedgerStore, token: str) -> str | None:
        """The receipt that this storage gives for a token, None where it gives none."""
        place = parse_place(_jti(token))
        assert place is not None
        try:
            return Receipts(store, self._files, NoDigests()).at(place)
        except SealwrightError:
            return None

    def verdict(self, token: str, receipt: str | None) -> str | None:
        """What a relying party says that demands the witness's quorum: a reason, None for accepted."""
        clock = FixedClock(self._site.clock.time)
        trust = Trust.fed(root=self._site.pinned, clock=clock)
        trust.feed(self._fetch("/manifest").body)
        audience = self._site.config.realms["enterprise"].audiences[0]
        expect = Expect(audience=audience, realm="enterprise", witnesses=self.policy)
        try:
            Validator(trust=trust).validate(token, expect, Presented(receipt=receipt))
        except ValidatorRefused as refusal:
            return refusal.reason.value
        return None


class Fortnight:
    """The honest site."""

    def __init__(self, directory: Path) -> None:
        self.site = PaperSite(directory, cosign=self._cosign)
        self.people = Onlookers(self.site, directory, self.site.files, self.site.fetch)
        self.watching = self.people.monitor()
        self.token = ""
        self.yesterday = directory / "yesterday.db"
        for _ in range(2):
            self.site.new_seat()

    def _cosign(self, stored: Log) -> str:
        return self.people.witnessing.cosign(stored)

    @property
    def live(self) -> list[Seat]:
        return [seat for seat in self.site.seats if seat.alive]

    def step(self, number: int) -> list[str]:
        """Three hours; whatever anyone complained of."""
        site = self.site
        site.clock.time += STEP
        if number % 37 == 36:
            site.close(self.live[0])
            site.new_seat()
        for seat in self.live:
            for realm in seat.keys if number % 2 == 0 else ():
                site.rotate(seat, realm)
        if number % 8 == 6:
            self.backup()
        for seat in reversed(self.live):
            self.token = site.issue(seat, count=6)[0]
        site.refresh()
        site.clock.time += 2  # a log that is new in the list is known to the witness a moment later
        site.publish()
        complaints = [f"monitor: {alarm.code}" for alarm in self.watching.round()]
        complaints += [f"witness: {trouble.code}" for trouble in self.people.troubles]
        complaints += [
            f"witness: {one.origin}" for one in self.people.witness.standings() if one.proven or one.suspected
        ]
        verdict = self.people.verdict(self.token, self.people.receipt(site.store, self.token))
        return complaints if verdict is None else [*complaints, f"validator: {verdict}"]

    def backup(self) -> None:
        self.yesterday.unlink(missing_ok=True)
        copy_database(self.site.directory, self.yesterday)


def copy_database(directory: Path, target: Path) -> None:
    """A consistent copy of a state database."""
    with contextlib.closing(sqlite3.connect(directory / "sealwright.db")) as database:
        database.execute("VACUUM INTO ?", (str(target),))


@dataclass(frozen=True, slots=True)
class Seen:
    """Who named a lie, and as what."""

    authority: frozenset[str]
    fsck: frozenset[str]
    monitor: frozenset[str]
    newcomer: frozenset[str]
    witness: frozenset[str]
    validator: frozenset[str]


class Copy:
    """The site at one moment on storage of its own. `seat` is the live incarnation that is lied about."""

    def __init__(self, world: Fortnight, directory: Path) -> None:
        self.world, self.site, self.directory = world, world.site, directory
        self.seat = world.live[0]
        directory.mkdir()
        copy_database(self.site.directory, directory / "sealwright.db")
        for name in ("ledger", "witness", "monitor"):
            shutil.copytree(self.site.directory / name, directory / name)
        self.engine = open_state(directory)
        self.store = SqlLedgerStore(self.engine)
        self.files = directory / "ledger"
        self.served = dict(self.site.served)
        self.people = Onlookers(self.site, directory, self.files, self.fetch)
        self.token, self.receipt = world.token, ""
        self.journal = self.journal_at(self.seat.signer.journal.size)
        self._complaints: set[str] = set()

    def journal_at(self, size: int) -> Journal:
        """The incarnation's journal over the first `size` leaves, as if it stood there."""
        identity, real = self.seat.signer.identity, self.seat.signer.journal
        tree = CompactRange()
        for entry in self.site.store.entries(self.seat.log_id, 0, size):
            tree.append(leaf_hash(entry.leaf))
        journal = Journal(real.origin, identity.public, identity.sign)
        journal._tree, journal.acked, journal._returned = tree, size, size
        return journal

    def sql(self, statement: str, *values: object) -> None:
        """Change rows; LOG stands for the number of the log."""
        with self.engine.begin() as connection:
            (number,) = connection.exec_driver_sql(
                "SELECT id FROM logs WHERE log_id = ?", (self.seat.log_id,)
            ).one()
            connection.exec_driver_sql(statement.replace("LOG", str(number)), values)

    def file(self, name: str) -> Path:
        return self.files / self.seat.log_id / name

    def fetch(self, path: str) -> Answer:
        body = self.served.get(path)
        if body is None and path.startswith("/ledger/"):
            file = self.files / path.removeprefix("/ledger/")
            body = file.read_bytes() if file.is_file() else None
        return Answer(404, {}, b"") if body is None else Answer(200, {}, body)

    def statement(self, kind: str, digest: str) -> bytes:
        """A leaf as the signer makes it."""
        return json_leaf(3, type=kind, digest=digest, at=int(self.site.clock.time))

    def go_on(self, *said: bytes) -> None:
        """The log grows by these or by five leaves; the authority takes them in and publishes."""
        leaves = list(said) or [self.statement("audit", f"{number:064x}") for number in range(5)]
        first, acked = self.journal.size, self.journal.acked
        self.journal.append(leaves)
        batch = Batch(first, leaves, self.journal.checkpoint)
        ledger = Ledger(self.store, self.site.clock, lambda _log_id: None)

        async def commit() -> None:
            writer = ledger.open_log(self.seat.log_id, self.seat.origin, self.seat.vkey, acked)
            await writer.commit(batch)

        try:
            asyncio.run(commit())
        except SealwrightError as error:
            self._complaints.add(error.code)
        publisher = Publisher(self.store, self.files, cosign=self.people.witnessing.cosign)
        for seat in self.site.seats:
            try:
                publisher.publish(seat.log_id)
            except SealwrightError as error:
                self._complaints.add(error.code)

    def _read(self, memory: str) -> frozenset[str]:
        monitor = self.people.monitor(memory)
        before = self.site.clock.time
        try:
            monitor.round()
            self.site.clock.time += RULES.grace
            monitor.round()
        finally:
            self.site.clock.time = before
            monitor.close()
        return frozenset(alarm.code.value for alarm in monitor.report().alarms)

    def looks(self) -> Seen:
        """Everyone looks; half a minute passes for what may be passing."""
        alarms = [self._read(memory) for memory in ("monitor", "nothing")]
        standings = self.people.witness.standings()
        witness = {trouble.code for trouble in self.people.troubles}
        witness |= {"proven" for one in standings if one.proven} | {
            "suspected" for one in standings if one.suspected
        }
        receipt = self.receipt or self.people.receipt(self.store, self.token)
        verdict = self.people.verdict(self.token, receipt)
        return Seen(
            authority=frozenset(self._complaints),
            fsck=frozenset(damage.code for damage in check_ledger(self.store, self.files).damages),
            monitor=alarms[0],
            newcomer=alarms[1],
            witness=frozenset(witness),
            validator=frozenset({verdict} - {None}),  # type: ignore[arg-type] # None was taken out
        )


def _jti(token: str) -> str:
    jti: str = json.loads(decode_base64url(token.split(".")[1]))["jti"]
    return jti
