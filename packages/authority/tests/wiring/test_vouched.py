"""Rows that were changed behind the ledger's back: `fsck` says so, and no record goes because of them."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from authority_support.site import running
from sealwright.admin.service import Auditor
from sealwright.clock import SystemClock
from sealwright.config import Config, StateConfig
from sealwright.detection.feed import AlarmFeed
from sealwright.detection.metrics import DetectionMetrics
from sealwright.drills.steps import wait_for
from sealwright.errors import Refused
from sealwright.ledger.files import LOG_LIST
from sealwright.ledger.fsck import Report
from sealwright.ledger.model import Place
from sealwright.ledger.retention import kept_until
from sealwright.wiring import vouched
from sealwright.wiring.inspect import inspect
from sealwright.wiring.retention import open_keeper
from sealwright.wiring.stores import Stores
from sealwright.wiring.trail import BROKEN, TrailWatch
from sealwright.wiring.vouched import BASELINE, set_baseline

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("vouched")]
TOKENS = 6


@pytest.fixture(scope="module")
def stopped() -> Iterator[Config]:
    """A site that issued some tokens, was asked something by an operator, and was stopped."""
    with running() as site:
        for _ in range(TOKENS):
            site.token()
        transport = httpx.HTTPTransport(uds=str(site.state / "run" / "admin.sock"))
        with httpx.Client(transport=transport, base_url="http://admin", timeout=60) as admin:
            assert admin.get("/admin/keys").status_code == 200

        def all_stated() -> bool | None:
            entries = site.stores.audit.page(0, 1_000)
            told = {"admin.read", "policy_in_force"} <= {entry.action for entry in entries}
            return (told and all(entry.stated for entry in entries)) or None

        wait_for(all_stated, "a trail that is in the ledger")
        served = site.state / "ledger" / LOG_LIST
        wait_for(lambda: served.is_file() or None, "a log list")
        site.stop()
        yield site.config


@pytest.fixture
def copy(stopped: Config) -> Iterator[Config]:
    """A copy of its state, to be changed."""
    with tempfile.TemporaryDirectory(prefix="sealwright-test-") as name:
        state = Path(name) / "state"
        shutil.copytree(stopped.state.path, state, ignore=shutil.ignore_patterns("run"))
        yield msgspec.structs.replace(stopped, state=StateConfig(directory=str(state)))


def change(config: Config, statement: str) -> int:
    with sqlite3.connect(config.state.path / "sealwright.db") as database:
        changed = database.execute(statement).rowcount
    database.close()
    return changed


def codes(report: Report) -> set[str]:
    return {damage.code for damage in report.damages}


def test_what_was_not_changed_is_sound(copy: Config) -> None:
    report = inspect(copy).fsck()
    assert report.sound, report.damages
    assert report.records == report.tokens >= TOKENS


NEWEST = "idx = (select max(idx) from leaves where record is not null)"
LOSE = "update leaves set record = null where " + NEWEST  # noqa: S608 - our own words
BURY = (
    "insert into record_tombstones select logs.log_id, idx, 1, 'x' from leaves, logs where logs.id = log and "
)
BURY += NEWEST
EDITS = {
    "a record that is gone": (LOSE, "record_missing"),
    "a key that lives longer": ("update keys set verify_until = verify_until + 1", "key_row"),
    "a key of another realm": ("update keys set realm = 'another'", "key_row"),
    "a state that there is not": ("update keys set state = 'lost'", "key_row"),
    "a key that is gone": ("delete from keys where state = 'active'", "key_missing"),
    "a manifest of one's own": ("update manifests set jws = 'x' where version = 1", "manifest_row"),
    "another actor": ("update audit set actor = 'mallory' where seq = 1", "audit_chain"),
    "an entry that is gone": ("delete from audit where seq = 1", "audit_chain"),
    "the last entry is gone": ("delete from audit where seq = (select max(seq) from audit)", "audit_missing"),
    "a tombstone without an entry": (BURY, None),  # it hides nothing: the record is there
}


@pytest.mark.parametrize("edit", EDITS)
def test_fsck_names_rows_that_the_leaves_contradict(copy: Config, edit: str) -> None:
    statement, code = EDITS[edit]
    assert change(copy, statement) > 0
    assert codes(inspect(copy).fsck()) == ({code} if code else set())


def test_fsck_names_a_list_that_is_not_served_and_repair_writes_it(copy: Config) -> None:
    served = copy.state.path / "ledger" / LOG_LIST
    document = served.read_bytes()
    served.unlink()
    assert codes(inspect(copy).fsck()) == {"log_list_file"}
    for step in inspect(copy).repair():
        step.do()
    assert inspect(copy).fsck().sound
    assert served.read_bytes() == document


def test_fsck_names_a_log_of_some_age_that_is_not_published(
    copy: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    [log] = inspect(copy).store.logs()
    shutil.rmtree(copy.state.path / "ledger" / log.log_id)
    assert inspect(copy).fsck().sound  # a crash in its first second leaves it so
    monkeypatch.setattr(vouched, "YOUNG", -1)
    assert codes(inspect(copy).fsck()) == {"not_published"}
    for step in inspect(copy).repair():
        step.do()
    assert inspect(copy).fsck().sound


def test_a_tombstone_that_nobody_entered_excuses_nothing(copy: Config) -> None:
    change(copy, BURY)
    change(copy, LOSE)
    assert codes(inspect(copy).fsck()) == {"record_missing"}


def test_an_erased_record_is_vouched_for(copy: Config) -> None:
    keeper = open_keeper(copy, SystemClock())
    [log] = keeper.store.logs()
    place = next(
        entry.index for entry in keeper.store.entries(log.log_id, 0, log.size) if entry.record is not None
    )
    keeper.erase(Place(log.log_id, place), "asked for by the person")
    report = inspect(copy).fsck()
    assert report.sound, report.damages


def test_a_row_that_lets_a_key_end_early_purges_nothing(copy: Config) -> None:
    keeper = open_keeper(copy, SystemClock())
    before = {key.kid: kept_until(key, keeper.retention) for key in keeper.trusts()}
    change(copy, "update keys set verify_until = 1000000000, state = 'retired'")
    after = open_keeper(copy, SystemClock())
    assert {key.kid: kept_until(key, after.retention) for key in after.trusts()} == before
    assert not after.over()
    for key in after.trusts():
        with pytest.raises(Refused, match="retained"):
            after.purge(key)


def test_a_key_whose_row_is_not_vouched_for_loses_no_record_even_in_its_time(copy: Config) -> None:
    change(copy, "update keys set realm = 'another'")

    class Late:
        def now(self) -> float:
            return SystemClock().now() + 20 * 365 * 86_400

    keeper = open_keeper(copy, Late())
    over = keeper.over()
    assert over
    for key in over:
        with pytest.raises(Refused, match="key_row"):
            keeper.purge(key)


ROWS = {
    "details of an entry": ("update audit set details = 'x' where seq = 2", "audit_chain"),
    "a purge of nothing": (
        "update audit set action = 'purge_records', subject = '/' where seq = 2",
        "audit_chain",
    ),
    "a key's id": ("update keys set kid = 'A' where state = 'active' and realm = 'consumer'", "key_row"),
    "a key's place": ("update keys set ledger_index = 'abc' where state = 'active'", "key_row"),
    "a manifest": ("update manifests set jws = x'ff' where version = 1", "manifest_row"),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_that_cannot_be_read_is_named_like_any_other(copy: Config, row: str) -> None:
    statement, code = ROWS[row]
    assert change(copy, statement) > 0
    assert code in codes(inspect(copy).fsck())


def test_a_purge_before_its_time_is_no_reason(copy: Config) -> None:
    keeper = open_keeper(copy, SystemClock())
    [kid] = {key.kid for key in keeper.keys.all() if key.realm == "enterprise" and key.state == "active"}
    keeper.audit("purge_records", kid, {})
    change(copy, LOSE)
    assert codes(inspect(copy).fsck()) == {"purged_early"}


def test_of_what_was_there_before_reasons_were_kept_none_is_asked(copy: Config) -> None:
    change(copy, LOSE)
    change(copy, "delete from audit")
    stores = Stores.open(copy, SystemClock())
    auditor = Auditor(stores.audit, SystemClock())
    for _ in range(2):
        set_baseline(auditor, stores.audit, stores.ledger)
    assert [entry.action for entry in stores.audit.page(0, 9)] == [BASELINE]
    assert "record_missing" not in codes(inspect(copy).fsck())
    [log] = stores.ledger.logs()
    auditor.write("system:mallory", BASELINE, "ledger", {log.log_id: log.size + 9})
    change(copy, f"insert into leaves select log, {log.size}, leaf, null from leaves where {NEWEST}")  # noqa: S608
    assert "leaf_beyond_head" in codes(inspect(copy).fsck())


def test_what_is_written_while_fsck_reads_is_the_next_runs(copy: Config) -> None:
    stores = Stores.open(copy, SystemClock())
    opened, told = inspect(copy), list[int]()

    def meanwhile(_log: str, done: int, total: int) -> None:
        told.append(done)
        if done == total:
            entry = Auditor(stores.audit, SystemClock()).write("operator:a", "keys.rotate", "enterprise", {})
            stores.audit.mark_stated(entry.seq)
            newest = stores.keys.latest_manifest()
            assert newest is not None
            later = replace(newest, version=newest.version + 1, jws="a.b.c")
            stores.keys.add_manifest(later)

    report = opened.fsck(meanwhile)
    assert told
    assert report.sound, report.damages


def test_a_broken_trail_is_one_alarm(copy: Config) -> None:
    clock, stores = SystemClock(), Stores.open(copy, SystemClock())
    watch = TrailWatch(
        Auditor(stores.audit, clock),
        stores.alarms,
        clock,
        AlarmFeed(stores.alarms),
        DetectionMetrics(CollectorRegistry()),
    )
    assert asyncio.run(watch.look()) is None
    change(copy, "update audit set subject = 'another' where seq = 2")
    assert [asyncio.run(watch.look()) for _ in range(2)] == [2, 2]
    raised = [one.alarm.code for one in stores.alarms.page(0, 1_000)]
    assert raised.count(BROKEN) == 1
