"""From a live authority into the lake: everything once, forgeries found there, no subject in clear."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

pytest.importorskip("ibis", reason="THE EXTRA `detect` IS ABSENT: install sealwright[detect]")

from sealwright.detection.catalogue.model import BEGINNING, Params
from sealwright.detection.engine import DuckEngine, findings, rows_of
from sealwright.detection.export import export, segments
from sealwright.detection.model import Observation, Report, ValidatorFacts
from sealwright.errors import Unavailable
from sealwright.issuer.events import GrantEvents
from sealwright.keys.model import Key, KeyState
from sealwright.ledger.model import Entry, Log
from sealwright.store.db import open_state
from sealwright.store.detection import SqlObservationStore, open_detection
from sealwright.store.keys import SqlKeyStore
from sealwright.store.ledger import SqlLedgerStore

NOW = 1_800_000_000
LOG = "abcdefghijklmnop"
KID = bytes(range(32))
KID_TEXT = base64.urlsafe_b64encode(KID).decode().rstrip("=")
SUBJECT = "alice@example.org"


class Live:
    """The stores of an authority with one key and one log."""

    def __init__(self, state: Engine, detection: Engine) -> None:
        self.ledger = SqlLedgerStore(state)
        self.keys = SqlKeyStore(state)
        self.seen = SqlObservationStore(detection)
        self.size = 0
        self.ledger.add_log(Log(LOG, "o", "v", 0, "", None), 1)
        announced = {"issuer": "https://i.example", "audiences": ["https://m.example"], "max_lifetime": 600}
        payload = base64.urlsafe_b64encode(json.dumps(announced).encode()).decode().rstrip("=")
        self.keys.add(
            Key(
                kid=KID_TEXT,
                realm="enterprise",
                algorithm="ES256",
                log_id=LOG,
                announcement=f"e30.{payload}.c2ln",
                ledger_index=0,
                jwk={},
                state=KeyState.ACTIVE,
                changed_at=NOW - 900,
                use_from=NOW - 900,
                use_until=NOW + 900,
                verify_until=NOW + 5_000,
            )
        )

    def issue(self, count: int, marked: Callable[[bytes], bytes | None] = bytes) -> None:
        entries = []
        for index in range(self.size, self.size + count):
            record = b"s" * 16 + json.dumps({"client_id": "c", "sub": SUBJECT, "scope": "a b"}).encode()
            kept = marked(record)
            times = (NOW - 60).to_bytes(8, "big") + (NOW + 500).to_bytes(8, "big")
            leaf = b"\x01\x01" + index.to_bytes(32, "big") + KID + times + hashlib.sha256(record).digest()
            entries.append(Entry(index, leaf, kept))
        before, self.size = self.size, self.size + count
        self.ledger.append(before, entries, Log(LOG, "o", "v", self.size, "n", None), ())

    def report(self, *indices: int) -> None:
        seen = tuple(
            Observation(
                id=f"{index:032x}",
                at=NOW - 5.0,
                verdict="accepted",
                signature="valid",
                digest=f"{index:064x}",
                kid=KID_TEXT,
                jti=f"{LOG}.{index}.abcdefghijkl",
                iss="https://i.example",
                aud=("https://m.example",),
                iat=NOW - 60,
                exp=NOW + 500,
            )
            for index in indices
        )
        facts = ValidatorFacts(name="mail", instance="i", manifest_age=1.0)
        kept = self.seen.add(NOW - 4.0, [("mail", Report(validator=facts, observations=seen))])
        self.seen.mark_judged([kept.batch])


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    state, detection = open_state(tmp_path), open_detection(tmp_path)
    yield Live(state, detection)
    state.dispose()
    detection.dispose()


def exported(live: Live, lake: Path) -> dict[str, int]:
    return export(lake, live.ledger, live.keys, live.seen)


def test_an_export_goes_on_where_the_last_one_ended(live: Live, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    live.issue(3)
    live.report(0, 1)
    assert exported(live, lake) == {"issued": 3, "observed": 2, "keys": 1, "validators": 1}
    assert exported(live, lake) == {"keys": 1, "validators": 1}
    live.issue(2)
    live.report(4)
    assert exported(live, lake) == {"issued": 2, "observed": 1, "keys": 1, "validators": 1}
    assert [path.stem for path in segments(lake, "issued")] == [
        f"{LOG}-000000000000-000000000003",
        f"{LOG}-000000000003-000000000005",
    ]


def test_the_catalogue_finds_the_forgery_in_what_was_exported_and_nothing_else(
    live: Live, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    live.issue(5)
    live.report(0, 1, 2, 77)
    exported(live, lake)
    engine = DuckEngine(lake)
    params = Params(since=NOW - 100.0, now=float(NOW), complete_until=float(NOW))
    found = [(row.code, row.digest) for row in findings(engine.tables(), params, engine.runnable())]
    engine.close()
    assert found == [("never_issued", f"{77:064x}")]


def test_a_detection_without_its_evidence_is_not_run(live: Live, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    live.issue(1)
    exported(live, lake)
    engine = DuckEngine(lake)
    skipped = {"issued_without_grant", "client_disabled", "scope_beyond_policy"}
    assert not skipped & set(engine.runnable())
    engine.close()


def test_no_subject_is_in_the_lake_in_clear(live: Live, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    live.issue(3)
    exported(live, lake)
    assert segments(lake, "issued")
    for path in lake.rglob("*.parquet"):
        assert SUBJECT.encode() not in path.read_bytes()
    engine = DuckEngine(lake)
    rows = engine.tables().issued.select("sub_digest").distinct().to_pyarrow().to_pylist()
    engine.close()
    assert rows == [{"sub_digest": hashlib.sha256(SUBJECT.encode()).hexdigest()}]


BEGAN = {"event_id": None, "at": NOW - 3_600.0, "client_id": None, "kind": BEGINNING}
EVENTS = GrantEvents(b"k" * 32, NOW - 3_600.0)


class Began:
    """`Beside` with the row that says since when every token has its event."""

    def __init__(self, at: float = NOW - 3_600.0) -> None:
        self._at = at

    def rows(self) -> Mapping[str, Sequence[dict[str, Any]]]:
        return {"grants": [{**BEGAN, "at": self._at}]}


def without_grant(live: Live, lake: Path, began: float = NOW - 3_600.0) -> list[str]:
    export(lake, live.ledger, live.keys, live.seen, Began(began), EVENTS)
    engine = DuckEngine(lake)
    params = Params(since=NOW - 100.0, now=float(NOW), complete_until=float(NOW))
    assert "issued_without_grant" in engine.runnable()
    found = [row.digest for row in findings(engine.tables(), params, ["issued_without_grant"])]
    engine.close()
    return sorted(str(digest) for digest in found)


def digests(*indices: int) -> list[str]:
    return [f"{index:064x}" for index in indices]


def test_what_was_signed_past_the_token_endpoint_is_found_and_nothing_else(
    live: Live, tmp_path: Path
) -> None:
    other = GrantEvents(b"K" * 32, 0.0)
    live.issue(2, EVENTS.marked)
    live.issue(1)
    live.issue(1, other.marked)
    live.issue(1, lambda record: EVENTS.marked(b"t" + record[1:])[:16] + EVENTS.marked(record)[16:])
    assert without_grant(live, tmp_path / "lake") == digests(2, 3, 4)


def test_a_leaf_that_lost_its_record_in_a_crash_is_found_only_when_its_token_is_seen(
    live: Live, tmp_path: Path
) -> None:
    live.issue(1, EVENTS.marked)
    live.issue(2, lambda _record: None)
    lake = tmp_path / "lake"
    assert without_grant(live, lake) == []
    live.report(0, 2)
    assert without_grant(live, lake) == digests(2)


def test_one_event_for_two_tokens_is_found_when_both_are_seen(live: Live, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    live.issue(2, lambda _record: EVENTS.marked(b"the one request" + b'!{"client_id":"c"}'))
    live.issue(1, lambda _record: EVENTS.marked(b"another request" + b'!{"client_id":"c"}'))
    live.report(1, 2)
    assert without_grant(live, lake) == []  # asked again, because the first answer was lost
    live.report(0)
    assert without_grant(live, lake) == digests(0, 1)


def test_tokens_from_before_there_were_grant_events_are_left_alone(live: Live, tmp_path: Path) -> None:
    live.issue(2)
    assert without_grant(live, tmp_path / "lake", began=NOW - 59.0) == []
    assert without_grant(live, tmp_path / "lake", began=NOW - 60.0) == digests(0, 1)


def test_a_lake_that_cannot_be_read_is_said_in_one_line_that_names_the_file(
    live: Live, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    live.issue(1)
    live.report(0)
    exported(live, lake)
    (lake / "observed" / "junk.parquet").write_bytes(b"PAR1 no parquet PAR1")
    engine = DuckEngine(lake)
    try:
        with pytest.raises(Unavailable, match=r"observed/junk\.parquet"):
            rows_of(engine.tables().observed)
    finally:
        engine.close()
