"""`POST /{realm}/oauth2/token` as a plain ASGI function: the hot path stays below the framework.

Answers are RFC 6749 §5.1 and §5.2, never cached. Bodies are bounded before they are read; malformed anything
gets a 4xx and a reason.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from sealwright.errors import Refused, SealwrightError, Unavailable
from sealwright.issuer.model import TokenRequest
from sealwright.issuer.service import Issuer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY = 32_768
MAX_FIELDS = 32
FORM = b"application/x-www-form-urlencoded"
PATH_SUFFIX = "/oauth2/token"
RETRY_AFTER = b"1"
_encode = msgspec.json.Encoder().encode
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
]
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


async def _body(scope: Scope, receive: Receive) -> bytes:
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


def _parse(scope: Scope, body: bytes) -> TokenRequest:
    media = [value for name, value in scope["headers"] if name == b"content-type"]
    if len(media) != 1 or media[0].split(b";")[0].strip().lower() != FORM:
        raise Refused("unsupported_media_type", f"send {FORM.decode()}")
    authorization = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(authorization) > 1:
        raise Refused("invalid_request", "more than one Authorization header")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
        header = authorization[0].decode("ascii") if authorization else None
    except ValueError as error:
        raise Refused("invalid_request", "the body is not a well-formed form") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Refused("invalid_request", "a parameter is repeated (RFC 6749 §3.2)")
    return TokenRequest(scope["path"][1 : -len(PATH_SUFFIX)], form, header)


class TokenEndpoint:
    """ASGI application for the token endpoints of all realms."""

    def __init__(self, issuer: Issuer, count: Count) -> None:
        self._issuer = issuer
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request whose path ends in `/oauth2/token`."""
        headers = _HEADERS
        try:
            if scope["method"] != "POST":
                raise Refused("method_not_allowed", "use POST")
            request = _parse(scope, await _body(scope, receive))
            signed, grant = await self._issuer.issue(request)
        except SealwrightError as error:
            status, headers, answer = _refusal(error)
            self._count(self._realm(scope), error.code)
        else:
            status = 200
            self._count(request.realm, "issued")
            answer = {"access_token": signed.token, "token_type": "Bearer", "expires_in": signed.expires_in}
            if grant.scope:
                answer["scope"] = grant.scope
        content = _encode(answer)
        length = (b"content-length", b"%d" % len(content))
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": content})

    def _realm(self, scope: Scope) -> str:
        """The realm for the count; names that are no realm must not become labels."""
        name: str = scope["path"][1 : -len(PATH_SUFFIX)]
        return name if self._issuer.has_realm(name) else UNKNOWN_REALM


def _refusal(error: SealwrightError) -> tuple[int, list[tuple[bytes, bytes]], dict[str, Any]]:
    if isinstance(error, Unavailable):
        log.warning("token request failed", extra={"facts": {"code": error.code, "detail": error.detail}})
        answer = {"error": "temporarily_unavailable", "error_description": error.public}
        return 503, [*_HEADERS, (b"retry-after", RETRY_AFTER)], answer
    log.info("token request refused", extra={"facts": {"code": error.code, "detail": error.detail}})
    headers = list(_HEADERS)
    if error.code == "invalid_client":
        headers.append((b"www-authenticate", b'Basic realm="token endpoint", charset="UTF-8"'))
    if error.code == "method_not_allowed":
        headers.append((b"allow", b"POST"))
    code = error.code if error.code in _OAUTH_ERRORS else "invalid_request"
    return _STATUS.get(error.code, 400), headers, {"error": code, "error_description": error.public}
