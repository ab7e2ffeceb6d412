from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authority_support.logs import Scribe, tokens
from sealwright.errors import Refused, Unavailable
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.merkle import Frontier, leaf_hash
from sealwright.ledger.model import Place
from sealwright.ledger.proofs import Tree
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.receipts import Receipts
from sealwright.ledger.service import Ledger
from sealwright.ledger.tiles import perfect_root
from sealwright.store.db import open_state
from sealwright.store.digests import SqliteDigestIndex
from sealwright.store.ledger import SqlLedgerStore
from sealwright_validate.keyset import LogKey
from sealwright_validate.merkle import require_consistency, require_inclusion
from sealwright_validate.receipt import read_event_receipt, read_receipt, require_event

SIZE = 70_000
HASHES = [leaf_hash(b"%d" % number) for number in range(SIZE)]


class Tiles:
    """The tiles of the whole tree, from their definition."""

    def __init__(self) -> None:
        self.levels = [HASHES]
        while len(self.levels[-1]) >= 256:
            below = self.levels[-1]
            full = range(0, len(below) - len(below) % 256, 256)
            self.levels.append([perfect_root(below[at : at + 256]) for at in full])

    def read(self, level: int, number: int, width: int) -> bytes | None:
        return b"".join(self.levels[level][number * 256 : number * 256 + width])


TILES = Tiles()
TREE = Tree(TILES.read)
ROOTS: dict[int, bytes] = {}


def root_at(size: int) -> bytes:
    if size not in ROOTS:
        frontier = Frontier()
        for hashed in HASHES[:size]:
            frontier.append(hashed)
        ROOTS[size] = frontier.root()
    return ROOTS[size]


SIZES = (1, 2, 3, 255, 256, 257, 511, 65_535, 65_536, 65_537, 65_792, SIZE)


@given(st.sampled_from(SIZES), st.integers(0, SIZE - 1))
def test_a_proof_made_from_tiles_holds_for_every_leaf(size: int, number: int) -> None:
    index = number % size
    path = TREE.inclusion(index, size)
    require_inclusion(HASHES[index], index, size, path, root_at(size))


@given(st.sampled_from(SIZES), st.sampled_from(SIZES))
def test_a_consistency_proof_made_from_tiles_holds(one: int, other: int) -> None:
    first, second = min(one, other), max(one, other)
    proof = TREE.consistency(first, second)
    require_consistency(first, second, root_at(first), root_at(second), proof)


def test_there_is_no_proof_of_what_is_not_there() -> None:
    for index, size in ((-1, 3), (3, 3), (0, 0)):
        with pytest.raises(ValueError, match="no leaf"):
            TREE.inclusion(index, size)
    with pytest.raises(ValueError, match="no consistency"):
        TREE.consistency(4, 3)


def test_a_tile_that_is_cut_short_gives_no_proof() -> None:
    short = Tree(lambda level, number, width: (TILES.read(level, number, width) or b"")[:-1])
    with pytest.raises(Unavailable, match="damaged"):
        short.inclusion(5, 300)


class StoppedClock:
    def now(self) -> float:
        return 1_800_000_000.0


class Site:
    """A ledger of one log with 600 tokens and a statement behind them, published."""

    def __init__(self, directory: Path) -> None:
        self.store = SqlLedgerStore(open_state(directory))
        self.files = LedgerFiles(directory / "ledger")
        self.digests = SqliteDigestIndex(directory)
        self.scribe = Scribe()
        self.leaves, self.records = tokens(600)
        self.statement = b'\x01\x03{"at":1,"digest":"00","type":"audit"}'
        asyncio.run(self._fill([*self.leaves, self.statement], [*self.records, None]))
        Publisher(self.store, self.files.hot).publish(self.scribe.log_id)
        self.receipts = Receipts(self.store, self.files, self.digests)

    async def _fill(self, leaves: list[bytes], records: list[bytes | None]) -> None:
        ledger = Ledger(self.store, StoppedClock(), lambda _log_id: None)
        scribe = self.scribe
        writer = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, scribe.frontier.size)
        await writer.commit(scribe.batch(leaves), records)

    def more(self) -> None:
        leaves, records = tokens(5, 600)
        asyncio.run(self._fill(leaves, [*records]))

    def place(self, index: int) -> Place:
        return Place(self.scribe.log_id, index)

    @property
    def key(self) -> LogKey:
        return LogKey(self.scribe.origin, self.scribe.key.public_key().public_bytes_raw())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("index", [0, 255, 256, 511, 512, 599])
def test_a_receipt_of_a_token_holds_its_record_digest_and_no_more(site: Site, index: int) -> None:
    receipt = read_receipt(site.receipts.at(site.place(index)))
    assert receipt.index == index
    assert receipt.record == site.leaves[index][-32:]


def test_a_receipt_of_a_statement_holds_the_leaf_and_proves_it(site: Site) -> None:
    receipt = read_event_receipt(site.receipts.at(site.place(600)))
    assert receipt.leaf == site.statement
    assert require_event(receipt, site.key).size == 601


def test_a_token_is_found_by_its_digest_and_by_its_jti(site: Site) -> None:
    assert site.digests.follow() == 601
    assert site.digests.follow() == 0
    expected = site.receipts.at(site.place(77))
    assert site.receipts.of_digest(site.leaves[77][2:34].hex()) == expected
    assert site.receipts.of_jti(f"{site.scribe.log_id}.77.AAAAAAAAAAAA") == expected
    for unknown in ("00" * 32, "no hex"):
        with pytest.raises(Refused, match="unknown_place"):
            site.receipts.of_digest(unknown)


def test_the_index_takes_in_whole_steps_by_itself_and_the_rest_when_somebody_asks(site: Site) -> None:
    site.digests.try_keep_up()
    assert site.digests.try_follow(step=602) == 0  # 601 leaves are no such step
    assert site.receipts.of_digest(site.leaves[77][2:34].hex()) == site.receipts.at(site.place(77))
    assert site.digests.follow() == 0


@pytest.mark.parametrize("jti", ["", "x", "aaaaaaaaaaaaaaaa.1.AAAAAAAAAAAA", "../../etc/passwd"])
def test_a_place_that_was_never_given_has_no_receipt(site: Site, jti: str) -> None:
    with pytest.raises(Refused, match="unknown_place"):
        site.receipts.of_jti(jti)


def test_what_is_not_published_yet_has_no_receipt_yet(site: Site) -> None:
    with pytest.raises(Refused, match="no_leaf"):
        site.receipts.at(site.place(601))
    site.more()
    with pytest.raises(Unavailable, match="not_published"):
        site.receipts.at(site.place(601))
    Publisher(site.store, site.files.hot).publish(site.scribe.log_id)
    assert site.receipts.at(site.place(601))


def test_damaged_files_give_no_receipt(site: Site) -> None:
    tile = site.files.hot / site.scribe.log_id / "tile/0/001"
    data = bytearray(tile.read_bytes())
    data[0] ^= 1
    tile.write_bytes(data)
    with pytest.raises(Unavailable, match="ledger_damaged"):
        site.receipts.at(site.place(257))  # its sibling is the damaged hash


def test_a_checkpoint_of_another_key_gives_no_receipt(site: Site) -> None:
    stranger = Scribe()
    stranger.origin, stranger.key_id = site.scribe.origin, site.scribe.key_id
    stranger.frontier = site.scribe.frontier
    file = site.files.hot / site.scribe.log_id / "checkpoint"
    file.write_text(stranger.checkpoint())
    with pytest.raises(Unavailable, match="ledger_damaged"):
        site.receipts.at(site.place(0))


def test_a_receipt_carries_the_published_checkpoint_as_it_is(site: Site) -> None:
    file = site.files.hot / site.scribe.log_id / "checkpoint"
    cosigned = file.read_text() + f"— witness.test {base64.b64encode(b'keyidsignature').decode()}\n"
    file.write_text(cosigned)
    receipt = site.receipts.at(site.place(600))
    assert receipt.endswith("\n\n" + cosigned)
    assert require_event(read_event_receipt(receipt), site.key)
