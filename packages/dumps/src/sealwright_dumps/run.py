"""Runs a scan over many paths, in several processes, and can take up where it was interrupted.

May never do: lose an object silently. Whatever cannot be opened, read or understood is in the report with a
reason.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sealwright_dumps import clock, workers
from sealwright_dumps.access import FileAccess, StreamAccess
from sealwright_dumps.errors import DumpsError, Refused
from sealwright_dumps.examine import Examiner, layout_of
from sealwright_dumps.formats import zstd
from sealwright_dumps.formats.archive import PIECE
from sealwright_dumps.model import ObjectReport, ScanReport, Status
from sealwright_dumps.resume import State, no_state
from sealwright_dumps.scanner import Scanner, Settings, WindowResult
from sealwright_dumps.source import FileSource, Identity, spans, window_at
from sealwright_dumps.walk import Entry, entries, ignore

BATCH_BYTES = 16 << 20
BATCH_FILES = 64
SPLIT_FROM = 64 << 20  # files from this size on are cut into windows for the workers
WORKER_LOST = "worker-lost: a scanning process was killed"
Progress = Callable[[int], None]
Batch = tuple[list[tuple[str, bool]], Future[list[ObjectReport]]]


@dataclass(slots=True)
class _Local:
    """What each worker process keeps."""

    examiner: Examiner | None = None
    sources: dict[str, FileSource] = field(default_factory=dict)


_local = _Local()


def _prepare(settings: Settings) -> None:
    _local.examiner = Examiner(Scanner(settings))


def _examiner() -> Examiner:
    if _local.examiner is None:
        raise Refused("worker-unprepared", "a worker has no scanner")
    return _local.examiner


def _scan_batch(paths: list[tuple[str, bool]]) -> list[ObjectReport]:
    return [scan_file(_examiner(), Path(path), follow=named) for path, named in paths]


def _scan_span(
    path: str, identity: Identity, span: tuple[int, int], shifts: tuple[int, ...], *, follow: bool
) -> WindowResult:
    source = _local.sources.get(path)
    if source is None:
        for other in _local.sources.values():
            other.close()
        _local.sources.clear()
        source = _local.sources[path] = FileSource(Path(path), follow=follow)
    if source.identity != identity:
        raise Refused("changed-while-read", "the file changed while it was read", path)
    return _examiner().scanner.window(window_at(source, *span), shifts)


def scan_file(examiner: Examiner, path: Path, *, follow: bool = False) -> ObjectReport:
    """The report of one file, made in this process. Never raises for what is on the disk."""
    try:
        source = FileSource(path, follow=follow)
    except DumpsError as error:
        return _not_scannable(path, 0, f"{error.code}: {error.public}")
    try:
        return examiner.file(FileAccess(source, examiner.scanner.settings.window))
    except DumpsError as error:
        return _not_scannable(path, source.size, f"{error.code}: {error.public}")
    finally:
        source.close()


def _not_scannable(path: Path, size: int, reason: str) -> ObjectReport:
    return ObjectReport(str(path), "unknown", size, 0, size, Status.NOT_SCANNABLE, (), (reason,))


class Run:
    """One scan over many paths."""

    def __init__(
        self,
        settings: Settings,
        progress: Progress | None = None,
        state: State | None = None,
        scanner: Scanner | None = None,
    ) -> None:
        self._settings = settings
        self._progress = progress or (lambda _count: None)
        self._state = state or no_state()
        self._examiner = Examiner(scanner or Scanner(settings))
        self._workers = settings.workers or len(os.sched_getaffinity(0))
        self._pool: ProcessPoolExecutor | None = None

    def scan(
        self,
        paths: Sequence[str],
        skip: frozenset[str] = frozenset(),
        left_out: Callable[[Path], None] = ignore,
    ) -> ScanReport:
        """Scan everything under `paths`; `-` is standard input. `left_out` is told of folders in `skip`."""
        began = clock.monotonic()
        reports: list[ObjectReport] = []
        files = [path for path in paths if path != "-"]
        if "-" in paths:
            reports.append(self._standard_input())
        with contextlib.ExitStack() as stack:
            stack.push(self._stop)
            for report in self._objects(entries(files, skip=skip, left_out=left_out)):
                reports.append(report)
                self._state.keep_object(report)
        skipped = () if zstd.present() else ("zstd streams (extra `fast` not installed)",)
        engine = self._examiner.scanner.engine
        return ScanReport(engine, tuple(reports), clock.monotonic() - began, skipped)

    def _standard_input(self) -> ObjectReport:
        def pieces() -> Iterator[bytes]:
            while piece := sys.stdin.buffer.read(PIECE):
                self._progress(len(piece))
                yield piece

        return self._examiner.stream("-", StreamAccess(pieces, self._settings.window, once=True))

    def _stop(self, reason: type[BaseException] | None, *_rest: object) -> None:
        if self._pool is not None:
            workers.stop(self._pool, reason)

    def _executor(self) -> ProcessPoolExecutor | None:
        if self._workers > 1 and self._pool is None:
            self._pool = workers.pool(self._workers, partial(_prepare, self._settings))
        return self._pool

    def _objects(self, found: Iterable[Entry]) -> Iterator[ObjectReport]:
        """Big files one after the other over all workers, small ones in batches."""
        pending: deque[Batch] = deque()
        for batch in _batches(found):
            first = batch[0]
            if first.reason:
                yield _not_scannable(first.path, 0, first.reason)
            elif known := self._state.finished(first.path) if len(batch) == 1 else None:
                self._progress(known.size)
                yield known
            elif len(batch) == 1 and (first.size >= SPLIT_FROM or (first.size == 0 and first.named)):
                yield self._big(first)
            else:
                yield from self._submit(batch, pending)
        while pending:
            yield from self._told(pending.popleft())

    def _submit(self, batch: list[Entry], pending: deque[Batch]) -> Iterator[ObjectReport]:
        left = [(str(entry.path), entry.named) for entry in batch if self._state.finished(entry.path) is None]
        yield from (known for entry in batch if (known := self._state.finished(entry.path)) is not None)
        pool = self._executor()
        if pool is None:
            for path, named in left:
                yield self._counted(scan_file(self._examiner, Path(path), follow=named))
            return
        try:
            pending.append((left, pool.submit(_scan_batch, left)))
        except BrokenProcessPool:  # by a batch before this one, whose loss is told when its turn comes
            yield from self._lost(left)
        if len(pending) > 2 * self._workers:
            yield from self._told(pending.popleft())

    def _told(self, batch: Batch) -> Iterator[ObjectReport]:
        names, future = batch
        try:
            reports = future.result()
        except BrokenProcessPool:
            return self._lost(names)
        return (self._counted(report) for report in reports)

    def _lost(self, names: list[tuple[str, bool]]) -> Iterator[ObjectReport]:
        """What a worker had in hand that was killed, by the memory limit for example."""
        self._pool = None
        return (_not_scannable(Path(name), 0, WORKER_LOST) for name, _ in names)

    def _counted(self, report: ObjectReport) -> ObjectReport:
        self._progress(report.size)
        return report

    def _big(self, entry: Entry) -> ObjectReport:
        try:
            source = FileSource(entry.path, follow=entry.named)
        except DumpsError as error:
            return _not_scannable(entry.path, entry.size, f"{error.code}: {error.public}")
        try:
            access = FileAccess(source, self._settings.window)
            layout = layout_of(access)
            results = self._windows(access, entry, layout.shifts())
            return self._examiner.finish(access, layout, results)
        except DumpsError as error:
            return _not_scannable(entry.path, source.size, f"{error.code}: {error.public}")
        except BrokenProcessPool:  # a worker was killed, by the memory limit for example
            self._pool = None
            return _not_scannable(entry.path, source.size, WORKER_LOST)
        finally:
            source.close()

    def _windows(self, access: FileAccess, entry: Entry, shifts: tuple[int, ...]) -> list[WindowResult]:
        results: list[WindowResult] = []
        pool = self._executor()
        pending: deque[tuple[tuple[int, int], Future[WindowResult]]] = deque()
        source = access.source

        def take() -> None:
            span, future = pending.popleft()
            results.append(future.result())
            self._state.keep_window(entry.path, source.identity, span, results[-1])
            self._progress(span[1] - span[0])

        for span in spans(access.extents, self._settings.window):
            known = self._state.window(entry.path, source.identity, span)
            if known is not None:
                results.append(known)
                self._progress(span[1] - span[0])
            elif pool is None:
                results.append(self._examiner.scanner.window(window_at(source, *span), shifts))
                self._state.keep_window(entry.path, source.identity, span, results[-1])
                self._progress(span[1] - span[0])
            else:
                path = str(entry.path)
                future = pool.submit(_scan_span, path, source.identity, span, shifts, follow=entry.named)
                pending.append((span, future))
                if len(pending) > 3 * self._workers:
                    take()
        while pending:
            take()
        return results


def _batches(found: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    total = 0
    for entry in found:
        if entry.reason or entry.size >= SPLIT_FROM or (entry.size == 0 and entry.named):
            if batch:
                yield batch
            yield [entry]
            batch, total = [], 0
            continue
        batch.append(entry)
        total += entry.size
        if total >= BATCH_BYTES or len(batch) >= BATCH_FILES:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
