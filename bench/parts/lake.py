"""Search over history at size: the join of issued with observed, a batch, the blast radius, an old event.

The lake is made here: every issued token with its leaf, every one observed once, and a hundred forged uses
among them. The figures are those of the catalogue's own expressions; a run that finds anything but those
hundred means nothing and says so.
"""

import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from harness.model import NotMeasured, Outcome, Part, Setting, Table, WrongAnswer

ROWS, QUICK_ROWS = 10_000_000, 50_000
SPARK_ROWS = 10_000_000
FORGED = 100
RATE, BATCH_SECONDS = 5_000, 5
SPAN = 180 * 86_400.0
"""Seconds over which the tokens are spread: six months."""
NOW = 1_800_000_000.0
KEY, LOG = "K" * 43, "abcdefghijklmnop"
MEBIBYTE = 1024
"""Kibibytes, as `ru_maxrss` counts them."""
COLUMNS = ("what", "rows", "wall s", "CPU s", "found")


def run(setting: Setting) -> Outcome:
    """Make the lake and ask it."""
    if find_spec("duckdb") is None:
        raise NotMeasured("the extra sealwright[detect] is absent")
    rows = QUICK_ROWS if setting.quick else ROWS
    lake = setting.scratch / "lake"
    setting.say(f"making a lake of {rows:,} issued and {rows:,} observed")
    made = _made(lake, rows)
    measured = [("make the lake", rows * 2, *made, None), *_asked(setting, lake, rows)]
    notes = [f"peak memory of the process, DuckDB limited to 2 GB: {_peak():,} MiB"]
    if setting.quick or shutil.which("java") is None or find_spec("pyspark") is None:
        notes.append("Spark: not measured here (a quick run, or java or pyspark is absent)")
    else:
        measured.append(_spark(setting, lake))
    return Outcome((Table("Search over history", COLUMNS, tuple(measured)),), notes=tuple(notes))


def _asked(setting: Setting, lake: Path, rows: int) -> Iterator[tuple[Any, ...]]:
    from sealwright.detection.catalogue.model import Params
    from sealwright.detection.engine import DuckEngine, findings, rows_of
    from sealwright.response.affected import Question
    from sealwright.response.scope import scope

    engine = DuckEngine(lake)
    try:
        tables = engine.tables()
        every = Params(since=0.0, now=NOW, complete_until=NOW)
        batch = Params(since=NOW - BATCH_SECONDS, now=NOW, complete_until=NOW)
        setting.say("the join")
        yield _timed(
            "never_issued, everything", rows, lambda: len(list(findings(tables, every, JOIN))), FORGED
        )
        setting.say("a batch")
        recent = min(RATE * BATCH_SECONDS, rows)
        yield _timed(
            "never_issued, five seconds at 5,000/s",
            recent,
            lambda: len(list(findings(tables, batch, JOIN))),
            None,
        )
        setting.say("blast radius")
        question = Question(kid=KEY, since=0.0, until=NOW + 1)
        yield _timed("blast radius of a key", rows, lambda: len(scope(tables, question).touched), FORGED)
        old = NOW - SPAN + 3_600
        event = tables.observed.filter((tables.observed.at >= old) & (tables.observed.at < old + 60))
        setting.say("an old event")
        yield _timed("events of one minute, six months ago", rows, lambda: len(rows_of(event)), None)
    finally:
        engine.close()


JOIN = ("never_issued",)


def _spark(setting: Setting, lake: Path) -> tuple[Any, ...]:
    from sealwright.detection.catalogue.model import Params
    from sealwright.detection.engine import findings
    from sealwright.detection.spark import SparkEngine

    setting.say("the join on Spark")
    engine = SparkEngine(lake, partitions=16)
    try:
        tables = engine.tables()
        every = Params(since=0.0, now=NOW, complete_until=NOW)
        timed = _timed(
            "never_issued, everything, Spark local[2]",
            SPARK_ROWS,
            lambda: len(list(findings(tables, every, JOIN))),
            FORGED,
        )
        return (*timed[:3], None, timed[4])  # the JVM's processor time is not this process's
    finally:
        engine.close()


def _timed(what: str, rows: int, ask: Callable[[], int], wanted: int | None) -> tuple[Any, ...]:
    with _clock() as took:
        found = ask()
    if wanted is not None and found != wanted:
        raise WrongAnswer(f"{what}: {found} found where {wanted} are hidden")
    return (what, rows, *took, found)


@contextmanager
def _clock() -> Iterator[list[float]]:
    took: list[float] = []
    wall, own = time.perf_counter(), time.process_time()
    yield took
    took += [time.perf_counter() - wall, time.process_time() - own]


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MEBIBYTE


def _made(lake: Path, rows: int) -> list[float]:
    """Parquet segments as the export writes them, made by DuckDB itself."""
    import duckdb

    from sealwright.detection.engine import write_segment

    step = str(SPAN / rows)
    begins = str(NOW - SPAN)
    fill = {"log": LOG, "kid": KEY, "begins": begins, "step": step}
    with _clock() as took:
        database = duckdb.connect()
        database.sql("SET memory_limit = '2GB'; SET threads = 2; SET preserve_insertion_order = false")
        for table in ("issued", "observed"):
            (lake / table).mkdir(parents=True)
        genuine = _ISSUED.substitute(fill, first="0", last=str(rows))
        wrong = _ISSUED.substitute(fill, first=str(rows), last=str(rows + FORGED))
        _copy(database, genuine, lake / "issued" / "all.parquet")
        seen = _SEEN.substitute(rows=genuine, begins=begins, from_="0", step=step, subject="sub_digest")
        _copy(database, seen, lake / "observed" / "all.parquet")
        # Each forged use is for a subject and moment of its own, spread over the whole time.
        own = {"rows": wrong, "begins": begins, "from_": str(rows), "step": str(SPAN / FORGED)}
        _copy(database, _SEEN.substitute(own, subject=_VICTIM), lake / "observed" / "forged.parquet")
        database.close()
        write_segment(lake, "keys", "now", [_KEY_ROW])
        write_segment(lake, "validators", "now", [{"reporter": "mail", "instance": "i-1", "heard_at": NOW}])
    return took


_ISSUED = Template(
    """SELECT '$log' AS log_id, i AS idx, '$log.' || i AS jti, sha256('t' || i) AS digest, '$kid' AS kid,
    CAST($begins + i * $step AS BIGINT) AS iat, CAST($begins + i * $step + 600 AS BIGINT) AS exp,
    'enterprise' AS realm, 'app-' || (i % 50) AS client_id, sha256('s' || (i % 5000)) AS sub_digest,
    'tenant-' || (i % 40) AS tenant, ['mail'] AS aud, ['mail.read'] AS scope,
    'client_credentials' AS "grant", NULL::VARCHAR AS parent, NULL::VARCHAR AS family, NULL::VARCHAR AS cnf,
    NULL::VARCHAR AS event_id FROM range($first, $last) r(i)"""
)
_SEEN = Template(
    """SELECT 'o' || idx AS id, 'mail' AS reporter, 'i-1' AS instance,
    $begins + (idx - $from_) * $step AS received_at, $begins + (idx - $from_) * $step AS "at",
    'accepted' AS verdict, 'valid' AS signature, digest, kid, jti, log_id, idx,
    'https://issuer.example' AS iss, aud, iat, exp, client_id, $subject AS sub_digest, tenant,
    'mailbox' AS resource, 'net' AS network, NULL::DOUBLE AS latitude, NULL::DOUBLE AS longitude,
    NULL::VARCHAR AS binding FROM ($rows)"""
)
_VICTIM = "sha256('v' || idx)"


def _copy(database: Any, query: str, file: Path) -> None:
    database.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")


_KEY_ROW = {
    "kid": KEY,
    "realm": "enterprise",
    "issuer": "https://issuer.example",
    "audiences": ["mail"],
    "use_from": NOW - SPAN - 60,
    "use_until": NOW + 60,
    "verify_until": NOW + 3_660,
    "max_lifetime": 3_600,
    "status": "active",
    "activated_at": NOW - SPAN - 60,
}
PART = Part("lake", "Search over history at size", run)
