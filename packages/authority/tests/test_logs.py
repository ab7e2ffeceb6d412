"""Logs are bounded while a process runs: files by size, repetitions by number; nothing is lost unsaid."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from authority_support.fronts import endpoint
from sealwright.issuer.http import Answer
from sealwright.logs import BURST, JsonLines, Repetitions

DEADLINE = 60
MANY = 500


class Collected:
    """What gets through the filter and what it writes itself."""

    def __init__(self, window: float = 3_600.0) -> None:
        self.written: list[logging.LogRecord] = []
        self.told = threading.Event()
        self.repetitions = Repetitions(self.write, window)

    def write(self, record: logging.LogRecord) -> None:
        self.written.append(record)
        self.told.set()

    def log(self, level: int, message: str, code: str | None = None, name: str = "sealwright.x") -> None:
        record = logging.LogRecord(name, level, "", 0, message, None, None)
        if code is not None:
            record.facts = {"code": code}
        if self.repetitions.filter(record):
            self.written.append(record)


@pytest.fixture
def collected() -> Iterator[Collected]:
    made = Collected()
    yield made
    if made.repetitions._timer is not None:
        made.repetitions._timer.cancel()


def facts(record: logging.LogRecord) -> dict[str, object]:
    found: dict[str, object] = getattr(record, "facts", {})
    return found


def test_of_the_same_refusal_a_few_lines_are_written_and_the_rest_is_counted(collected: Collected) -> None:
    for _ in range(MANY):
        collected.log(logging.INFO, "refused", "invalid_client")
        collected.log(logging.WARNING, "Invalid HTTP request received.", name="uvicorn.error")
    assert len(collected.written) == 2 * BURST
    collected.repetitions.tell()
    left_out = [facts(record) for record in collected.written[2 * BURST :]]
    assert left_out == [
        {"like": "refused", "refused": "invalid_client", "left_out": MANY - BURST},
        {"like": "Invalid HTTP request received.", "refused": "", "left_out": MANY - BURST},
    ]


def test_another_refusal_is_written_in_full(collected: Collected) -> None:
    for _ in range(MANY):
        collected.log(logging.INFO, "refused", "invalid_client")
    collected.log(logging.INFO, "refused", "invalid_scope")
    assert facts(collected.written[-1]) == {"code": "invalid_scope"}


def test_errors_and_what_is_no_refusal_are_never_left_out(collected: Collected) -> None:
    for _ in range(MANY):
        collected.log(logging.ERROR, "refused", "invalid_client")
        collected.log(logging.ERROR, "Exception in ASGI application", name="uvicorn.error")
        collected.log(logging.INFO, "key active")
    assert len(collected.written) == 3 * MANY


def test_what_was_left_out_is_told_when_the_window_ends_though_nothing_more_is_logged() -> None:
    collected = Collected(window=0.1)
    while not collected.repetitions._timer and not collected.told.is_set():
        collected.log(logging.INFO, "refused", "invalid_client")
    assert collected.told.wait(DEADLINE)


def test_every_refused_token_request_is_counted_though_few_are_logged(collected: Collected) -> None:
    counted: Counter[str] = Counter()
    answered: list[Answer] = []
    asked = endpoint(lambda _realm, code: counted.update([code]))
    handler = logging.StreamHandler(stream := io.StringIO())
    handler.setFormatter(JsonLines("authority"))
    handler.addFilter(collected.repetitions.filter)
    logger = logging.getLogger("sealwright.issuer.http")
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        for _ in range(MANY):
            asked.ask("/enterprise/oauth2/token", [], b"", answered.append)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["facts"]["code"] for line in lines] == ["unsupported_media_type"] * BURST
    assert counted == {"unsupported_media_type": MANY}
    assert len(answered) == MANY


PROGRAM = """
import asyncio, logging, sys
from pathlib import Path
from sealwright import logs

logs.MAX_BYTES, logs.KEPT, lines = 10_000, 50, int(sys.argv[2])
logs.write_json_logs("p", "info", logs.own_log(Path(sys.argv[1])))
for number in range(lines):
    logging.getLogger("x").info("line", extra={"facts": {"number": number}})
    sys.stderr.write(f"{number}\\n")
sys.stderr.write("a" * 20_000 + "\\n")
asyncio.run(logs.keep_small())
sys.stderr.write("last\\n")
sys.stdout.write("and out\\n")
"""


@pytest.mark.parametrize("lines", [1, 1_000])
def test_a_log_is_moved_aside_while_it_is_written_and_loses_no_line(tmp_path: Path, lines: int) -> None:
    file = tmp_path / "p.jsonl"
    with file.open("ab") as stream:
        command = [sys.executable, "-I", "-c", PROGRAM, str(file), str(lines)]
        subprocess.run(command, stdout=stream, stderr=stream, check=True, timeout=DEADLINE)
    files = sorted(tmp_path.iterdir(), key=lambda path: -int(path.suffix[1:] if path != file else 0))
    written = [line for path in files for line in path.read_text().splitlines()]
    through_log = [json.loads(line)["facts"]["number"] for line in written if line.startswith("{")]
    straight = [line for line in written if not line.startswith("{")]
    assert through_log == list(range(lines))
    assert straight == [*map(str, range(lines)), "a" * 20_000, "last", "and out"]
    assert file.read_text() == "last\nand out\n"
    assert all(path.stat().st_size < 12_000 for path in files if "a" * 20_000 not in path.read_text())
    assert all(path.stat().st_mode & 0o077 == 0 for path in files if path != files[0])


def test_a_process_whose_errors_go_elsewhere_writes_no_file(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text("of another process\n")
    command = [sys.executable, "-I", "-c", PROGRAM, str(file), "1"]
    told = subprocess.run(command, capture_output=True, check=True, timeout=DEADLINE, text=True)
    assert file.read_text() == "of another process\n"
    assert '"number": 0' in told.stderr
