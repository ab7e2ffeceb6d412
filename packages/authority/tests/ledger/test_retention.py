from __future__ import annotations

import asyncio
import hashlib
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from authority_support.archived import LEAVES, START, TOKENS, ArchivedSite
from sealwright.admin.service import Auditor
from sealwright.cli.main import main
from sealwright.config import RetentionConfig
from sealwright.config.retention import DAY, PROFILES, retention_of, retention_problems
from sealwright.errors import Refused, Unavailable
from sealwright.ledger.fsck import check_ledger
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.receipts import Receipts
from sealwright.ledger.retention import KeyTrust, kept_until, require_purgeable
from sealwright.store.admin import SqlAuditStore
from sealwright.store.db import open_engine, open_state
from sealwright.store.ledger import SqlLedgerStore
from sealwright.wiring.retention import open_keeper


@pytest.fixture
def site(tmp_path: Path) -> ArchivedSite:
    return ArchivedSite(tmp_path)


KEY = KeyTrust("kid", "log", START)


@pytest.mark.parametrize("profile", PROFILES)
def test_no_profile_keeps_less_than_two_years_beyond_trust(profile: str) -> None:
    retention = retention_of(RetentionConfig(profile))
    assert kept_until(KEY, retention) >= START + 730 * DAY
    with pytest.raises(Refused, match="retained"):
        require_purgeable(KEY, retention, kept_until(KEY, retention) - 1)
    require_purgeable(KEY, retention, kept_until(KEY, retention))


def test_m_21_31_keeps_twelve_months_hot_and_thirty_in_all() -> None:
    retention = retention_of(RetentionConfig("m-21-31"))
    assert retention.hot >= 365 * DAY
    assert retention.keep >= (365 + 547) * DAY


def test_a_key_that_was_revoked_late_is_kept_from_then() -> None:
    assert KeyTrust("kid", "log", START, START + 99).trusted_until == START + 99


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        (RetentionConfig(hot=DAY), "retention_too_short"),
        (RetentionConfig(keep=729 * DAY), "retention_too_short"),
        (RetentionConfig("m-21-31", keep=730 * DAY), "retention_too_short"),
        (RetentionConfig("none"), "retention_profile"),
    ],
)
def test_a_configuration_can_only_raise_the_times(asked: RetentionConfig, rule: str) -> None:
    assert [problem.rule for problem in retention_problems(asked)] == [rule]
    assert not list(retention_problems(RetentionConfig(hot=400 * DAY, keep=800 * DAY)))


def test_nothing_moves_before_the_hot_time_is_over(site: ArchivedSite) -> None:
    site.clock.time = START + 182 * DAY
    assert site.keeper.due() == []
    site.clock.time = START + 184 * DAY
    assert [(due.first, due.end) for due in site.keeper.due()] == [(0, LEAVES)]


def test_what_has_moved_stays_provable_and_sound(site: ArchivedSite) -> None:
    receipts = Receipts(site.keeper.store, site.files, site.keeper.digests)
    indices = (0, 255, 256, 599)
    before = [receipts.at(site.place(index)) for index in indices]
    site.archive()
    assert site.store.entries(site.scribe.log_id, 0, LEAVES) == [], "the rows have left the database"
    assert not (site.files.hot / site.scribe.log_id / "tile/entries/000").exists()
    again = Receipts(site.keeper.store, site.files, site.keeper.digests)
    assert [again.at(site.place(index)) for index in indices] == before
    assert again.of_digest(hashlib.sha256(b"42").hexdigest()) == again.at(site.place(42))
    assert site.sound()
    assert site.records() == TOKENS
    assert site.keeper.due() == []
    publisher = Publisher(site.keeper.store, site.files.hot)
    publisher.publish(site.scribe.log_id)
    assert site.sound()


def test_a_cold_file_that_was_changed_is_refused_and_named(site: ArchivedSite) -> None:
    site.archive()
    [segment] = site.keeper.cold.segments(site.scribe.log_id)
    file = site.config.cold / segment.file
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    fresh = open_keeper(site.config, site.clock)
    with pytest.raises(Unavailable, match="cold_storage"):
        fresh.store.entries(site.scribe.log_id, 0, 1)


def test_a_changed_cold_bundle_is_named_by_fsck(site: ArchivedSite) -> None:
    site.archive()
    bundle = site.config.cold / site.scribe.log_id / "tile/entries/001"
    data = bytearray(bundle.read_bytes())
    data[20] ^= 1
    bundle.write_bytes(data)
    report = check_ledger(site.keeper.store, site.files.hot, cold=site.files.cold)
    assert [(damage.code, damage.index) for damage in report.damages] == [("bundle_differs", 256)]


@pytest.mark.parametrize("cold", [False, True])
def test_an_erased_record_leaves_leaf_proof_and_tombstone(site: ArchivedSite, cold: bool) -> None:
    if cold:
        site.archive()
    site.keeper.erase(site.place(300), "request of the person")
    assert site.records() == TOKENS - 1
    assert site.sound()
    tombstone = site.store.erased(site.scribe.log_id, 300)
    assert tombstone is not None
    assert tombstone.reason == "request of the person"
    assert Receipts(site.keeper.store, site.files, site.keeper.digests).at(site.place(300))
    with pytest.raises(Refused, match="no_record"):
        site.keeper.erase(site.place(300), "again")
    auditor = Auditor(SqlAuditStore(open_state(site.directory)), site.clock)
    entries = asyncio.run(auditor.page(0, 10))
    assert entries[-1].action == "erase_record"


@pytest.mark.parametrize("cold", [False, True])
def test_records_go_when_their_time_is_over_and_no_earlier(site: ArchivedSite, cold: bool) -> None:
    if cold:
        site.archive()
    [key] = site.keeper.trusts()
    site.clock.time = START + 7_200 + 729 * DAY
    with pytest.raises(Refused, match="retained"):
        site.keeper.purge(key)
    assert site.records() == TOKENS
    site.clock.time += DAY
    assert site.keeper.purge(key) == TOKENS
    assert site.records() == 0
    assert site.sound()


FULL = """
import asyncio, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from authority_support.logs import Scribe, tokens
from sealwright.ledger.service import Ledger
from sealwright.store.db import open_state
from sealwright.store.ledger import SqlLedgerStore
from sealwright.errors import Unavailable

class Clock:
    def now(self): return 1.8e9

async def main():
    store, scribe = SqlLedgerStore(open_state(Path(sys.argv[1]))), Scribe()
    ledger = Ledger(store, Clock(), lambda _: None)
    writer = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 0)
    await writer.commit(scribe.batch(tokens(100)[0]))
    largest = max(file.stat().st_size for file in Path(sys.argv[1]).iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    released, held = 100, []
    try:
        for start in range(100, 100_000, 100):
            held.append(scribe.batch(tokens(100, start)[0]))
            await writer.commit(held[-1])
            released, held = start + 100, []
    except Unavailable as error:
        print(released, error.code)
    held.append(scribe.batch(tokens(1, released + 100)[0]))
    try:
        await writer.commit(held[-1])
    except Unavailable:
        print("still refused")
    again = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, released)
    try:
        await again.commit(held[0])
    except Unavailable:
        print("refused to the next one")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if store.log(scribe.log_id).size == released:
        print("nothing was stored")
    again = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, released)
    for batch in held:
        await again.commit(batch)
    print("room again", again.size)

asyncio.run(main())
"""


def test_a_full_disk_stops_issuing_and_not_logging(tmp_path: Path) -> None:
    """Nothing is answered for a batch that could not be written; it is taken when there is room again."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    support = Path(__file__).parents[1] / "support"
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), str(support)],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    released, code, *said = ran.stdout.split(maxsplit=2)
    assert code == "store_unavailable"
    size = int(released) + 101
    refused = ["still refused", "refused to the next one", "nothing was stored"]
    assert said[0].splitlines() == [*refused, f"room again {size}"]
    store = SqlLedgerStore(open_engine(f"sqlite:///{tmp_path / 'sealwright.db'}"))
    [log] = store.logs()
    assert log.size == size
    assert check_ledger(store, tmp_path / "ledger").sound


def test_the_commands_print_their_plan_and_change_nothing_without_apply(
    site: ArchivedSite, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(site.directory)]
    jti = f"{site.scribe.log_id}.7.AAAAAAAAAAAA"
    assert main(["ledger", "retention", *state]) == 0
    assert "kept for 730 days after the end of trust" in capsys.readouterr().out
    # The leaves are of 2023, so by the host's clock they are due.
    for asked in (["archive"], ["erase", jti, "--reason", "asked"]):
        assert main(["ledger", *asked, *state]) == 0
        assert "nothing was changed" in capsys.readouterr().out
    assert site.records() == TOKENS
    assert site.keeper.cold.segments(site.scribe.log_id) == []
    for asked in (["erase", jti, "--reason", "asked"], ["archive"]):
        assert main(["ledger", *asked, "--apply", *state]) == 0
    assert site.records() == TOKENS - 1
    assert [segment.end for segment in site.keeper.cold.segments(site.scribe.log_id)] == [LEAVES]
    assert main(["ledger", "fsck", *state]) == 0
    assert main(["ledger", "erase", "no jti", "--reason", "x", *state]) == 2
