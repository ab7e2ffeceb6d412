"""Object stores for tests: a small one of ours that speaks enough S3 over HTTP, a real one if installed.

Ours keeps objects in memory, lists a few at a time so that listing has to go on, refuses who is not signed
in, and can be away.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

from signer_support.ports import reserved_port

BUCKET, ACCESS, SECRET = "archive", "test-access", "test-secret-of-a-test-server"
PAGE = 3
REAL = "versitygw"
"""A real S3 server: `go install github.com/versity/versitygw/cmd/versitygw@latest`."""


def access_file(directory: Path, endpoint: str, key: str = ACCESS) -> Path:
    """The private file that a configuration names."""
    file = directory / "access.toml"
    file.touch(mode=0o600)
    told = {
        "aws_endpoint": endpoint,
        "aws_access_key_id": key,
        "aws_secret_access_key": SECRET,
        "aws_region": "us-east-1",
    }
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in told.items()))
    return file


class SmallStore(ThreadingHTTPServer):
    """Our own server. `away`: answers nothing but that it cannot."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.away = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SmallStore

    def log_message(self, *_told: object) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"etag"')
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _key(self) -> str | None:
        """The object asked for; None when it was answered already."""
        if self.server.away:
            self._answer(503)
        elif f"Credential={ACCESS}/" not in self.headers.get("Authorization", ""):
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        else:
            bucket, _, key = unquote(urlsplit(self.path).path).removeprefix("/").partition("/")
            if bucket == BUCKET:
                return key
            self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        return None

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = self._key()
        if key:
            self.server.objects[key] = body
            self._answer(200)

    def do_GET(self) -> None:
        key = self._key()
        if key == "":
            self._list(parse_qs(urlsplit(self.path).query, keep_blank_values=True))
        elif key is not None and key in self.server.objects:
            self._answer(200, self.server.objects[key])
        elif key is not None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_POST(self) -> None:
        """DeleteObjects."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self._key() is not None:
            gone = [unescape(key) for key in re.findall("<Key>(.*?)</Key>", body)]
            for key in gone:
                self.server.objects.pop(key, None)
            told = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in gone)
            self._answer(200, f"<DeleteResult>{told}</DeleteResult>".encode())

    def do_DELETE(self) -> None:
        key = self._key()
        if key:
            self.server.objects.pop(key, None)
            self._answer(204)

    def _list(self, asked: dict[str, list[str]]) -> None:
        """ListObjectsV2, as far as it is used."""
        prefix, after = asked.get("prefix", [""])[0], asked.get("continuation-token", [""])[0]
        delimiter = asked.get("delimiter", [""])[0]
        keys = sorted(key for key in self.server.objects if key.startswith(prefix) and key > after)
        page, folders, sizes = keys if delimiter else keys[:PAGE], set[str](), list[str]()
        for key in page:
            folder, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                folders.add(f"{prefix}{folder}/")
            else:
                sizes.append(
                    f"<Contents><Key>{escape(key)}</Key><Size>{len(self.server.objects[key])}</Size>"
                    "<LastModified>2026-11-22T00:00:00.000Z</LastModified><ETag>etag</ETag></Contents>"
                )
        sizes += [
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in sorted(folders)
        ]
        if len(page) < len(keys):
            sizes.append(f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>")
        body = f"<?xml version='1.0'?><ListBucketResult>{''.join(sizes)}</ListBucketResult>"
        self._answer(200, body.encode())


@contextlib.contextmanager
def small_store() -> Iterator[SmallStore]:
    """Our own server, running."""
    server = SmallStore()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def real_store(directory: Path) -> Iterator[str]:
    """A real server over a directory; its address. `shutil.which(REAL)` says whether there is one."""
    program, port = shutil.which(REAL), reserved_port()
    (directory / BUCKET).mkdir(parents=True)
    asked = ["--port", f"127.0.0.1:{port}", "--access", ACCESS, "--secret", SECRET, "posix", str(directory)]
    with subprocess.Popen([str(program), *asked], stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        if time.monotonic() > until:
            raise TimeoutError("the object store does not listen")
        time.sleep(0.05)
