"""Public routes: metadata, JWKS, manifest and its event stream, root, the strict check.

Nothing here needs authentication and nothing here changes state.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from sealwright.clock import Clock
from sealwright.discovery import metadata
from sealwright.discovery.feed import ManifestFeed
from sealwright.discovery.metadata import RealmView
from sealwright.errors import Unavailable
from sealwright.keys.model import Key
from sealwright.ledger.service import Ledger

_WAIT = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,3})(?:$|[,;\s])")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
MAX_CHECK_BODY = 2_048
MAX_STREAMS = 2_048
MAX_WAIT = 25
"""Seconds that a request may wait for a newer manifest."""
HEARTBEAT = 10.0
"""Seconds between comments on a quiet event stream."""
_encode = msgspec.json.encode


class CheckRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /ledger/check`."""

    jti: str
    digest: str
    kid: str


def _json(value: Any, status: int = 200, **headers: str) -> Response:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(_encode(value), status, named, "application/json")


def _problem(status: int, code: str, text: str) -> Response:
    return _json({"error": code, "error_description": text}, status, cache_control="no-store")


def realm_routes(
    realms: Mapping[str, RealmView],
    keys: Callable[[], list[Key]],
    clock: Clock,
    lead: int,
    fetched: Callable[[str], None],
) -> list[Route]:
    """Metadata (RFC 8414, both well-known forms; OpenID discovery) and JWKS of each realm.

    `fetched` is told of every fetch of a realm's plain JWKS.
    """
    kept = f"public, max-age={metadata.jwks_max_age(lead)}"

    def of(describe: Callable[[RealmView], dict[str, Any]]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            realm = realms.get(request.path_params["realm"])
            if realm is None:
                return _problem(404, "unknown_realm", "no such realm")
            return _json(describe(realm), cache_control=kept)

        return answer

    server = of(metadata.authorization_server)
    openid = of(metadata.openid_provider)

    def key_set(realm: RealmView) -> dict[str, Any]:
        fetched(realm.name)
        return metadata.jwks(keys(), realm.name, clock.now())

    jwks = of(key_set)
    return [
        Route("/.well-known/oauth-authorization-server/{realm}", server),
        Route("/{realm}/.well-known/oauth-authorization-server", server),
        Route("/.well-known/openid-configuration/{realm}", openid),
        Route("/{realm}/.well-known/openid-configuration", openid),
        Route("/{realm}/jwks.json", jwks),
    ]


class _Streams:
    """The open event streams of the manifest."""

    def __init__(self, feed: ManifestFeed) -> None:
        self._feed = feed
        self._open = 0

    async def answer(self, _request: Request) -> Response:
        if self._open >= MAX_STREAMS:
            return _problem(503, "too_many_streams", "too many event streams are open")
        return StreamingResponse(self._follow(), 200, {"cache-control": "no-store"}, "text/event-stream")

    async def _follow(self) -> AsyncIterator[bytes]:
        self._open += 1
        seen = 0
        try:
            while not self._feed.closed:
                document = await self._feed.newer(seen, HEARTBEAT)
                if document is None:
                    yield b": quiet\n\n"
                else:
                    seen = self._feed.version
                    yield b"event: manifest\ndata: " + document + b"\n\n"
        finally:
            self._open -= 1


class _Polls:
    """Requests that wait for a newer manifest, where no event stream comes through (RFC 7240 `wait`)."""

    def __init__(self, feed: ManifestFeed) -> None:
        self._feed = feed
        self._held = 0

    async def wait(self, request: Request, tag: str) -> None:
        """Return when the manifest is not the one that the client has, or its patience is over."""
        asked = _WAIT.search(request.headers.get("prefer", ""))
        if asked is None or request.headers.get("if-none-match") != tag or self._held >= MAX_STREAMS:
            return
        self._held += 1
        try:
            await self._feed.newer(self._feed.version, min(int(asked[1]), MAX_WAIT))
        finally:
            self._held -= 1


def manifest_routes(feed: ManifestFeed, trust: Path) -> list[Route]:
    """The manifest, its event stream, the root and its history."""
    polls = _Polls(feed)

    async def manifest(request: Request) -> Response:
        if feed.document is None:
            return _problem(503, "no_manifest", "no key manifest is in force yet")
        await polls.wait(request, f'"{feed.version}"')
        tag = f'"{feed.version}"'
        headers = {"cache-control": "no-cache", "etag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(feed.document, 200, headers, "application/json")

    async def root(request: Request) -> Response:
        version = request.path_params.get("version")
        if version is not None and not _VERSION.fullmatch(version):
            return _problem(404, "unknown_root", "no such root")
        file = trust / ("root.json" if version is None else f"root-{version}.json")
        if not file.is_file():
            return _problem(404, "unknown_root", "no such root")
        return FileResponse(file, media_type="application/json", headers={"cache-control": "no-cache"})

    return [
        Route("/manifest", manifest),
        Route("/manifest/events", _Streams(feed).answer),
        Route("/root", root),
        Route("/root/{version}", root),
    ]


def admission_routes(record: Callable[[str], dict[str, str] | None]) -> list[Route]:
    """`GET /admissions/{log id}`: statement and appraisal result, so that anyone can appraise again."""

    async def show(request: Request) -> Response:
        found = await asyncio.to_thread(record, request.path_params["log_id"])
        if found is None:
            return _problem(404, "unknown_incarnation", "no such incarnation was admitted")
        return _json({"format": "sealwright-admission-record/1"} | found, cache_control="no-cache")

    return [Route("/admissions/{log_id}", show)]


def _check(ledger: Ledger, asked: CheckRequest, revoked: Callable[[str], bool]) -> dict[str, Any]:
    standing = ledger.check(asked.jti, asked.digest, asked.kid)
    if standing.reason is not None or standing.place is None:
        return {"issued": False, "reason": standing.reason}
    if revoked(asked.kid):
        return {"issued": False, "reason": "revoked"}
    place = standing.place
    return {"issued": True, "log_id": place.log_id, "index": place.index, "size": standing.size}


async def _bounded(request: Request, limit: int) -> bytes | None:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return body


def check_routes(ledger: Ledger, revoked: Callable[[str], bool]) -> list[Route]:
    """The strict check. The rest of the ledger is served by its own room."""

    async def check(request: Request) -> Response:
        body = await _bounded(request, MAX_CHECK_BODY)
        if body is None:
            return _problem(413, "body_too_large", f"the body may have {MAX_CHECK_BODY} bytes")
        try:
            answer = _check(ledger, msgspec.json.decode(body, type=CheckRequest), revoked)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _problem(400, "malformed_request", str(error))
        except Unavailable as error:
            return _problem(503, error.code, error.public)
        return _json(answer, cache_control="no-store")

    return [Route("/ledger/check", check, methods=["POST"])]
