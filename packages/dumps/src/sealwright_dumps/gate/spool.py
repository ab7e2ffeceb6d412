"""The folders of a gate: quarantine, redacted, records, approvals, outside.

Quarantine belongs on memory (tmpfs), so that an unscanned byte never touches a disk. May never do: use a name
that came
from outside, follow a link, or take in a file that another name still points to.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from sealwright_dumps.errors import Misconfigured, Refused, Unavailable
from sealwright_dumps.gate.model import Approval, Origin, Record, State
from sealwright_dumps.redact.writer import output, publish

PIECE = 1 << 20
_NAME = 32  # hexadecimal digits
_FOLDERS = ("quarantine", "redacted", "records", "approvals", "manifests", "locks")
_MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")
Reader = Callable[[int], bytes]


class Spool:
    """One gate's folders below `root`, readable by the gate's user only."""

    def __init__(self, root: Path, *, on_disk: bool) -> None:
        self.root = root
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = root.stat()
        except OSError as error:
            raise Misconfigured("spool-absent", "the spool cannot be made", str(error)) from error
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise Misconfigured(
                "spool-open", f"the spool must belong to the gate's user alone: chmod 700 {root}"
            )
        if not on_disk and file_system_of(root) not in _MEMORY_FILE_SYSTEMS:
            raise Misconfigured(
                "spool-on-disk", "the spool is not on tmpfs and the policy does not allow a disk"
            )
        for name in _FOLDERS:
            (root / name).mkdir(mode=0o700, exist_ok=True)

    @contextlib.contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """One process at a time works on a dump; the others wait. A kill lets it go. Raises Refused for a
        name that is not one of ours.
        """
        self.get(name)
        with self._lock(name) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def taking(self) -> Iterator[None]:
        """Says to other processes that a dump is being taken in, which has no record yet."""
        with self._lock("intake") as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def nobody_taking(self) -> Iterator[bool]:
        """Whether no dump is being taken in now; if so, none will be as long as this lasts."""
        with self._lock("intake") as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self.root / "locks" / name, flags, 0o600)
        except OSError as error:
            raise Unavailable("spool-unwritable", "the spool cannot be written", str(error)) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def quarantined(self, name: str) -> Path:
        """Where a dump lies unscanned."""
        return self.root / "quarantine" / name

    def redacted(self, name: str) -> Path:
        """Where the proved copy lies."""
        return self.root / "redacted" / name

    def manifest(self, name: str) -> Path:
        """Where the proved copy's manifest lies."""
        return self.root / "manifests" / f"{name}.json"

    def take(self, read: Reader, largest: int) -> tuple[str, int, str]:
        """Take a stream in under a new name: the name, size and SHA-256. Raises Refused (too large) or
        Unavailable.
        """
        name = secrets.token_hex(16)
        digest, size = hashlib.sha256(), 0
        with output(self.root / "quarantine") as out:
            try:
                while piece := read(PIECE):
                    size += len(piece)
                    if size > largest:
                        raise Refused("too-large", "the dump is larger than the policy allows")
                    digest.update(piece)
                    _append(out.descriptor, piece)
            except OSError as error:
                raise Unavailable("intake-failed", "the dump could not be taken in", str(error)) from error
            if not size:
                raise Refused("scanned-nothing", "an empty dump")
            publish(out.descriptor, self.quarantined(name))
        return name, size, digest.hexdigest()

    def put(self, record: Record) -> None:
        """Make a record durable."""
        self._write(self.root / "records" / f"{record.name}.json", json.dumps(asdict(record)))

    def get(self, name: str) -> Record:
        """A record. Raises Refused for a name that is not one of ours."""
        require_name(name)
        try:
            fields = json.loads((self.root / "records" / f"{name}.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise Refused("unknown-dump", "no dump of that name") from error
        return Record(**{**fields, "state": State(fields["state"]), "origin": Origin(**fields["origin"])})

    def records(self) -> Iterator[Record]:
        """All records, oldest first."""
        names = sorted((self.root / "records").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return (self.get(path.stem) for path in names if len(path.stem) == _NAME)

    def in_quarantine(self) -> list[str]:
        """The names of everything that lies unscanned."""
        return sorted(path.name for path in (self.root / "quarantine").iterdir())

    def add_approval(self, name: str, approval: Approval) -> None:
        """Keep an approval; a person has one per dump."""
        folder = self.root / "approvals" / name
        folder.mkdir(mode=0o700, exist_ok=True)
        self._write(
            folder / f"{hashlib.sha256(approval.approver.encode()).hexdigest()}.json",
            json.dumps(asdict(approval)),
        )

    def approvals(self, name: str) -> list[Approval]:
        """The approvals of a dump."""
        folder = self.root / "approvals" / name
        if not folder.exists():
            return []
        return [
            Approval(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))
        ]

    def drop(self, name: str) -> None:
        """Take the unscanned dump away."""
        self.quarantined(name).unlink(missing_ok=True)

    def _write(self, path: Path, text: str) -> None:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise Unavailable("spool-unwritable", "the spool cannot be written", str(error)) from error


def require_name(name: str) -> None:
    """Raises Refused for a name that is not one of ours: a path, for example."""
    if len(name) != _NAME or set(name) - set("0123456789abcdef"):
        raise Refused("unknown-dump", "no dump of that name")


def _append(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def file_system_of(path: Path) -> str:
    """The type of the file system that holds `path`, from the kernel's own list."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split(" ")[2] == wanted:
            return rest.split(" ")[0]
    return "unknown"


def require_outside(folder: Path) -> None:
    """The outside folder must be writable by the gate's user alone. Raises Misconfigured."""
    try:
        status = folder.lstat()
    except OSError as error:
        raise Misconfigured("outside-absent", "the outside folder does not exist") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise Misconfigured("outside-open", "only the gate may be able to write to the outside folder")


def open_once(path: Path) -> int:
    """Open a regular file that no link leads to and that has one name. Raises Refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Refused("not-a-dump", "cannot be opened, or is a symbolic link", f"{path}: {error}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        raise Refused("not-a-dump", "not a regular file with a single name", str(path))
    return descriptor
