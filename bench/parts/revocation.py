"""Until when a revoked key's tokens are accepted, over many connected validators, each a process of its own.

The time runs from before the revocation is asked for, on one clock; what is measured is the start of the last
validation that still accepted.
"""

import base64
import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ours
from harness import load
from harness.model import Cell, Floor, Outcome, Part, Setting, Table, WrongAnswer

VALIDATORS = 50
PROGRAM = Path(__file__).resolve().parents[1] / "peers" / "watching_validator.py"
AIM = 1.0
PATIENCE = 60.0


class Admin(http.client.HTTPConnection):
    """HTTP over the admin socket; http.client offers no other way than a subclass."""

    def __init__(self, path: Path) -> None:
        super().__init__("admin", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def revoke(state: Path, kid: str) -> float:
    """Revoke a key; the time just before."""
    admin = Admin(state / "run" / "admin.sock")
    began = time.time()
    admin.request("POST", f"/admin/keys/{kid}/revoke", json.dumps({"reason": "key_compromise"}))
    answer = admin.getresponse()
    content = answer.read()
    admin.close()
    if answer.status != http.HTTPStatus.OK:
        raise WrongAnswer(f"the revocation was answered {answer.status} {content[:200]!r}")
    return began


Watcher = subprocess.Popen[str]


@contextlib.contextmanager
def validators(count: int, url: str, state: Path, realm: str) -> Iterator[list[Watcher]]:
    """So many validators, each in a process of its own; ended on leaving."""
    root = str(state / "trust" / "root.json")
    command = [sys.executable, str(PROGRAM), url, root, realm, ours.AUDIENCE]
    made = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        yield made
    finally:
        for process in made:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()


def tell(process: Watcher, line: str) -> None:
    """Give a validator its token."""
    if process.stdin is None:
        raise WrongAnswer("a validator has no input")
    process.stdin.write(line + "\n")
    process.stdin.flush()


def heard(process: Watcher) -> Any:
    """The next line of a validator."""
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise WrongAnswer(f"a validator ended with {process.poll()}")
    return json.loads(line)


def one_round(running: ours.Running, watchers: list[Watcher], state: Path) -> list[float]:
    """Seconds from the revocation to the last acceptance, of each validator."""
    target = running.targets["ES256"]
    token = load.call(target, "POST", target.path, target.body)["access_token"]
    for watcher in watchers:
        tell(watcher, token)
    for watcher in watchers:
        if heard(watcher) != "accepting":
            raise WrongAnswer("a validator did not accept a genuine token")
    kid = json.loads(header_of(token))["kid"]
    began = revoke(state, kid)
    return [max(0.0, heard(watcher)["last"] - began) for watcher in watchers]


def header_of(token: str) -> bytes:
    """The header of a token."""
    part = token.split(".", maxsplit=1)[0]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def run(setting: Setting) -> Outcome:
    """Revoke again and again, with every validator connected."""
    count, rounds = (3, 1) if setting.quick else (VALIDATORS, 8)
    taken: list[float] = []
    with ours.sealwright(setting.scratch) as running:
        target, state = running.targets["ES256"], setting.scratch / "state"
        realm, url = ours.REALMS["ES256"], f"http://127.0.0.1:{target.port}"
        with validators(count, url, state, realm) as watchers:
            for number in range(rounds):
                setting.say(f"round {number + 1} of {rounds}")
                taken += one_round(running, watchers, state)
                ours.wait_until_it_issues(target, setting.scratch / "sealwright.log")
    ordered = sorted(taken)
    p50, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99))
    row: tuple[Cell, ...] = (count, len(ordered), p50 * 1_000, p99 * 1_000, ordered[-1] * 1_000)
    columns = ("validators", "samples", "p50 ms", "p99 ms", "max ms")
    title = "From the revocation of a key to the last token of it that was accepted"
    floor = Floor(f"{AIM:.0f} s by the p99 of a revocation", 1.0, AIM / max(p99, 1e-6))
    note = "Each validator is a process of its own on the same cores, and validates a hundred times a second."
    return Outcome((Table(title, columns, (row,)),), (floor,), (note,))


PART = Part("revocation", "Revocation over connected validators", run)
