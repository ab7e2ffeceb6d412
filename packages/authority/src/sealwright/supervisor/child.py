"""A child process that serves HTTP: started in a session of its own, probed, ended by its handle.

May never signal a process that it did not start, nor pass on this process's environment.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from sealwright.errors import Misconfigured, Unavailable
from sealwright.supervisor.model import Address, Program

GRACE = 10.0
"""Seconds that a child is given to end after SIGTERM."""
STOP_TICK = 0.02
PROBE_LIMIT = 1.0
BACKLOG = 1_024
"""Connections that wait while the child behind a held socket is replaced."""
LAST_LINES = 5
LOG_LIMIT = 64 << 20
"""Bytes after which a log is moved to `<name>.1` at the next start."""


def require_free(name: str, address: Address) -> None:
    """Refuse an address that somebody else listens on.

    Raises:
        Misconfigured: `port_in_use` or `cannot_listen`, with the setting to change.
    """
    change = f"change {address.setting} or set {address.variable} to another port"
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                text = f"{name} cannot use {address}: another program listens there; {change}"
                raise Misconfigured("port_in_use", text) from error
            text = f"{name} cannot use {address}: {error.strerror or error}; {change}"
            raise Misconfigured("cannot_listen", text) from error


def listen(address: Address) -> socket.socket:
    """A listening socket that is handed to one child after another and never read here."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address.host, address.port))
    listener.listen(BACKLOG)
    return listener


def open_log(file: Path) -> int:
    """A descriptor that appends to a log file only its owner can read; a very long log is moved aside
    first.
    """
    with contextlib.suppress(FileNotFoundError):
        if file.stat().st_size > LOG_LIMIT:
            file.replace(file.with_name(file.name + ".1"))
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def describe_exit(status: int) -> str:
    """An exit status for people: "exit status 2", "killed by SIGKILL"."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def tail(file: Path, lines: int = LAST_LINES) -> str:
    """The last lines of a log, empty when there is none."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - (8 << 10)))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


class HttpChild:
    """`Part` that runs one of our own programs.

    Args:
        program: what to run, where it logs and listens.
        environment: the child's whole environment.
    """

    def __init__(self, program: Program, environment: Mapping[str, str]) -> None:
        self._program = program
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: socket.socket | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return self._program.name

    @property
    def pid(self) -> int | None:
        """Its process while there is one."""
        return self._process.pid if self._process else None

    def prepare(self) -> None:
        """Require that its address is free; take it, where the listener outlives the child."""
        require_free(self.name, self._program.address)
        if self._program.held:
            self._listener = listen(self._program.address)

    def start(self) -> None:
        """Start it, unless somebody else listens on its address."""
        given: tuple[int, ...] = ()
        if self._listener is None:
            require_free(self.name, self._program.address)
        else:
            given = (self._listener.fileno(),)
        descriptor = open_log(self._program.log)
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-m",
                    "sealwright",
                    *self._program.arguments,
                    "--parent",
                    str(os.getpid()),
                    *(f"--listen-fd={number}" for number in given),
                ],
                pass_fds=given,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable("cannot_start", f"{self.name} cannot be started: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def ready(self) -> bool:
        """Whether its ready path answers 200."""
        address = self._program.address
        connection = http.client.HTTPConnection(address.host, address.port, timeout=PROBE_LIMIT)
        try:
            connection.request("GET", self._program.ready_path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ended(self) -> str | None:
        """How it ended; None while it runs."""
        if self._process is None:
            return None
        # Looked at without reaping: until `bury` has ended the session its id must not go to anybody else.
        try:
            found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:  # reaped already: Popen looks before it sends a signal
            return describe_exit(self._process.wait())
        if found is None:
            return None
        return describe_exit(found.si_status if found.si_code == os.CLD_EXITED else -found.si_status)

    def tend(self) -> None:
        """Nothing is needed."""

    def bury(self) -> None:
        """End what is left of its session (a worker must not keep the port), then reap it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM, after a grace SIGKILL to its session."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        until = time.monotonic() + GRACE
        while self.ended() is None and time.monotonic() < until:
            time.sleep(STOP_TICK)
        self.bury()

    def last_words(self) -> str:
        """The end of its log."""
        return tail(self._program.log)
