"""The ledger's public routes: tlog-tiles files, the log list, receipts. Nothing here changes anything."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from sealwright.errors import Refused, Unavailable
from sealwright.ledger.files import CHECKPOINT, LOG_LIST, LedgerFiles
from sealwright.ledger.model import Place
from sealwright.ledger.receipts import Receipts

_TILE = re.compile(
    r"tile/(?:[0-9]|[1-5][0-9]|6[0-3]|entries)/(?:x[0-9]{3}/){0,4}[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?"
)
_LOG_ID = re.compile(r"[a-z2-7]{16}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_INDEX = re.compile(r"0|[1-9][0-9]{0,14}")
MAX_VALUE = 512
"""Characters of one query value."""
_IMMUTABLE = {"cache-control": "public, max-age=31536000, immutable"}
Ask = Callable[[], str]


def _problem(status: int, code: str, text: str, retry: int | None = None) -> Response:
    headers = {"cache-control": "no-store"} | ({"retry-after": str(retry)} if retry else {})
    body = msgspec.json.encode({"error": code, "error_description": text})
    return Response(body, status, headers, "application/json")


def _kept(request: Request, body: bytes, kind: str) -> Response:
    """What caches may keep, and must ask about: it changes when more is known (RFC 9110 section 13.1.2)."""
    tag = f'"{sha256(body).hexdigest()[:32]}"'
    headers = {"cache-control": "public, no-cache", "etag": tag}
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, kind)


async def _file(files: LedgerFiles, log_id: str, path: str) -> Response:
    if not _LOG_ID.fullmatch(log_id) or not (path == CHECKPOINT or _TILE.fullmatch(path)):
        return _problem(404, "not_found", "no such file of the ledger")
    found = files.find(log_id, path)
    if found is not None and path == CHECKPOINT:
        return FileResponse(found, headers={"cache-control": "no-store"}, media_type="text/plain")
    if found is not None:
        return FileResponse(found, headers=_IMMUTABLE, media_type="application/octet-stream")
    try:
        moved = await asyncio.to_thread(files.read, log_id, path)
    except Unavailable as error:
        return _problem(503, error.code, error.public, retry=1)
    if moved is None:
        return _problem(404, "not_found", "no such file of the ledger")
    return Response(moved, headers=_IMMUTABLE, media_type="application/octet-stream")


def _asked(receipts: Receipts, announced: Callable[[str], Place], query: Mapping[str, str]) -> Ask:
    """What a query asks for.

    Raises:
        Refused: `malformed_request`.
    """
    match sorted(query):
        case ["jti"]:
            return partial(receipts.of_jti, query["jti"])
        case ["digest"] if _DIGEST.fullmatch(query["digest"]):
            return partial(receipts.of_digest, query["digest"])
        case ["kid"]:
            return lambda: receipts.at(announced(query["kid"]))
        case ["index", "log" | "origin"] if _INDEX.fullmatch(query["index"]):
            log_id = query.get("log") or query["origin"].rpartition("/")[2]
            place = Place(log_id, int(query["index"]))
            return lambda: receipts.at(place, query.get("origin"))
    raise Refused("malformed_request", "ask by jti, digest, kid, or origin and index")


def routes(receipts: Receipts, files: LedgerFiles, announced: Callable[[str], Place]) -> list[Route]:
    """Files, log list and receipts.

    Args:
        receipts: makes them.
        files: where the published files are.
        announced: the place of a key's announcement; `unknown_key` when there is none.
    """

    async def file(request: Request) -> Response:
        return await _file(files, request.path_params["log_id"], request.path_params["path"])

    async def log_list(request: Request) -> Response:
        try:
            found = await asyncio.to_thread((files.hot / LOG_LIST).read_bytes)
        except FileNotFoundError:
            return _problem(503, "no_log_list", "no log list was made yet", retry=1)
        return _kept(request, found, "application/json")

    async def proof(request: Request) -> Response:
        query = dict(request.query_params)
        once = len(request.query_params.multi_items()) == len(query)
        if not once or any(len(value) > MAX_VALUE for value in query.values()):
            return _problem(400, "malformed_request", "a value is too long or comes twice")
        try:
            receipt = await asyncio.to_thread(_asked(receipts, announced, query))
        except Refused as error:
            status = 400 if error.code == "malformed_request" else 404
            return _problem(status, error.code, error.public)
        except Unavailable as error:
            return _problem(503, error.code, error.public, retry=1)
        return _kept(request, receipt.encode(), "text/plain; charset=utf-8")

    return [
        Route(f"/ledger/{LOG_LIST}", log_list),
        Route("/ledger/proof", proof),
        Route("/ledger/{log_id}/{path:path}", file),
    ]
