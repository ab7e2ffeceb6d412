"""Search over history at size: the join of issued with observed, a batch, the blast radius, an old event.

The lake is made here: half of the tokens were issued over six months, the others at 5,000/s until now. Each
was observed once, a hundred forged uses are among them, and two batches of five seconds have just come in.
The figures are those of the catalogue's own expressions; a run that finds anything but the hundred means
nothing and says so.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from harness.model import NotMeasured, Outcome, Part, Setting, Table, WrongAnswer
from harness.procfs import cpu_seconds, family

ROWS, QUICK_ROWS = 10_000_000, 50_000
FORGED = 100
RATE, BATCH_SECONDS = 5_000, 5
BATCHES = {"young": 30, "old": 600}
"""Batches, and how old the tokens in them are at the most, in seconds. Each has five seconds of its own."""
SPAN = 180 * 86_400.0
"""Seconds over which the tokens are spread: six months."""
NOW = 1_800_000_000.0
KEY, LOG = "K" * 43, "abcdefghijklmnop"
KIBIBYTES = 1024
RESET_PEAK = "5"
"""What /proc/PID/clear_refs takes to forget the peak (man proc)."""
COLUMNS = ("what", "rows", "wall s", "CPU s", "peak MiB", "found")


def run(setting: Setting) -> Outcome:
    """Make the lake and ask it."""
    if find_spec("duckdb") is None:
        raise NotMeasured("the extra sealwright[detect] is absent")
    rows = QUICK_ROWS if setting.quick else ROWS
    lake = setting.scratch / "lake"
    setting.say(f"making a lake of {rows:,} issued and {rows:,} observed")
    made = _made(lake, rows)
    measured = [("make the lake", rows * 2, *made, None), *_asked(setting, lake, rows)]
    notes = ["peak: resident memory of all processes; DuckDB may take 2 GB, Spark's JVM what it is given"]
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
    until = NOW + BATCH_SECONDS
    try:
        tables = engine.tables()
        every = Params(since=0.0, now=until, complete_until=until)
        setting.say("the join")
        yield _timed("never_issued, everything", rows, lambda: _found(findings(tables, every, JOIN)), FORGED)
        for number, age in enumerate(BATCHES.values()):
            since = NOW + (number - 1) * BATCH_SECONDS
            batch = Params(since=since, now=since + BATCH_SECONDS, complete_until=since + BATCH_SECONDS)
            setting.say(f"a batch of tokens up to {age} s old")
            yield _timed(
                f"never_issued, 5 s at 5,000/s, tokens up to {age} s old",
                _batch_size(rows),
                partial(_found, findings(tables, batch, JOIN)),
                0,
            )
        setting.say("blast radius")
        question = Question(kid=KEY, since=0.0, until=until)
        yield _timed(
            "blast radius of a key", rows, lambda: len(scope(tables, question, setting.say).touched), FORGED
        )
        old = NOW - SPAN + 3_600
        event = tables.observed.filter((tables.observed.at >= old) & (tables.observed.at < old + 60))
        setting.say("an old event")
        yield _timed("events of one minute, six months ago", rows, lambda: len(rows_of(event)), None)
    finally:
        engine.close()


def _found(rows: Iterator[Any]) -> int:
    return sum(1 for _ in rows)


JOIN = ("never_issued",)


def _spark(setting: Setting, lake: Path) -> tuple[Any, ...]:
    from sealwright.detection.catalogue.model import Params
    from sealwright.detection.engine import findings
    from sealwright.detection.spark import SparkEngine

    setting.say("the join on Spark")
    engine = SparkEngine(lake, partitions=16)
    try:
        tables = engine.tables()
        until = NOW + BATCH_SECONDS
        every = Params(since=0.0, now=until, complete_until=until)
        return _timed(
            "never_issued, everything, Spark local[2]",
            ROWS,
            lambda: _found(findings(tables, every, JOIN)),
            FORGED,
        )
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
    """Seconds by the wall, seconds of CPU and peak memory (MiB) of what is done inside, children included."""
    took: list[float] = []
    for pid in family(os.getpid()):
        with suppress(OSError):  # another's or gone: its peak is of longer ago then
            Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
    wall, used = time.perf_counter(), _cpu()
    yield took
    took += [time.perf_counter() - wall, _cpu() - used, sum(map(_peak, family(os.getpid())))]


def _cpu() -> float:
    own = os.getpid()
    return time.process_time() + sum(cpu_seconds(pid for pid in family(own) if pid != own).values())


def _peak(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / KIBIBYTES for line in lines if line.startswith("VmHWM:"))


def _made(lake: Path, rows: int) -> list[float]:
    """Parquet segments as the export writes them, made by DuckDB itself."""
    import duckdb

    from sealwright.detection.engine import write_segment

    fill = {"log": LOG, "kid": KEY, "at": _issue_times(rows)}
    with _clock() as took:
        database = duckdb.connect()
        database.sql("SET memory_limit = '2GB'; SET threads = 2; SET preserve_insertion_order = false")
        for table in ("issued", "observed"):
            (lake / table).mkdir(parents=True)
        genuine = _ISSUED.substitute(fill, numbers=f"range({rows}) r(i)")
        _copy(database, genuine, lake / "issued" / "all.parquet")
        _observe(database, lake, "all", genuine, "issued_at + 1")
        # Each forged use is for a subject and moment of its own, spread over the whole time.
        wrong = _ISSUED.substitute(fill, numbers=f"range({rows}, {rows + FORGED}) r(i)")
        moment = f"{NOW - SPAN} + (idx - {rows}) * {SPAN / FORGED}"
        _observe(database, lake, "forged", wrong, moment, "sha256('v' || idx)")
        for number, (name, age) in enumerate(BATCHES.items()):
            some, young = _batch_size(rows), min(RATE * age, rows)
            one = f"{rows - 1} - CAST(hash(n) % {young} AS BIGINT) AS i"
            picked = f"(SELECT {one} FROM range({some}) r(n)) r"  # noqa: S608 - numbers of our own
            again = _ISSUED.substitute(fill, numbers=picked)
            late = f"{NOW + (number - 1) * BATCH_SECONDS} + (hash(idx) % 999 + 1) * {BATCH_SECONDS / 1000}"
            _observe(database, lake, name, again, late)
        database.close()
        write_segment(lake, "keys", "now", [_KEY_ROW])
        write_segment(lake, "validators", "now", [{"reporter": "mail", "instance": "i-1", "heard_at": NOW}])
    return took


def _batch_size(rows: int) -> int:
    return min(RATE * BATCH_SECONDS, rows)


def _issue_times(rows: int) -> str:
    """SQL of when token `i` was issued: half of them over six months, the others at full rate until now."""
    half = rows // 2
    recent = NOW - 2 * BATCH_SECONDS - (rows - half) / RATE
    slow = f"{NOW - SPAN} + i * {(recent - NOW + SPAN) / half}"
    return f"CASE WHEN i < {half} THEN {slow} ELSE {recent} + (i - {half}) / {RATE}.0 END"


def _observe(database: Any, lake: Path, name: str, tokens: str, at: str, who: str = "sub_digest") -> None:
    query = _SEEN.substitute(rows=tokens, at=f"CAST({at} AS DOUBLE)", who=who, name=name)
    _copy(database, query, lake / "observed" / f"{name}.parquet")


_ISSUED = Template(
    """SELECT '$log' AS log_id, i AS idx, '$log.' || i AS jti, sha256('t' || i) AS digest, '$kid' AS kid,
    CAST($at AS BIGINT) AS iat, CAST($at AS BIGINT) + 600 AS exp,
    'enterprise' AS realm, 'app-' || (i % 50) AS client_id, sha256('s' || (i % 5000)) AS sub_digest,
    'tenant-' || (i % 40) AS tenant, ['mail'] AS aud, ['mail.read'] AS scope,
    'client_credentials' AS "grant", NULL::VARCHAR AS parent, NULL::VARCHAR AS family, NULL::VARCHAR AS cnf,
    NULL::VARCHAR AS event_id FROM $numbers"""
)
_SEEN = Template(
    """SELECT '$name-' || idx AS id, 'mail' AS reporter, 'i-1' AS instance,
    $at AS received_at, $at AS "at",
    'accepted' AS verdict, 'valid' AS signature, digest, kid, jti, log_id, idx,
    'https://issuer.example' AS iss, aud, iat, exp, client_id, $who AS sub_digest, tenant,
    'mailbox' AS resource, 'net' AS network, NULL::DOUBLE AS latitude, NULL::DOUBLE AS longitude,
    NULL::VARCHAR AS binding FROM (SELECT *, iat AS issued_at FROM ($rows))"""
)


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
