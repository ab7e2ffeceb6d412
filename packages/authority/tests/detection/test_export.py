"""From a live authority into the lake: everything once, forgeries found there, no subject in clear."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

pytest.importorskip("ibis", reason="THE EXTRA `detect` IS ABSENT: install sealwright[detect]")

from sealwright.detection.catalogue.model import Params
from sealwright.detection.engine import DuckEngine, findings
from sealwright.detection.export import export, segments
from sealwright.detection.model import Observation, Report, ValidatorFacts
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

    def issue(self, count: int) -> None:
        entries = []
        for index in range(self.size, self.size + count):
            record = b"s" * 16 + json.dumps({"client_id": "c", "sub": SUBJECT, "scope": "a b"}).encode()
            times = (NOW - 60).to_bytes(8, "big") + (NOW + 500).to_bytes(8, "big")
            leaf = b"\x01\x01" + index.to_bytes(32, "big") + KID + times + hashlib.sha256(record).digest()
            entries.append(Entry(index, leaf, record))
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
