"""Routes of detection: reports from relying parties (public side), alarms (admin side).

The only file of the room that knows status codes. A body is read only after its sender is known, and never
beyond its bound. Nothing here says more to a reporter than how many observations are kept.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sealwright.detection.feed import PAGE_MAX, AlarmFeed
from sealwright.detection.model import MAX_OBSERVATIONS, MAX_REPORT_BYTES, Report, StoredAlarm
from sealwright.detection.ports import Intake, ReporterAuth
from sealwright.errors import Refused, Unavailable

RETRY_AFTER_SECONDS = 1
HEARTBEAT_SECONDS = 10.0
"""A comment is sent on a quiet event stream this often, so that both sides notice a dead connection."""
STREAMS_MAX = 64
PAGE_DEFAULT = 100

_report_decoder = msgspec.json.Decoder(Report)
_CURSOR = re.compile(r"\A[0-9]{1,18}\Z")
"""18 digits fit every database's 64-bit integers."""
_encoder = msgspec.json.Encoder()
_STATUS = {"reporter_too_fast": 429, "body_too_large": 413, "too_many_observations": 413}

Handler = Callable[[Request], Awaitable[Response]]


def routes(intake: Intake, reporter_auth: ReporterAuth) -> list[Route]:
    """The public side: `POST /observations`."""

    async def observations(request: Request) -> Response:
        try:
            reporter = await reporter_auth.reporter(request.headers.get("authorization"))
        except Refused as error:
            return _problem(error, 401, {"WWW-Authenticate": 'Basic realm="observations"'})
        report = _parsed(await _body(request))
        receipt = await intake.observe(reporter, report)
        return _json(receipt, 202)

    return [Route("/observations", _told(observations), methods=["POST"])]


def admin_routes(feed: AlarmFeed) -> list[Route]:
    """The admin side: `GET /admin/alarms`, as a page of JSON or, when asked for, as server-sent events."""
    streams = _Streams()

    async def alarms(request: Request) -> Response:
        if "text/event-stream" in request.headers.get("accept", ""):
            after = _whole(request.headers.get("last-event-id") or request.query_params.get("after"), 0)
            return StreamingResponse(
                streams.of(feed, after), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
            )
        after = _whole(request.query_params.get("after"), 0)
        limit = _whole(request.query_params.get("limit"), PAGE_DEFAULT)
        page = await feed.page(after, max(1, min(limit, PAGE_MAX)))
        following = page[-1].seq if page else after
        return _json({"alarms": [_flat(one) for one in page], "next": following}, 200)

    return [Route("/admin/alarms", _told(alarms), methods=["GET"])]


class _Streams:
    """Counts open event streams, so that forgotten readers cannot pile up."""

    def __init__(self) -> None:
        self._open = 0

    def of(self, feed: AlarmFeed, after: int) -> AsyncIterator[bytes]:
        if self._open >= STREAMS_MAX:
            raise Unavailable("too_many_streams", "Too many event streams are open.")
        return self._events(feed, after)

    async def _events(self, feed: AlarmFeed, after: int) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            yield b"retry: 1000\n\n"
            while not feed.closed:
                page = await feed.next_page(after, PAGE_DEFAULT, HEARTBEAT_SECONDS)
                if not page:
                    yield b": quiet\n\n"
                for one in page:
                    after = one.seq
                    yield b"id: %d\nevent: alarm\ndata: %s\n\n" % (one.seq, _encoder.encode(_flat(one)))
        finally:
            self._open -= 1


def _told(handler: Handler) -> Handler:
    """Turn the room's errors into answers."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as error:
            return _problem(error, _STATUS.get(error.code, 400), {})
        except Unavailable as error:
            retry = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            return _problem(error, _STATUS.get(error.code, 503), retry)

    return handle


async def _body(request: Request) -> bytes:
    """The body, refused as soon as it is known to be too long, whatever its headers say."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > MAX_REPORT_BYTES:
        raise Refused("body_too_large", f"A report has at most {MAX_REPORT_BYTES} bytes.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REPORT_BYTES:
            raise Refused("body_too_large", f"A report has at most {MAX_REPORT_BYTES} bytes.")
    return bytes(body)


def _parsed(unverified_body: bytes) -> Report:
    try:
        report = _report_decoder.decode(unverified_body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("malformed_report", f"The report cannot be read: {error}") from error
    if len(report.observations) > MAX_OBSERVATIONS:
        raise Refused("too_many_observations", f"A report has at most {MAX_OBSERVATIONS} observations.")
    return report


def _whole(unverified_text: str | None, otherwise: int) -> int:
    if unverified_text is None or unverified_text == "":
        return otherwise
    if not _CURSOR.match(unverified_text):
        raise Refused("malformed_cursor", "A cursor or limit is a whole number, not negative.")
    return int(unverified_text)


def _flat(stored: StoredAlarm) -> dict[str, Any]:
    return {"seq": stored.seq, **msgspec.to_builtins(stored.alarm)}


def _json(content: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    told = {"Cache-Control": "no-store", **(headers or {})}
    return Response(_encoder.encode(content), status, told, "application/json")


def _problem(error: Refused | Unavailable, status: int, headers: dict[str, str]) -> Response:
    return _json({"error": error.code, "message": error.public}, status, headers)
