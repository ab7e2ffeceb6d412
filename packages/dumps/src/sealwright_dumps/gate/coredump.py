"""The kernel's coredump socket: it asks before it writes a byte, and the gate may refuse.

Source: Linux include/uapi/linux/coredump.h and fs/coredump.c (6.17 and newer), core_pattern=@@/path. The
kernel sends a
request, reads the answer, sends a mark, then the core. May never do: keep a crashed process waiting without a
bound, or
believe a program about itself: who crashed comes from the kernel's pidfd.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import secrets
import socket
import struct
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sealwright_dumps.errors import DumpsError, Misconfigured, Refused, Unavailable
from sealwright_dumps.gate.model import Origin, Record
from sealwright_dumps.gate.service import Gate

SO_PEERPIDFD = 77
KERNEL, USERSPACE, REJECT, WAIT = 1, 2, 4, 8
_REQUEST = struct.Struct("<IIQ")
_MARK = struct.Struct("=I")
_MARK_ACCEPTED = 0
_LARGEST_REQUEST = 4096
SECONDS = 60.0  # longest silence of the kernel while it writes a core
MOST_AT_ONCE = 8
TIDY_SECONDS = 60.0  # between looks at refused dumps whose time may be over


def peer(connection: socket.socket) -> Origin:
    """Who crashed, from the kernel. Raises Refused when the peer is not a crashed process."""
    try:
        descriptor = connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError as error:
        raise Refused("no-pidfd", "the peer cannot be identified", str(error)) from error
    try:
        info = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
        pid = int(next(line.split()[1] for line in info.splitlines() if line.startswith("Pid:")))
        if pid <= 0:
            raise Refused("no-pidfd", "the peer is gone")
        program = str(Path(f"/proc/{pid}/exe").readlink())
        uid = Path(f"/proc/{pid}").stat().st_uid
    except (OSError, StopIteration, ValueError) as error:
        raise Refused("no-pidfd", "the peer cannot be identified", str(error)) from error
    finally:
        os.close(descriptor)
    return Origin("socket", program, uid, pid)


def read_request(connection: socket.socket) -> tuple[int, int]:
    """The kernel's request: (largest answer, features). Raises Refused for anything else."""
    raw = _exactly(connection, _REQUEST.size)
    size, size_ack, mask = _REQUEST.unpack(raw)
    if not _REQUEST.size <= size <= _LARGEST_REQUEST or size_ack < _REQUEST.size:
        raise Refused("bad-request", "not a coredump request")
    _exactly(connection, size - _REQUEST.size)
    return size_ack, mask


def answer(connection: socket.socket, mask: int) -> None:
    """Answer a request; the answer is of the first version's size."""
    connection.sendall(_REQUEST.pack(_REQUEST.size, 0, mask))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise Refused("bad-request", "the peer went away")
        data += piece
    return data


def receive(gate: Gate, connection: socket.socket) -> Record:
    """Take one crash in, or refuse it before a byte of it is written. Raises Refused or Unavailable."""
    connection.settimeout(SECONDS)
    with gate.door(Origin("socket")):
        origin = peer(connection)
    with gate.door(origin):
        try:
            _agree(gate, connection, origin)
        except OSError as error:
            raise Refused("cut-off", "the kernel went away", str(error)) from error
    return gate.take_in(connection.recv, origin)


def _agree(gate: Gate, connection: socket.socket, origin: Origin) -> None:
    _, features = read_request(connection)
    wanted = KERNEL | WAIT
    try:
        gate.class_for(origin)
        if features & wanted != wanted:
            raise Refused("bad-request", "the kernel does not offer to write a core")
    except DumpsError:
        answer(connection, REJECT | WAIT)
        raise
    answer(connection, wanted)
    if _exactly(connection, _MARK.size) != _MARK.pack(_MARK_ACCEPTED):
        raise Refused("bad-request", "the kernel did not accept the answer")


class Place:
    """The name of the socket, which one gate at a time has. What is no socket is never taken away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._lock = os.open(path.with_name(f"{path.name}.lock"), flags, 0o600)
        except OSError as error:
            raise _unusable(error) from error
        try:
            self._require_free()
        except BaseException:
            self.leave()
            raise

    def _require_free(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(self._lock, 20, 0).decode("ascii", "replace").strip()
            raise Misconfigured(
                "already-served", f"the gate with process id {pid or 'unknown'} serves this socket"
            ) from error
        os.truncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        if self._path.is_symlink() or (self._path.exists() and not self._path.is_socket()):
            raise Misconfigured("socket-taken", f"{self._path} exists and is no socket; it is left as it is")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as other:
            if other.connect_ex(str(self._path)) == 0:
                raise Misconfigured("already-served", "another program serves this socket")

    def listen(self) -> socket.socket:
        """A listening socket under the name. Raises Misconfigured."""
        made = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            listening.bind(str(made))
            made.chmod(0o600)
            listening.listen(64)
            made.replace(self._path)  # whoever sees the name can connect
        except OSError as error:
            listening.close()
            self.leave()
            raise _unusable(error) from error
        return listening

    def leave(self) -> None:
        """Let another gate have the name."""
        os.close(self._lock)


def _unusable(error: OSError) -> Misconfigured:
    return Misconfigured("socket-unusable", f"the coredump socket cannot be made: {error}")


class Listener:
    """Serves a coredump socket: receives at most eight crashes at once, processes them one after the
    other. `say` is told why a crash was not taken in or not processed.
    """

    def __init__(self, gate: Gate, path: Path, say: Callable[[str], None]) -> None:
        self._gate = gate
        self._say = say
        self._slots = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._queue: queue.Queue[str] = queue.Queue()
        self._place = Place(path)
        self._socket = self._place.listen()
        for name in gate.recover():
            self._queue.put(name)
        self._worker = threading.Thread(target=self._process, daemon=True)
        self._worker.start()

    def serve_one(self) -> None:
        """Wait for one crash and hand it to a thread of its own. Raises Unavailable when nothing is processed
        any more.
        """
        try:
            connection, _ = self._socket.accept()
        except OSError as error:
            raise Unavailable("gate-ended", "the gate takes no more crashes", str(error)) from error
        self._slots.acquire()
        threading.Thread(target=self._receive, args=(connection,), daemon=True).start()

    def _receive(self, connection: socket.socket) -> None:
        try:
            self._queue.put(receive(self._gate, connection).name)
        except (DumpsError, OSError) as error:
            self._say(str(error))
        finally:
            connection.close()
            self._slots.release()

    def _process(self) -> None:
        try:
            while True:
                try:
                    name = self._queue.get(timeout=TIDY_SECONDS)
                except queue.Empty:
                    self._try(self._gate.tidy)
                    continue
                try:
                    self._try(partial(self._gate.process, name))
                finally:
                    self._queue.task_done()
        finally:  # a fault of ours: a gate that processes nothing has to end and be started again
            self._hang_up()

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except DumpsError as error:  # the ledger or the spool failed: the dump stays in quarantine
            self._say(str(error))

    def settle(self) -> None:
        """Wait until everything that was received is processed."""
        for _ in range(MOST_AT_ONCE):
            self._slots.acquire()
        for _ in range(MOST_AT_ONCE):
            self._slots.release()
        self._queue.join()

    def close(self) -> None:
        """Take no more crashes; whoever waits for one is told."""
        self._hang_up()
        self._socket.close()
        self._place.leave()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):  # closed already
            self._socket.shutdown(socket.SHUT_RDWR)
