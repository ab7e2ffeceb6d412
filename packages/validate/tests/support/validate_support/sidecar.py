"""A sidecar as a process of its own, an application behind a proxy, and how to ask either."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from sealwright_validate.clock import SYSTEM_CLOCK
from sealwright_validate.conformance.authority import Issued, ThrowawayAuthority
from sealwright_validate.conformance.server import LoopbackServer, Served

TRIES = 5
CONFIG = """
listen = "127.0.0.1:0"
[trust]
sealwright = "{url}"
root = "{root}"
push = false
[policy.mail]
audience = "https://mail.example"
realm = "enterprise"
scopes = "mail.read"
origin = "https://mail.example"
certificate_header = "X-Client-Cert"
"""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def get(port: int, path: str, *headers: tuple[str, str], method: str = "GET") -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    answer = Answer(
        response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    )
    connection.close()
    return answer


@dataclass
class Sidecar:
    port: int
    authority: ThrowawayAuthority
    key: Issued
    served: Served

    def token(self, **changed: Any) -> tuple[str, str]:
        return ("Authorization", f"Bearer {self.authority.token(self.key, **changed)}")


@contextmanager
def running_sidecar(folder: Path) -> Iterator[Sidecar]:
    with LoopbackServer(Served()) as server:
        authority = ThrowawayAuthority(SYSTEM_CLOCK.wall(), server.url)
        key = authority.make_key()
        server.served.roots, server.served.manifest = authority.roots, authority.served(life=600)
        (folder / "root.json").write_bytes(authority.roots[0])
        config = folder / "sidecar.toml"
        config.write_text(CONFIG.format(url=server.url, root=folder / "root.json"))
        command = [sys.executable, "-m", "sealwright_validate", "serve", str(config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert "listens on" in line, running.communicate(timeout=60)
            port = int(line.split("127.0.0.1:")[1].split()[0])
            yield Sidecar(port, authority, key, server.served)
            running.terminate()
            running.communicate(timeout=60)
            assert running.returncode == 0


class Application(BaseHTTPRequestHandler):
    """What a proxy guards: answers with the headers that it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps(dict(self.headers.items())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def application() -> Iterator[int]:
    """The port of an application that answers everybody."""
    app = ThreadingHTTPServer(("127.0.0.1", 0), Application)
    app.daemon_threads = True
    Thread(target=app.serve_forever, args=(0.05,), daemon=True).start()
    yield int(app.server_address[1])
    app.shutdown()
    app.server_close()


@contextmanager
def running_proxy(command_on: Callable[[int], list[str]]) -> Iterator[int]:
    """The port of a proxy that listens. A port that something else took meanwhile is given up for another."""
    for _ in range(TRIES):
        port = free_port()
        with subprocess.Popen(command_on(port), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
            if _listens(running, port):
                yield port
                running.terminate()
                running.communicate(timeout=60)
                return
            running.kill()
            last_words = running.communicate(timeout=60)[1]
    pytest.fail(f"the proxy did not come up: {last_words.decode(errors='replace')[-2000:]}")


def _listens(running: "subprocess.Popen[bytes]", port: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and running.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.02)
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
