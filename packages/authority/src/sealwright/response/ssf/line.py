"""Hands SETs over by HTTP (RFC 8935). Each stream has connections of its own, kept alive.

One pool for all receivers would look through every connection for every request: with fifty of them that took
three quarters of the time of a revocation. May never follow a redirect: a receiver that moves says so to us.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx

from sealwright.errors import Refused, Unavailable
from sealwright.response.ssf.model import Stream

PUSH_SECONDS = 10.0
TAKEN, REFUSED = 202, 400


class HttpLine:
    """`Line` over HTTP; `connect` makes the client of one stream."""

    def __init__(self, connect: Callable[[], httpx.AsyncClient]) -> None:
        self._connect = connect
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def push(self, stream: Stream, signed: str) -> None:
        """See the port."""
        headers = {"Content-Type": "application/secevent+jwt", "Accept": "application/json"}
        if stream.delivery.authorization_header:
            headers["Authorization"] = stream.delivery.authorization_header
        client = self._clients.get(stream.stream_id)
        if client is None:
            client = self._clients[stream.stream_id] = self._connect()
        try:
            answer = await client.post(
                stream.delivery.endpoint_url or "",
                content=signed,
                headers=headers,
                timeout=PUSH_SECONDS,
                follow_redirects=False,
            )
        except httpx.HTTPError as error:
            raise Unavailable("receiver_unavailable", "The receiver does not answer.", str(error)) from error
        told = _error_of(answer) if answer.status_code == REFUSED else None
        if told is not None:
            raise Refused(told, "The receiver refused a SET.")
        if answer.status_code != TAKEN:
            raise Unavailable(
                "receiver_unavailable", "The receiver did not take it.", str(answer.status_code)
            )

    async def hang_up(self, stream_id: str) -> None:
        """See the port."""
        client = self._clients.pop(stream_id, None)
        if client is not None:
            await client.aclose()


def _error_of(answer: httpx.Response) -> str | None:
    """The receiver's `err` (RFC 8935 section 2.4); None where it says none: a proxy answers like that too."""
    try:
        said = answer.json()
    except ValueError:
        return None
    err = said.get("err") if isinstance(said, dict) else None
    return err[:64] if isinstance(err, str) and err else None
