"""Logs as JSON, one object a line, to standard error; the supervisor sends that to `log/<process>.jsonl`.

A log is bounded while the process runs: its file is moved aside by size (`MAX_BYTES`, `KEPT` old ones), and
of the same refusal `BURST` lines are written in `WINDOW` seconds, then how many were left out.

Facts go into `extra={"facts": {…}}`. May never be given a token, a secret or a subject; nothing here looks
for them. May never leave out an error, nor an alarm: those are not written through here, or are errors.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 32 << 20
"""Bytes of a log after which it is moved to `<name>.1`, that to `<name>.2`, and so on."""
KEPT = 3
"""Old files of one log that are kept."""
WINDOW = 10.0
"""Seconds in which repetitions are counted."""
BURST = 20
"""Lines of one kind that are written in a window."""
_STDOUT, _STDERR = 1, 2
_Kind = tuple[str, int, str, str]


class JsonLines(logging.Formatter):
    """One log record as one line of JSON: time (UTC), level, process, logger, message, facts, error."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        facts = getattr(record, "facts", None)
        if facts:
            line["facts"] = facts
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class Repetitions:
    """A filter for handlers: what anybody can cause as often as he likes is written `BURST` times a window.

    That is what states the code of a refusal, and what the HTTP server says of connections; errors never.

    Args:
        write: takes the record that says how many were left out.
        window: seconds.
    """

    def __init__(self, write: Callable[[logging.LogRecord], object], window: float = WINDOW) -> None:
        self._write, self._window = write, window
        self._seen: Counter[_Kind] = Counter()
        self._until = 0.0
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        code = (getattr(record, "facts", None) or {}).get("code")
        server = record.name.startswith("uvicorn")
        if record.levelno >= logging.ERROR or (code is None and not server):
            return True
        kind = (record.name, record.levelno, str(record.msg), str(code or ""))
        with self._lock:
            if self._timer is None and record.created >= self._until:
                self._seen.clear()
                self._until = record.created + self._window
            self._seen[kind] += 1
            if self._seen[kind] <= BURST:
                return True
            if self._timer is None:
                self._timer = threading.Timer(self._window, self.tell)
                self._timer.daemon = True
                self._timer.start()
        return False

    def tell(self) -> None:
        """Write how many of each kind were left out, and count anew."""
        with self._lock:
            left_out = {kind: count - BURST for kind, count in self._seen.items() if count > BURST}
            self._seen.clear()
            self._timer = None
        for (name, level, message, code), count in left_out.items():
            record = logging.LogRecord(name, level, "", 0, "lines left out", None, None)
            record.facts = {"like": message, "refused": code, "left_out": count}
            self._write(record)


def write_json_logs(process: str, level: str, file: Path | None = None) -> None:
    """Send every log record of this process as JSON lines to a file, or to standard error.

    Args:
        process: its name in each line, for example `authority`.
        level: the least level that is written: `debug`, `info`, `warning` or `error`.
        file: its log. Standard output and error follow when it is moved aside, where they lead there too.
    """
    handler = logging.StreamHandler(sys.stderr) if file is None else _rotating(file)
    handler.setFormatter(JsonLines(process))
    repetitions = Repetitions(handler.handle)
    handler.addFilter(repetitions.filter)
    atexit.register(repetitions.tell)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)


def own_log(file: Path) -> Path | None:
    """The file if standard error leads there, as for a process that `sealwright up` started."""
    return file if _leads_to(_STDERR, file) else None


async def keep_small() -> None:
    """Move this process's log aside if it is too long, whoever made it so: alarms go straight to standard
    error.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RotatingFileHandler) and _size(Path(handler.baseFilename)) > MAX_BYTES:
            with handler.lock or nullcontext():
                handler.doRollover()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # somebody took it away; the next start makes it anew
        return 0


def _rotating(file: Path) -> RotatingFileHandler:
    os.close(_open_private(file))
    handler = RotatingFileHandler(file, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8")
    handler.rotator = _move_aside
    return handler


def _move_aside(source: str, destination: str) -> None:
    following = [number for number in (_STDOUT, _STDERR) if _leads_to(number, Path(source))]
    Path(source).replace(destination)
    new = _open_private(Path(source))
    for number in following:
        os.dup2(new, number)
    os.close(new)


def _open_private(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _leads_to(number: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(number), file.stat())
    except OSError:
        return False
