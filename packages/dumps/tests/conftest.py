"""Keys made at run time. No key is ever committed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sealwright_dumps.corpus.build import Site, make_site
from sealwright_dumps.corpus.keys import Keys, make_keys
from sealwright_dumps.drill import sandbox
from sealwright_dumps.drill.sandbox import Sandbox
from sealwright_dumps.errors import Unavailable
from sealwright_dumps.gate.coredump import Listener
from sealwright_dumps.gate.service import Gate
from sealwright_dumps.scanner import Settings


@pytest.fixture(scope="session")
def keys() -> Keys:
    return make_keys()


@pytest.fixture(scope="session")
def site() -> Site:
    return make_site()


@pytest.fixture(scope="session")
def knowing(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a scanner that was given the site's fingerprints and public keys."""
    fingerprints, public_keys = site.write_knowledge(tmp_path_factory.mktemp("knowledge"))
    return Settings(workers=1, fingerprints=(fingerprints,), public_keys=public_keys)


@pytest.fixture
def place() -> Iterator[Sandbox]:
    """A gate of its own. Not below tmp_path: the name of a socket is short."""
    root = Path(tempfile.mkdtemp())
    yield sandbox.make(root)
    shutil.rmtree(root)


@pytest.fixture
def core_lock() -> Iterator[None]:
    """core_pattern belongs to the whole machine: one test at a time may change it or rely on it."""
    with Path(tempfile.gettempdir(), "core_pattern.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def core_pattern(core_lock: None) -> Iterator[Path]:
    """The machine's core_pattern, put back afterwards."""
    del core_lock
    pattern = Path("/proc/sys/kernel/core_pattern")
    if os.geteuid() != 0 or not os.access(pattern, os.W_OK):
        pytest.skip("NOT ROOT: core_pattern cannot be changed")
    before = pattern.read_text(encoding="ascii")
    yield pattern
    pattern.write_text(before, encoding="ascii")


class Listening:
    """A gate that the kernel asks about every crash of this machine: ours have the process ids of `crash`."""

    def __init__(self, gate: Gate) -> None:
        self.path = gate.spool.root / "core.sock"
        self.refusals: list[str] = []
        self._listener = Listener(gate, self.path, self.refusals.append)
        self._server = threading.Thread(target=self._serve)
        self._server.start()

    def _serve(self) -> None:
        with contextlib.suppress(Unavailable):  # the end of the test
            while True:
                self._listener.serve_one()

    @staticmethod
    def crash() -> int:
        """Let a process die of a signal; its id."""
        code = "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()"
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        process.wait()
        return process.pid

    def settle(self) -> None:
        """Wait until everything that came is processed."""
        self._listener.settle()

    def close(self) -> None:
        """Take no more."""
        self._listener.close()
        self._server.join()


@pytest.fixture
def listening(core_pattern: Path) -> Iterator[Callable[[Gate], Listening]]:
    """Point the kernel to a gate."""
    made: list[Listening] = []

    def listen(gate: Gate) -> Listening:
        made.append(Listening(gate))
        try:
            core_pattern.write_text(f"@@{made[-1].path}", encoding="ascii")
        except OSError:
            pytest.skip("THIS KERNEL ASKS NO SOCKET for a core (it came with 6.17)")
        return made[-1]

    yield listen
    for one in made:
        one.close()
