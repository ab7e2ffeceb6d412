"""Serves a throw-away authority over real HTTP on loopback: manifest, pushes, roots, ledger check,
observations.

May never listen on anything but 127.0.0.1.
"""

import json
from base64 import b64decode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from threading import Lock, Thread
from typing import Any, ClassVar, Final, Self

_MAX_BODY: Final = 1024 * 1024
_HEARTBEAT: Final = 1.0  # seconds
Answer = tuple[int, bytes]


class Served:
    """What the server hands out. Everything may be replaced while it runs."""

    def __init__(self) -> None:
        self.manifest: bytes | None = None
        self.roots: list[bytes] = []
        self.documents: dict[str, bytes] = {}
        self.credentials: tuple[str, str] | None = None
        self.observations: list[dict[str, Any]] = []
        self.validators: list[dict[str, Any]] = []
        self.check: Callable[[dict[str, Any]], Answer] = lambda _: (503, b"{}")
        self.down = False
        self.requests: dict[str, int] = {}
        self.lock: Final = Lock()
        self._listeners: list[Queue[bytes]] = []

    def push(self, manifest: bytes) -> None:
        """Serve a manifest from now on, and push it to whoever listens."""
        with self.lock:
            self.manifest = manifest
            listeners = list(self._listeners)
        for listener in listeners:
            listener.put(manifest)

    def listen(self) -> "Queue[bytes]":
        """A queue of what is pushed from now on."""
        queue: Queue[bytes] = Queue()
        with self.lock:
            self._listeners.append(queue)
        return queue

    @property
    def listening(self) -> int:
        """How many connections wait for pushes."""
        with self.lock:
            return len(self._listeners)

    def leave(self, queue: "Queue[bytes]") -> None:
        """Stop listening."""
        with self.lock:
            self._listeners.remove(queue)


class LoopbackServer:
    """A running server; `url` is where."""

    def __init__(self, served: Served, port: int = 0) -> None:
        self.served: Final = served
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", port), type("Bound", (_Handler,), {"served": served})
        )
        self._server.daemon_threads = True
        self.url: Final = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.served.down = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    """Answers for the `Served` that a subclass names."""

    served: ClassVar[Served]
    protocol_version = "HTTP/1.1"
    timeout = 10

    def log_message(self, *_: object) -> None:
        """Be silent: requests are counted instead."""

    def do_GET(self) -> None:
        if self._refused():
            return
        if self.path == "/manifest/events":
            self._stream()
        elif self.path == "/manifest" and self.served.manifest is not None:
            self._answer(200, self.served.manifest)
        elif self.path == "/root" and self.served.roots:
            self._answer(200, self.served.roots[-1])
        elif self.path.startswith("/root/") and self.path[6:].isdecimal():
            number = int(self.path[6:])
            known = 0 < number <= len(self.served.roots)
            self._answer(200 if known else 404, self.served.roots[number - 1] if known else b"{}")
        elif self.path in self.served.documents:
            self._answer(200, self.served.documents[self.path])
        else:
            self._answer(404, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length", "0")), _MAX_BODY))
        if self._refused():
            return
        if self.path == "/ledger/check":
            self._answer(*self.served.check(json.loads(body)))
        elif self.path == "/observations":
            self._answer(*self._observe(body))
        else:
            self._answer(404, b"{}")

    def _observe(self, body: bytes) -> Answer:
        sent = self.headers.get("Authorization", "").removeprefix("Basic ")
        if self.served.credentials and b64decode(sent).decode() != ":".join(self.served.credentials):
            return 401, b"{}"
        report = json.loads(body)
        with self.served.lock:
            known = {entry["id"] for entry in self.served.observations}
            new = [entry for entry in report["observations"] if entry["id"] not in known]
            self.served.observations += new
            self.served.validators.append(report["validator"])
        duplicates = len(report["observations"]) - len(new)
        return 202, json.dumps({"stored": len(new), "duplicates": duplicates}).encode()

    def _refused(self) -> bool:
        with self.served.lock:
            self.served.requests[self.path] = self.served.requests.get(self.path, 0) + 1
        if self.served.down:
            self.close_connection = True
            self._answer(503, b"{}")
        return self.served.down

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        queue = self.served.listen()
        try:
            while not self.served.down:
                try:
                    self.wfile.write(b"event: manifest\ndata: " + queue.get(timeout=_HEARTBEAT) + b"\n\n")
                except Empty:
                    self.wfile.write(b": here\n\n")
                self.wfile.flush()
        except OSError:
            pass
        finally:
            self.served.leave(queue)
