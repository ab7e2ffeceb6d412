"""`POST /{realm}/oauth2/token`: the hot path stays below the framework.

One function, `TokenEndpoint.ask`, deals with a request that has arrived whole; it is reached straight from
the connection (`wiring/direct.py`) or as a plain ASGI application. Answers are RFC 6749 §5.1 and §5.2, never
cached. Bodies are bounded before they are read; malformed anything gets a 4xx and a reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from sealwright.errors import Refused, SealwrightError, Unavailable
from sealwright.issuer.model import Outcome, Signed, TokenRequest
from sealwright.issuer.service import Decided, Issuer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case."""

MAX_BODY = 32_768
MAX_FIELDS = 32
FORM = b"application/x-www-form-urlencoded"
PATH_SUFFIX = "/oauth2/token"
RETRY_AFTER = b"1"
_encode = msgspec.json.Encoder().encode
TOKEN_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
]
"""Of every answer with a token."""
_STATUS = {
    "invalid_client": 401,
    "unknown_realm": 404,
    "body_too_large": 413,
    "method_not_allowed": 405,
    "unsupported_media_type": 415,
}
_OAUTH_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
    }
)

Count = Callable[[str, str], None]
"""(realm, `issued` or the code of the refusal): called once for every answer."""
UNKNOWN_REALM = "unknown"

log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """What goes back; `headers` without the length."""

    status: int
    headers: Headers
    content: bytes


Respond = Callable[[Answer], None]


async def _body(scope: Scope, receive: Receive) -> bytes:
    if scope["method"] != "POST":
        raise Refused("method_not_allowed", "use POST")
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if len(declared) > len(str(MAX_BODY)) or not declared.isdigit() or int(declared) > MAX_BODY:
        raise Refused("body_too_large", f"the body may have {MAX_BODY} bytes")
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused("invalid_request", "the client went away")
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused("body_too_large", f"the body may have {MAX_BODY} bytes")
        if not message.get("more_body", False):
            return body


def _pairs(form: str) -> list[tuple[str, str]]:
    """The parameters of a form; ValueError when it is malformed."""
    if not form or "%" in form or "+" in form:
        return parse_qsl(
            form, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    # Without an escape there is nothing to undo: the same in a quarter of the time.
    pairs = [(name, value) for name, value in (pair.split("=", 1) for pair in form.split("&"))]
    if len(pairs) > MAX_FIELDS:
        raise ValueError("too many fields")
    return pairs


def _parse(path: str, headers: Headers, body: bytes) -> TokenRequest:
    media = [value for name, value in headers if name == b"content-type"]
    if len(media) != 1 or (media[0] != FORM and media[0].split(b";")[0].strip().lower() != FORM):
        raise Refused("unsupported_media_type", f"send {FORM.decode()}")
    authorization = [value for name, value in headers if name == b"authorization"]
    if len(authorization) > 1:
        raise Refused("invalid_request", "more than one Authorization header")
    try:
        header = authorization[0].decode("ascii") if authorization else None
    except ValueError as error:
        raise Refused("invalid_request", "the Authorization header is not ASCII") from error
    try:
        pairs = _pairs(body.decode("ascii"))
    except ValueError as error:
        raise Refused("invalid_request", "the body is not a well-formed form") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Refused("invalid_request", "a parameter is repeated (RFC 6749 §3.2)")
    return TokenRequest(path[1 : -len(PATH_SUFFIX)], form, header)


class TokenEndpoint:
    """The token endpoints of all realms."""

    def __init__(self, issuer: Issuer, count: Count) -> None:
        self._issuer = issuer
        self._count = count

    def ask(self, path: str, headers: Headers, body: bytes, respond: Respond) -> Decided | None:
        """Deal with one POST to a path that ends in `/oauth2/token`.

        Args:
            path: decoded.
            headers: all of the request's.
            body: complete.
            respond: called once, with a refusal at once, with a token when it may leave.

        Returns:
            What was decided, None when it was refused.
        """
        try:
            decided = self._issuer.decide(_parse(path, headers, body))
            self._issuer.submit(decided, partial(self._settled, path, decided.scope, respond))
        except SealwrightError as error:
            respond(self._refused(path, error))
            return None
        return decided

    def ask_again(self, path: str, decided: Decided, respond: Respond) -> bool:
        """Deal with a request that is the same, byte for byte, as one that was decided so.

        False, and nothing done, when it might be decided differently now.
        """
        try:
            if not self._issuer.holds_still(decided):
                return False
            self._issuer.submit(decided, partial(self._settled, path, decided.scope, respond))
        except SealwrightError as error:
            respond(self._refused(path, error))
        return True

    def _settled(self, path: str, scope: str, respond: Respond, outcome: Outcome) -> None:
        if not isinstance(outcome, Signed):
            respond(self._failed(path, outcome))
            return
        self._count(path[1 : -len(PATH_SUFFIX)], "issued")
        told = {"access_token": outcome.token, "token_type": "Bearer", "expires_in": outcome.expires_in}
        if scope:
            told["scope"] = scope
        respond(Answer(200, TOKEN_HEADERS, _encode(told)))

    def _failed(self, path: str, error: Exception) -> Answer:
        if isinstance(error, SealwrightError):
            return self._refused(path, error)
        log.error("token request failed", exc_info=error)
        return Answer(500, TOKEN_HEADERS, _encode({"error": "server_error"}))

    def _refused(self, path: str, error: SealwrightError) -> Answer:
        name = path[1 : -len(PATH_SUFFIX)]  # what is no realm must not become a label
        self._count(name if self._issuer.has_realm(name) else UNKNOWN_REALM, error.code)
        return _refusal(error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The same as an ASGI application."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            body = await _body(scope, receive)
        except Refused as error:
            answered.set_result(self._refused(scope["path"], error))
        else:
            self.ask(scope["path"], scope["headers"], body, partial(_once, answered))
        status, headers, content = await answered
        length = (b"content-length", b"%d" % len(content))
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": content})


def _once(answered: asyncio.Future[Answer], answer: Answer) -> None:
    if not answered.done():  # the server was stopped meanwhile
        answered.set_result(answer)


def _refusal(error: SealwrightError) -> Answer:
    if isinstance(error, Unavailable):
        log.warning("token request failed", extra={"facts": {"code": error.code, "detail": error.detail}})
        told = {"error": "temporarily_unavailable", "error_description": error.public}
        return Answer(503, [*TOKEN_HEADERS, (b"retry-after", RETRY_AFTER)], _encode(told))
    log.info("token request refused", extra={"facts": {"code": error.code, "detail": error.detail}})
    headers = list(TOKEN_HEADERS)
    if error.code == "invalid_client":
        headers.append((b"www-authenticate", b'Basic realm="token endpoint", charset="UTF-8"'))
    if error.code == "method_not_allowed":
        headers.append((b"allow", b"POST"))
    code = error.code if error.code in _OAUTH_ERRORS else "invalid_request"
    told = {"error": code, "error_description": error.public}
    return Answer(_STATUS.get(error.code, 400), headers, _encode(told))
