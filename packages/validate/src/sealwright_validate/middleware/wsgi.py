"""WSGI middleware: a request reaches the application with a verified token or not at all (PEP 3333).

May never let a request through that it does not understand, and may never put a private detail into an
answer.
"""

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from sealwright_validate.errors import Refused
from sealwright_validate.expect import Expect
from sealwright_validate.guard import Guard, Request
from sealwright_validate.possession import certificate_from_header
from sealwright_validate.validate import Validator

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

_LOG: Final = logging.getLogger("sealwright_validate")


class SealwrightWsgiMiddleware:
    """Wraps a WSGI application. The verified token is in `environ["sealwright"]`.

    `public_paths` are exact paths that need no token; nothing is public by prefix. `origin` and
    `certificate_header` are as with `Guard`.
    """

    def __init__(
        self,
        app: App,
        *,
        validator: Validator,
        expect: Expect,
        public_paths: Iterable[str] = (),
        origin: str | None = None,
        certificate_header: str | None = None,
    ) -> None:
        self._app = app
        self._guard = Guard(validator, expect, origin=origin, certificate_header=certificate_header)
        self._public = frozenset(public_paths)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request."""
        environ.pop("sealwright", None)
        if environ.get("PATH_INFO", "") in self._public:
            return self._app(environ, start_response)
        try:
            environ["sealwright"] = self._guard.admit(request_of(environ, self._guard.certificate_header))
        except Refused as refusal:
            _LOG.info("refused: %s", refusal)
            answer = self._guard.answer(refusal)
            status = HTTPStatus(answer.status)
            start_response(
                f"{status.value} {status.phrase}",
                [*answer.headers, ("Content-Length", str(len(answer.body)))],
            )
            return [answer.body]
        return self._app(environ, start_response)


def request_of(environ: Environ, certificate_header: str | None) -> Request:
    """What a guard needs of a WSGI request. A server joins repeated headers with commas: such a token is
    malformed.
    """

    def values(name: str) -> tuple[str, ...]:
        value = environ.get("HTTP_" + name.upper().replace("-", "_"))
        return (value,) if value is not None else ()

    path = quote(
        environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
        safe="/:@!$&'()*+,;=~",
        encoding="latin-1",
    )
    certificate = environ.get("SSL_CLIENT_CERT")  # the server's own variable: no client header has this name
    return Request(
        method=environ.get("REQUEST_METHOD", "GET"),
        path=path,
        authorization=values("Authorization"),
        dpop=values("DPoP"),
        certificate_headers=values(certificate_header) if certificate_header else (),
        certificate=certificate_from_header(certificate) if certificate else None,
        receipts=values("Sealwright-Receipt"),
    )
