"""The journal of a long scan: what is finished is not scanned again after an interruption.

A line per finished window or object. May never do: trust a line of a file that has changed since (identity),
or hold a
secret: it holds hits, which have none.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TextIO

from sealwright_dumps.detectors.memory import Clue
from sealwright_dumps.errors import Misconfigured, Refused, Unavailable
from sealwright_dumps.model import Confidence, Finding, Hit, ObjectReport, Status
from sealwright_dumps.scanner import Settings, WindowResult
from sealwright_dumps.source import Identity

_MARK = "sealwright-dumps-state"
_HEAD = f'{{"{_MARK}"'.encode()


class State(Protocol):
    """What a scan remembers between runs."""

    def finished(self, path: Path) -> ObjectReport | None:
        """The report of an unchanged file that was finished earlier."""
        ...

    def window(self, path: Path, identity: Identity, span: tuple[int, int]) -> WindowResult | None:
        """The result of a window that was finished earlier."""
        ...

    def keep_object(self, report: ObjectReport) -> None:
        """Remember a finished object."""
        ...

    def keep_window(
        self, path: Path, identity: Identity, span: tuple[int, int], result: WindowResult
    ) -> None:
        """Remember a finished window."""
        ...


class _NoState:
    """Remembers nothing."""

    def finished(self, path: Path) -> ObjectReport | None:
        """Nothing."""
        del path
        return None

    def window(self, path: Path, identity: Identity, span: tuple[int, int]) -> WindowResult | None:
        """Nothing."""
        del path, identity, span
        return None

    def keep_object(self, report: ObjectReport) -> None:
        """Forget it."""

    def keep_window(
        self, path: Path, identity: Identity, span: tuple[int, int], result: WindowResult
    ) -> None:
        """Forget it."""


def no_state() -> State:
    """A state that remembers nothing."""
    return _NoState()


class Journal:
    """A state in a file of JSON lines. Lines of another version, other settings or another identity are
    ignored.
    """

    def __init__(self, file: TextIO, lines: list[dict[str, Any]]) -> None:
        self._file = file
        self._objects: dict[str, dict[str, Any]] = {}
        self._windows: dict[str, dict[str, Any]] = {}
        for line in lines:
            if "object" in line:
                self._objects[line["object"]["path"]] = line
            elif "window" in line:
                self._windows[line["window"]] = line

    def finished(self, path: Path) -> ObjectReport | None:
        """The report of an unchanged file that was finished earlier."""
        line = self._objects.get(str(path))
        if line is None or line["identity"] != _stat(path):
            return None
        return _report(line["object"])

    def window(self, path: Path, identity: Identity, span: tuple[int, int]) -> WindowResult | None:
        """The result of a window that was finished earlier."""
        line = self._windows.get(_window_name(path, identity, span))
        if line is None:
            return None
        hits = tuple(Hit(**{**hit, "confidence": Confidence(hit["confidence"])}) for hit in line["hits"])
        return WindowResult(hits, tuple(Clue(**clue) for clue in line["clues"]))

    def keep_object(self, report: ObjectReport) -> None:
        """Remember a finished object."""
        if report.path != "-":
            self._write({"object": asdict(report), "identity": _stat(Path(report.path))})

    def keep_window(
        self, path: Path, identity: Identity, span: tuple[int, int], result: WindowResult
    ) -> None:
        """Remember a finished window."""
        hits, clues = [asdict(hit) for hit in result.hits], [asdict(clue) for clue in result.clues]
        self._write({"window": _window_name(path, identity, span), "hits": hits, "clues": clues})

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise Unavailable("state-unwritable", "the state file cannot be written", str(error)) from error


def require_ours(descriptor: int) -> None:
    """A file that is not empty must begin as a journal does: nothing is added to somebody's key or text.
    Closes the descriptor of one that does not, and raises Refused.
    """
    head = os.pread(descriptor, len(_HEAD), 0)
    if head and head != _HEAD:
        os.close(descriptor)
        raise Refused("state-foreign", "the state file is not the journal of a scan; it is left alone")


@contextlib.contextmanager
def journal(path: Path, settings: Settings) -> Iterator[State]:
    """The journal at `path`, made when absent. Raises Refused when it belongs to a scan with other
    settings.
    """
    head = {_MARK: 1, "settings": json.loads(json.dumps(asdict(settings)))}
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Misconfigured("state-unusable", "the state file is not a regular file")
        require_ours(descriptor)
        lines = list(_lines(path))
    except OSError as error:
        raise Misconfigured("state-unusable", f"the state file cannot be used: {error.strerror}") from error
    if lines and lines[0] != head:
        os.close(descriptor)
        raise Refused("state-of-another-scan", "the state file belongs to a scan with other settings")
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        if not lines:
            file.write(json.dumps(head) + "\n")
        yield Journal(file, lines[1:])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:  # the line that was being written when the scan was interrupted
                continue
            if isinstance(line, dict):
                yield line


def _stat(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:  # gone: its line will match nothing
        return []
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _window_name(path: Path, identity: Identity, span: tuple[int, int]) -> str:
    return json.dumps([str(path), asdict(identity), span])


def _report(fields: dict[str, Any]) -> ObjectReport:
    findings = tuple(
        Finding(**{**f, "confidence": Confidence(f["confidence"]), "container": tuple(f["container"])})
        for f in fields["findings"]
    )
    return ObjectReport(
        **{
            **fields,
            "findings": findings,
            "reasons": tuple(fields["reasons"]),
            "status": Status(fields["status"]),
        }
    )
