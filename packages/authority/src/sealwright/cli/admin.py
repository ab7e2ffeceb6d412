"""Talks to the running authority over its admin socket, which only its owner can open.

May never be pointed at a network address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from sealwright.config import Config
from sealwright.errors import Refused, Unavailable

LIMIT = 10.0
"""Seconds that an answer may take."""


class Admin:
    """The admin surface of one state directory.

    Args:
        socket: `run/admin.sock`.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def _client(self) -> httpx.Client:
        if not self._socket.exists():
            raise self._gone(FileNotFoundError(str(self._socket)))
        transport = httpx.HTTPTransport(uds=str(self._socket))
        return httpx.Client(transport=transport, base_url="http://admin", timeout=LIMIT)

    @classmethod
    def of(cls, config: Config) -> Admin:
        """The one that serves this configuration's state directory."""
        return cls(config.state.path / "run" / "admin.sock")

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of an answer.

        Raises:
            Unavailable: the authority does not run, or cannot answer now.
            Refused: with the authority's reason.
        """
        return self._answer(self._send("GET", path, params=query))

    def post(self, path: str, body: Any = None, patience: float = LIMIT) -> Any:
        """The JSON of an answer that may take `patience` seconds. Errors as in `get`."""
        return self._answer(self._send("POST", path, json=body, timeout=patience))

    @contextmanager
    def events(self, path: str, after: int) -> Iterator[Iterator[str]]:
        """The `data:` lines of a stream of server-sent events. Errors as in `get`."""
        headers = {"accept": "text/event-stream", "last-event-id": str(after)}
        try:
            with (
                self._client() as client,
                client.stream("GET", path, headers=headers, timeout=None) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    self._answer(answer)
                yield (
                    line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")
                )
        except httpx.TransportError as error:
            raise self._gone(error) from error

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            with self._client() as client:
                return client.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._gone(error) from error

    def _gone(self, error: httpx.TransportError | OSError) -> Unavailable:
        text = f"the authority does not answer on {self._socket}; start it with `sealwright up`"
        return Unavailable("not_running", text, repr(error))

    @staticmethod
    def _answer(answer: httpx.Response) -> Any:
        try:
            body = answer.json()
        except ValueError:
            body = {}
        if answer.is_success:
            return body
        said = body if isinstance(body, dict) else {}
        code = str(said.get("error", f"status_{answer.status_code}"))
        raise Refused(code, str(said.get("message", f"the authority answered {answer.status_code}")))
