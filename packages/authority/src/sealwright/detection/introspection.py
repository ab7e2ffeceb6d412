"""Token introspection (RFC 7662) for relying parties that do not validate themselves.

Our own validator reads the token for the audiences that the caller is registered for, the ledger is asked,
and the outcome is an observation like any other: a token that was never issued raises its alarm here too,
and the adoption meter sees who asks. May never answer for an audience that is not the caller's (§4), nor say
why a token is not active (§2.2).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.clock import Clock
from sealwright.detection.model import ACCEPTED, INTROSPECTION, Observation, Report, ValidatorFacts
from sealwright.detection.service import Detector
from sealwright.errors import Refused, SealwrightError, Unavailable
from sealwright.issuer.model import Client

MAX_BODY = 20_480
"""Bytes of a request: a token of the greatest length, and a hint."""
NEVER_ISSUED = "never_issued"
_TOLD = ("iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti")
_STATUS = {"invalid_client": 401, "body_too_large": 413}
_INACTIVE: Mapping[str, Any] = {"active": False}


@dataclass(frozen=True, slots=True)
class Shown:
    """A token of ours that somebody showed us, every step of the validator behind it. `digest` is hex."""

    claims: Mapping[str, Any]
    kid: str
    digest: str


class TokenReader(Protocol):
    """Validates a token as a relying party would."""

    def shown(self, unverified_token: str, realm: str, audiences: tuple[str, ...]) -> Shown:
        """The token for these audiences.

        Raises:
            Refused: `invalid_token`.
            Unavailable: no keys.
        """
        ...


class Introspection:
    """Says of a token whether it is active. `issued` asks the ledger: jti, digest (hex), kid."""

    def __init__(
        self, reader: TokenReader, issued: Callable[[str, str, str], bool], detector: Detector, clock: Clock
    ) -> None:
        self._reader = reader
        self._issued = issued
        self._detector = detector
        self._clock = clock

    async def introspect(self, caller: Client, unverified_token: str) -> Mapping[str, Any]:
        """The answer of RFC 7662 §2.2.

        Raises:
            Unavailable: it cannot be said, or the observation was not kept.
        """
        try:
            shown = self._reader.shown(unverified_token, caller.realm, caller.audiences)
        except Refused:
            return _INACTIVE
        jti = str(shown.claims.get("jti"))
        issued = await asyncio.to_thread(self._issued, jti, shown.digest, shown.kid)
        await self._detector.observe(caller.client_id, self._report(caller, shown, issued=issued))
        if not issued:
            return _INACTIVE
        told = {name: shown.claims[name] for name in _TOLD if name in shown.claims}
        return {"active": True, "token_type": "Bearer", **told}

    def _report(self, caller: Client, shown: Shown, *, issued: bool) -> Report:
        claims, audience = shown.claims, shown.claims.get("aud")
        seen = Observation(
            id=secrets.token_hex(16),
            at=self._clock.now(),
            verdict=ACCEPTED if issued else NEVER_ISSUED,
            signature="valid",
            digest=shown.digest,
            kid=shown.kid,
            jti=claims.get("jti"),
            iss=claims.get("iss"),
            aud=(audience,) if isinstance(audience, str) else tuple(audience or ()),
            iat=int(claims["iat"]),
            exp=int(claims["exp"]),
            client_id=claims.get("client_id"),
        )
        who = ValidatorFacts(
            name=caller.client_id,
            instance=INTROSPECTION,
            library=INTROSPECTION,
            version="RFC 7662",
            mode="asks",
        )
        return Report(validator=who, observations=(seen,))


def routes(introspection: Introspection, authenticate: Callable[[str | None], Client]) -> list[Route]:
    """`POST /{realm}/oauth2/introspect`, by HTTP Basic as a registered reporter of that realm."""

    async def introspect(request: Request) -> Response:
        try:
            caller = authenticate(request.headers.get("authorization"))
            if caller.realm != request.path_params["realm"]:
                raise Refused("invalid_client", "the client belongs to another realm")
            return _json(200, await introspection.introspect(caller, _token(await _body(request))))
        except SealwrightError as error:
            return _problem(error)

    return [Route("/{realm}/oauth2/introspect", introspect, methods=["POST"])]


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused("body_too_large", f"the body may have {MAX_BODY} bytes")
    return body


def _token(body: bytes) -> str:
    try:
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=8)
    except ValueError as error:
        raise Refused("invalid_request", "the body is not a well-formed form") from error
    tokens = [value for name, value in pairs if name == "token"]
    if len(tokens) != 1:
        raise Refused("invalid_request", "send one parameter `token`")
    return tokens[0]


def _json(status: int, told: Mapping[str, Any], **headers: str) -> Response:
    named = {"cache-control": "no-store"} | {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(msgspec.json.encode(told), status, named, "application/json")


def _problem(error: SealwrightError) -> Response:
    if isinstance(error, Unavailable):
        told = {"error": "temporarily_unavailable", "error_description": error.public}
        return _json(503, told, retry_after="1")
    told = {"error": error.code, "error_description": error.public}
    challenge = {"www_authenticate": 'Basic realm="introspection"'} if error.code == "invalid_client" else {}
    return _json(_STATUS.get(error.code, 400), told, **challenge)
