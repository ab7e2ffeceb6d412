"""A thin HTTP client on the standard library: one origin, strict timeouts, bounded answers, no redirects, no
proxies.

May never follow an address that an answer names, and may never be where something is decided about a token.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from socket import SHUT_RDWR, socket
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

from sealwright_validate.clock import SYSTEM_CLOCK, Clock
from sealwright_validate.errors import Misconfigured, Unavailable

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_CHUNK: Final = 64 * 1024
_IDLE_CONNECTIONS: Final = 8
_USER_AGENT: Final = "sealwright-validate"


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer. Header names are in lower case; the body is at most `MAX_ANSWER_BYTES` long."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Origin:
    """Keeps connections to one scheme, host and port. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 5.0,
        clock: Clock = SYSTEM_CLOCK,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise Misconfigured(f"{url!r} is no plain http(s) address")
        self.url: Final = url.rstrip("/")
        self.encrypted: Final = parts.scheme == "https"
        self.loopback: Final = is_loopback(parts.hostname)
        self._host = parts.hostname
        self._port = parts.port
        self._prefix = parts.path.rstrip("/")
        self._timeout = timeout
        self._clock = clock
        self._tls = tls or (ssl.create_default_context() if self.encrypted else None)
        self._idle: list[HTTPConnection] = []
        self._busy: set[HTTPConnection] = set()
        self._stream: socket | None = None
        self._closed = False
        self._lock = Lock()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET `path` below the origin; raises Unavailable when no complete answer arrives in time."""
        return self._request("GET", path, None, headers or {})

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """POST JSON to `path` below the origin; raises Unavailable when no complete answer arrives in
        time.
        """
        return self._request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})

    def stream(self, path: str, *, silence: float) -> Iterator[bytes]:
        """The lines of an endless answer, until it ends or is silent for `silence` seconds (then
        Unavailable).
        """
        connection = self._connect(timeout=silence)
        try:
            self._keep_stream(connection)
            response = self._send(connection, "GET", path, None, {"Accept": "text/event-stream"})
            if response.status != 200:  # noqa: PLR2004 - OK
                raise Unavailable(f"{self.url}{path} answered {response.status}")
            while line := response.readline(MAX_ANSWER_BYTES):
                yield line
        except (OSError, HTTPException, ValueError) as error:
            raise self._failed(path, error) from None
        finally:
            connection.close()

    def close(self) -> None:
        """Close idle connections, end streams, and end requests that wait for an answer (Unavailable). A
        request that a thread makes all the same keeps no connection.
        """
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            stream, self._stream = self._stream, None
            waiting = [connection.sock for connection in self._busy]
        for connection in idle:
            connection.close()
        for line in waiting:
            with suppress(OSError, AttributeError):  # it may have ended, or not have begun
                line.shutdown(SHUT_RDWR)
        if stream is not None:
            with suppress(OSError):  # it may have ended by itself
                stream.shutdown(SHUT_RDWR)

    def forget(self) -> None:
        """Drop connections without closing them properly: after a fork they belong to the parent."""
        self._lock = Lock()
        self._idle = []
        self._busy = set()
        self._stream = None
        self._closed = False

    def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        if kept is not None:
            with suppress(
                ConnectionError
            ):  # the other side may have closed it meanwhile: then a new one, once
                return self._exchange(kept, method, path, body, headers)
        try:
            return self._exchange(self._connect(self._timeout), method, path, body, headers)
        except ConnectionError as error:
            raise self._failed(path, error) from None

    def _exchange(
        self,
        connection: HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer:
        with self._lock:
            self._busy.add(connection)
        try:
            response = self._send(connection, method, path, body, headers)
            received = self._read(response)
        except ConnectionError:
            connection.close()
            raise
        except (OSError, HTTPException, ValueError) as error:  # ValueError: a host name that is none
            connection.close()
            raise self._failed(path, error) from None
        finally:
            with self._lock:
                self._busy.discard(connection)
        names = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close:
            connection.close()
        else:
            self._keep(connection)
        return Answer(response.status, names, received)

    def _read(self, response: HTTPResponse) -> bytes:
        deadline = self._clock.monotonic() + self._timeout
        received = bytearray()
        while chunk := response.read1(_CHUNK):
            received += chunk
            if len(received) > MAX_ANSWER_BYTES or self._clock.monotonic() > deadline:
                raise HTTPException("the answer is too long or too slow")
        response.close()  # the end alone does not tell the connection that it may be used again
        return bytes(received)

    def _failed(self, path: str, error: Exception) -> Unavailable:
        return Unavailable(f"{self.url}{path}: {type(error).__name__}: {error}")

    def _send(
        self,
        connection: HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> HTTPResponse:
        connection.request(
            method, self._prefix + path, body=body, headers={"User-Agent": _USER_AGENT, **headers}
        )
        return connection.getresponse()

    def _connect(self, timeout: float) -> HTTPConnection:
        if self._tls is not None:
            return HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        return HTTPConnection(self._host, self._port, timeout=timeout)

    def _keep_stream(self, connection: HTTPConnection) -> None:
        connection.connect()
        with self._lock:
            if self._closed:
                raise ConnectionAbortedError("closed meanwhile")
            self._stream = connection.sock

    def _keep(self, connection: HTTPConnection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()


def is_loopback(host: str) -> bool:
    """Whether a host name can only mean this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
