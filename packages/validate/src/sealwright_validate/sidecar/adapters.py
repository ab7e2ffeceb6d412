"""How each proxy says what the client asked for, and which answers it understands.

| path | proxy | method and address of the request come from |
|---|---|---|
| `/auth_request/POLICY` | NGINX | `X-Original-Method`, `X-Original-URI`, which the proxy sets |
| `/forward_auth/POLICY` | Traefik | `X-Forwarded-Method`, `X-Forwarded-Uri`, which the proxy sets |
| `/ext_authz/POLICY/…` | Envoy | the request itself: Envoy repeats method and path behind its prefix |

May never take them from a header that another proxy would set: a client could have sent that one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sealwright_validate.challenge import Challenge
from sealwright_validate.guard import Request
from sealwright_validate.sidecar.wire import HttpRequest

Told = tuple[str, str]  # method and path of the client's request


@dataclass(frozen=True, slots=True)
class Adapter:
    """One kind of proxy. `told` finds method and path; `statuses` are the refusals that it understands."""

    told: Callable[[HttpRequest, str], Told]
    statuses: frozenset[int]
    otherwise: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What a proxy asks: by which policy, and about what request."""

    adapter: Adapter
    policy: str
    method: str
    path: str


def _by_headers(method: str, uri: str) -> Callable[[HttpRequest, str], Told]:
    def told(request: HttpRequest, _rest: str) -> Told:
        methods, uris = request.values(method), request.values(uri)
        return (methods[0] if len(methods) == 1 else "", uris[0] if len(uris) == 1 else "")

    return told


def _by_itself(request: HttpRequest, rest: str) -> Told:
    return request.method, f"/{rest}"


ADAPTERS: Final = {
    # NGINX turns any other status of a subrequest into a 500, which refuses as well but blames the proxy.
    "auth_request": Adapter(_by_headers("x-original-method", "x-original-uri"), frozenset((401, 403)), 401),
    "forward_auth": Adapter(
        _by_headers("x-forwarded-method", "x-forwarded-uri"), frozenset((400, 401, 403, 503)), 401
    ),
    "ext_authz": Adapter(_by_itself, frozenset((400, 401, 403, 503)), 401),
}


def asked_of(request: HttpRequest) -> Asked | None:
    """What the proxy asks, None if the path is none of ours."""
    kind, _, rest = request.target.removeprefix("/").partition("/")
    adapter = ADAPTERS.get(kind)
    policy, _, rest = rest.partition("/")
    if adapter is None:
        return None
    method, path = adapter.told(request, rest)
    return Asked(adapter, policy.partition("?")[0], method, path)


def guard_request(request: HttpRequest, asked: Asked, certificate_header: str | None) -> Request:
    """The client's request, as a guard takes it. Without method or path no DPoP proof can be right."""
    certificates = request.values(certificate_header.lower()) if certificate_header else ()
    return Request(
        method=asked.method,
        path=asked.path,
        authorization=request.values("authorization"),
        dpop=request.values("dpop"),
        certificate_headers=tuple(value for value in certificates if value),
        receipts=request.values("sealwright-receipt"),
    )


def status_for(adapter: Adapter, answer: Challenge) -> int:
    """The status of a refusal in the words of the proxy; 503 stays what it is: nobody is to log in again for
    it.
    """
    if answer.status in adapter.statuses or answer.status == 503:  # noqa: PLR2004 - service unavailable
        return answer.status
    return adapter.otherwise
