"""Examines one object: its layout, all its windows, what it contains, and what only shows when it is
complete.

May never do: raise on what the object holds. Hostile content becomes a reason and a status, and what was read
is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from sealwright_dumps.access import Access, FileAccess, SeekableFile, StreamAccess
from sealwright_dumps.detectors.deep import Deep
from sealwright_dumps.detectors.memory import Clue
from sealwright_dumps.detectors.registers import View, is_registers, views
from sealwright_dumps.errors import DumpsError, Malformed
from sealwright_dumps.formats import archive, elf_core, minidump
from sealwright_dumps.formats.archive import Budget, Member
from sealwright_dumps.inspect import merge
from sealwright_dumps.layout import Format, Layout
from sealwright_dumps.model import Finding, Hit, ObjectReport, Status
from sealwright_dumps.scanner import Scanner, WindowResult

HEAD = 4096
SEAM = 24 << 10
MOST_SEAMS = 4096
MOST_THREADS = 8192
_TEXT = bytes(range(32, 127)) + b"\t\r\n"


@dataclass(slots=True)
class Account:
    """What is known so far about one object and its members."""

    read: int = 0
    skipped: int = 0
    sparse: int = 0
    findings: list[Finding] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def layout_of(access: Access) -> Layout:
    """What the object is and where its bytes stood in memory. A hostile header becomes a reason."""
    head = access.head(HEAD)
    if not head:
        return Layout(Format.EMPTY)
    kind = archive.identify(head)
    if kind is not None:
        return Layout(kind)
    try:
        if elf_core.is_elf(head):
            return elf_core.layout(access.read, access.size)
        if head.startswith(minidump.MAGIC):
            return minidump.layout(access.read, access.size)
    except Malformed as error:
        return Layout(Format.RAW, reasons=[f"malformed: {error.public}"])
    text = len(head.translate(None, _TEXT)) < len(head) // 50
    return Layout(Format.TEXT if text else Format.RAW)


def to_findings(hits: Iterable[Hit], layout: Layout, container: tuple[str, ...]) -> list[Finding]:
    """Hits with the name of the segment that each lies in."""
    return [
        Finding(
            hit.detector,
            hit.kind,
            hit.form,
            hit.algorithm,
            hit.confidence,
            hit.start,
            hit.end - hit.start,
            hit.key_id,
            layout.name_at(hit.start),
            container,
        )
        for hit in hits
    ]


class Examiner:
    """Examines objects with one scanner."""

    def __init__(self, scanner: Scanner) -> None:
        self.scanner = scanner

    def file(self, access: FileAccess) -> ObjectReport:
        """The report of one file, read here from start to end."""
        layout = layout_of(access)
        compressed = _is_compressed(layout)
        shifts = layout.shifts()
        results = [self.scanner.window(w, shifts, compressed=compressed) for w in access.windows()]
        return self.finish(access, layout, results)

    def finish(self, access: FileAccess, layout: Layout, results: Iterable[WindowResult]) -> ObjectReport:
        """The report of a file whose windows were scanned (here or by workers). Reads members and follows
        clues.
        """
        account = Account(sum(end - start for start, end in access.extents), reasons=list(layout.reasons))
        account.sparse = access.size - account.read
        results = list(results)
        account.reasons += _overflow(results)
        hits, clues = _collect(results)
        self._conclude(access, layout, hits, clues, account, ())
        self._members(access, layout, account, (), Budget(self.scanner.settings.expansion(access.size)), 0)
        try:
            access.source.require_unchanged()
        except DumpsError as error:
            account.reasons.append(f"{error.code}: {error.public}")
        return report_of(str(access.source.path), layout, access.size, account)

    def stream(self, name: str, access: StreamAccess) -> ObjectReport:
        """The report of something that comes as a stream, such as standard input."""
        account = Account()
        layout = self._stream(access, account, (), Budget(self.scanner.settings.expansion(0)), 0)
        return report_of(name, layout, access.total, account)

    def _stream(
        self, access: StreamAccess, account: Account, container: tuple[str, ...], budget: Budget, depth: int
    ) -> Layout:
        layout = layout_of(access)
        account.reasons.extend(_within(container, reason) for reason in layout.reasons)
        compressed = _is_compressed(layout) and not access.once
        shifts = layout.shifts()
        results = [self.scanner.window(w, shifts, compressed=compressed) for w in access.windows()]
        account.read += access.total
        account.reasons += (_within(container, reason) for reason in _overflow(results))
        hits, clues = _collect(results)
        self._conclude(access, layout, hits, clues, account, container)
        self._members(access, layout, account, container, budget, depth)
        return layout

    def _conclude(
        self,
        access: Access,
        layout: Layout,
        hits: list[Hit],
        clues: list[Clue],
        account: Account,
        container: tuple[str, ...],
    ) -> None:
        """What only the complete object shows, then the findings."""
        views = self._views(access, layout, account)
        for view in views:
            hits += _in_view(self.scanner.inspector(compressed=True).inspect(view.data), view)
        hits += self._seams(access, layout)
        second = Deep(access, layout, self.scanner.known, self.scanner.engine)
        hits += second.hits(clues, views)
        account.reasons += (_within(container, reason) for reason in second.reasons)
        account.findings.extend(to_findings(merge(hits), layout, container))

    def _views(self, access: Access, layout: Layout, account: Account) -> list[View]:
        """The registers of each thread, put together."""
        notes = [segment for segment in layout.segments if is_registers(segment)][:MOST_THREADS]
        raw = access.fetch((note.offset, note.size) for note in notes)
        missing = [note for note in notes if len(raw.get((note.offset, note.size), b"")) != note.size]
        if missing:
            account.reasons.append("registers: notes could not be read")
        return [view for note in notes for view in views(note, raw.get((note.offset, note.size), b""))]

    def _seams(self, access: Access, layout: Layout) -> list[Hit]:
        """What lies over the seam of two segments that are neighbours in memory but not in the file."""
        found: list[Hit] = []
        for left, right in layout.seams()[:MOST_SEAMS]:
            before, after = min(SEAM, left.size), min(SEAM, right.size)
            first = (left.offset + left.size - before, before)
            second = (right.offset, after)
            parts = access.fetch([first, second])
            data = parts.get(first, b"") + parts.get(second, b"")
            for hit in self.scanner.inspector(compressed=True).inspect(data):
                if hit.start < before < hit.end:
                    start = hit.start + first[0]
                    form = f"{hit.form}/split"
                    found.append(replace(hit, form=form, start=start, end=first[0] + before))
                    found.append(
                        replace(hit, form=form, start=right.offset, end=right.offset + hit.end - before)
                    )
        return found

    def _members(
        self,
        access: Access,
        layout: Layout,
        account: Account,
        container: tuple[str, ...],
        budget: Budget,
        depth: int,
    ) -> None:
        """Scan what an archive or compressed stream holds. What cannot be opened is a reason."""
        if layout.format is Format.UNKNOWN_ARCHIVE:
            account.reasons.append(
                _within(container, "unsupported: an archive format that cannot be opened here")
            )
            account.skipped += _extent(access)
            return
        if not _is_compressed(layout):
            return
        if isinstance(access, StreamAccess) and access.once:
            account.reasons.append(
                "not-expanded: a compressed stream on a pipe is opened only as far as a window"
            )
            return
        if depth >= self.scanner.settings.deepest:
            account.reasons.append(_within(container, "depth-limit: nested deeper than the limit"))
            account.skipped += _extent(access)
            return
        try:
            for member in _open(access, layout.format, budget):
                if not self._member(member, account, (*container, member.name), budget, depth):
                    account.skipped += _extent(access)
        except DumpsError as error:
            account.reasons.append(_within(container, f"{error.code}: {error.public}"))
            account.skipped += _extent(access)

    def _member(
        self, member: Member, account: Account, container: tuple[str, ...], budget: Budget, depth: int
    ) -> bool:
        """Whether it could be read to its end."""
        inner = StreamAccess(member.factory, self.scanner.settings.window)
        try:
            self._stream(inner, account, container, budget, depth + 1)
        except Malformed as error:  # this member only: the next one may be sound
            account.reasons.append(_within(container, f"{error.code}: {error.public}"))
            return False
        return True


def _collect(results: Iterable[WindowResult]) -> tuple[list[Hit], list[Clue]]:
    hits: list[Hit] = []
    clues: list[Clue] = []
    for result in results:
        hits.extend(result.hits)
        clues.extend(result.clues)
    return hits, clues


def _overflow(results: Iterable[WindowResult]) -> list[str]:
    many = any(result.overflow for result in results)
    return ["clue-limit: more possible keys in one window than are followed"] if many else []


def _in_view(hits: Iterable[Hit], view: View) -> list[Hit]:
    return [
        replace(hit, form=f"{hit.form}/registers", start=view.offset, end=view.offset + view.length)
        for hit in hits
    ]


def _is_compressed(layout: Layout) -> bool:
    return layout.format in archive.COMPRESSED or layout.format in (Format.ZIP, Format.TAR)


def _open(access: Access, kind: Format, budget: Budget) -> Iterator[Member]:
    factory = access.factory()
    if kind in archive.COMPRESSED:
        yield Member(f"{kind}:", archive.expand(factory, kind, budget))
    elif kind is Format.TAR:
        yield from archive.tar_members(factory)
    elif isinstance(access, FileAccess):
        yield from archive.zip_members(SeekableFile(access.source), budget)
    else:
        yield from archive.zip_members(archive.small_file(factory), budget)


def _extent(access: Access) -> int:
    """The bytes of something whose content was not, or not wholly, looked into."""
    return access.total if isinstance(access, StreamAccess) else access.size


def _within(container: tuple[str, ...], reason: str) -> str:
    return f"{'/'.join(container)}: {reason}" if container else reason


def _told_once(findings: list[Finding]) -> list[Finding]:
    """Without the findings in an archive's own bytes that a stored member of it repeats."""
    deeper = {
        (finding.container[:depth], finding.kind, finding.length, finding.key_id)
        for finding in findings
        for depth in range(len(finding.container))
    }
    return [f for f in findings if (f.container, f.kind, f.length, f.key_id) not in deeper]


def report_of(path: str, layout: Layout, size: int, account: Account) -> ObjectReport:
    """The report; any reason makes it partial, and a file of which nothing was read is not scannable."""
    status = Status.SCANNED
    if account.reasons:
        status = Status.PARTIAL if account.read else Status.NOT_SCANNABLE
    return ObjectReport(
        path,
        layout.format.value,
        size,
        account.read,
        account.skipped,
        status,
        tuple(sorted(_told_once(account.findings), key=lambda f: (f.container, f.offset, f.kind))),
        tuple(dict.fromkeys(account.reasons)),
        account.sparse,
    )
