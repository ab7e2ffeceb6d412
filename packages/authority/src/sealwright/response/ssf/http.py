"""Routes of the transmitter (SSF 1.0): metadata, JWKS, stream management, status, verification, polling.

The only file of the transmitter that knows status codes. A stream that belongs to another receiver does not
exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.errors import Refused, Unavailable
from sealwright.response.ssf.model import POLL, PUSH, SUPPORTED, Asked, Status, Stream
from sealwright.response.ssf.ports import ReceiverAuth, SetSigner
from sealwright.response.ssf.rules import MIN_VERIFICATION_INTERVAL
from sealwright.response.ssf.service import POLL_MAX, Transmitter

MAX_BODY = 65_536
MANAGE, READ = "ssf.manage", "ssf.read"
_STATUS = {
    "invalid_token": 401,
    "invalid_client": 401,
    "insufficient_scope": 403,
    "unknown_stream": 404,
    "too_many_streams": 409,
}
T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]
Name = Annotated[str, Meta(max_length=256)]


class _StatusAsked(msgspec.Struct, frozen=True):
    stream_id: Name
    status: Status
    reason: Annotated[str, Meta(max_length=1_024)] = ""


class _VerificationAsked(msgspec.Struct, frozen=True):
    stream_id: Name
    state: Annotated[str, Meta(max_length=1_024)] | None = None


class _SetError(msgspec.Struct, frozen=True):
    err: Name
    description: Annotated[str, Meta(max_length=4_096)] = ""


class _Poll(msgspec.Struct, frozen=True, rename="camel"):
    max_events: Annotated[int, Meta(ge=0)] = POLL_MAX
    return_immediately: bool = False
    ack: Annotated[tuple[Name, ...], Meta(max_length=1_000)] = ()
    set_errs: Annotated[dict[Name, _SetError], Meta(max_length=1_000)] = msgspec.field(default_factory=dict)


def routes(transmitter: Transmitter, signer: SetSigner, auth: ReceiverAuth, base: str) -> list[Route]:
    """Everything a receiver talks to.

    Args:
        transmitter: the service.
        signer: whose public key is published.
        auth: knows receivers.
        base: public URL of the authority, without a trailing slash.
    """
    public, managed = _Public(transmitter, signer, base), _Managed(transmitter, auth, base)
    metadata = f"/.well-known/ssf-configuration{urlsplit(transmitter.issuer).path.rstrip('/')}"
    return [
        Route(metadata, public.configuration, methods=["GET"]),
        Route("/ssf/jwks.json", public.jwks, methods=["GET"]),
        Route("/ssf/stream", _told(managed.stream), methods=["GET", "POST", "PATCH", "PUT", "DELETE"]),
        Route("/ssf/status", _told(managed.status), methods=["GET", "POST"]),
        Route("/ssf/verify", _told(managed.verify), methods=["POST"]),
        Route("/ssf/poll/{stream_id}", _told(managed.poll), methods=["POST"]),
    ]


class _Public:
    def __init__(self, transmitter: Transmitter, signer: SetSigner, base: str) -> None:
        self._transmitter = transmitter
        self._signer = signer
        self._base = base

    async def configuration(self, _request: Request) -> Response:
        base = self._base
        metadata = {
            "spec_version": "1_0",
            "issuer": self._transmitter.issuer,
            "jwks_uri": f"{base}/ssf/jwks.json",
            "delivery_methods_supported": [PUSH, POLL],
            "configuration_endpoint": f"{base}/ssf/stream",
            "status_endpoint": f"{base}/ssf/status",
            "verification_endpoint": f"{base}/ssf/verify",
            "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}, {"spec_urn": "urn:ietf:rfc:7617"}],
            "default_subjects": "ALL",
        }
        return _json(metadata, 200, {"Cache-Control": "public, max-age=300"})

    async def jwks(self, _request: Request) -> Response:
        return _json(self._signer.jwks(), 200, {"Cache-Control": "public, max-age=60"})


class _Managed:
    def __init__(self, transmitter: Transmitter, auth: ReceiverAuth, base: str) -> None:
        self._transmitter = transmitter
        self._auth = auth
        self._base = base

    async def stream(self, request: Request) -> Response:
        """SSF 1.0 section 8.1.1."""
        receiver = await self._receiver(request, READ if request.method == "GET" else MANAGE)
        named = request.query_params.get("stream_id")
        if request.method == "GET":
            if named is None:
                streams = await self._transmitter.streams_of(receiver)
                return _json([self._shown(stream) for stream in streams], 200)
            return _json(self._shown(await self._transmitter.stream(receiver, named)), 200)
        if request.method == "DELETE":
            await self._transmitter.delete(receiver, named)
            return Response(status_code=204)
        asked = await _parsed(request, Asked)
        if request.method == "POST":
            return _json(self._shown(await self._transmitter.create(receiver, asked)), 201)
        changed = await self._transmitter.change(receiver, asked, whole=request.method == "PUT")
        return _json(self._shown(changed), 200)

    async def status(self, request: Request) -> Response:
        """SSF 1.0 section 8.1.2."""
        if request.method == "GET":
            receiver = await self._receiver(request, READ)
            stream = await self._transmitter.stream(receiver, request.query_params.get("stream_id"))
        else:
            receiver = await self._receiver(request, MANAGE)
            asked = await _parsed(request, _StatusAsked)
            stream = await self._transmitter.set_status(receiver, asked.stream_id, asked.status, asked.reason)
        told = {"stream_id": stream.stream_id, "status": stream.status}
        return _json({**told, "reason": stream.reason} if stream.reason else told, 200)

    async def verify(self, request: Request) -> Response:
        """SSF 1.0 section 8.1.4."""
        receiver = await self._receiver(request, MANAGE)
        asked = await _parsed(request, _VerificationAsked)
        await self._transmitter.verify(receiver, asked.stream_id, asked.state)
        return Response(status_code=204)

    async def poll(self, request: Request) -> Response:
        """RFC 8936 section 2."""
        receiver = await self._receiver(request, READ)
        asked = await _parsed(request, _Poll)
        sets, more = await self._transmitter.poll(
            receiver,
            request.path_params["stream_id"],
            asked.ack,
            {jti: error.err for jti, error in asked.set_errs.items()},
            asked.max_events,
            wait=not asked.return_immediately,
        )
        return _json({"sets": sets, "moreAvailable": more}, 200)

    async def _receiver(self, request: Request, scope: str) -> str:
        return await self._auth.receiver(request.headers.get("authorization"), scope)

    def _shown(self, stream: Stream) -> dict[str, Any]:
        delivery: dict[str, str] = {"method": stream.delivery.method}
        if stream.delivery.method == POLL:
            delivery["endpoint_url"] = f"{self._base}/ssf/poll/{stream.stream_id}"
        elif stream.delivery.endpoint_url:
            delivery["endpoint_url"] = stream.delivery.endpoint_url
        return {
            "stream_id": stream.stream_id,
            "iss": self._transmitter.issuer,
            "aud": stream.aud,
            "events_supported": SUPPORTED,
            "events_requested": stream.events_requested or SUPPORTED,
            "events_delivered": stream.delivered,
            "delivery": delivery,
            "min_verification_interval": MIN_VERIFICATION_INTERVAL,
            **({"description": stream.description} if stream.description else {}),
        }


def _told(handler: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as error:
            headers = {"WWW-Authenticate": f'Bearer error="{error.code}"'} if error.code in _BEARER else {}
            return _json(
                {"err": error.code, "description": error.public}, _STATUS.get(error.code, 400), headers
            )
        except Unavailable as error:
            status = 429 if error.code == "too_frequent" else 503
            retry = {"Retry-After": str(MIN_VERIFICATION_INTERVAL)}
            return _json({"err": error.code, "description": error.public}, status, retry)

    return handle


_BEARER = frozenset({"invalid_token", "insufficient_scope"})


async def _parsed(request: Request, kind: type[T]) -> T:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused("invalid_request", f"A request has at most {MAX_BODY} bytes.")
    try:
        return msgspec.json.decode(bytes(body), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("invalid_request", f"The request cannot be read: {error}") from error


def _json(content: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    told = {"Cache-Control": "no-store", **(headers or {})}
    return Response(msgspec.json.encode(content), status, told, "application/json")
