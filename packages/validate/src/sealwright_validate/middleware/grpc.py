"""A gRPC server interceptor: a call reaches its method with a verified token, or ends with a status.

    server = grpc.server(executor, interceptors=[token_interceptor(validator, expect)])
    ... inside a method: current_token().subject

Imports gRPC when it is used. The token comes in the metadata `authorization`, once. DPoP is for HTTP;
certificate-bound tokens are checked against the certificate of the channel. May never call a method for a
call that was refused.
"""

from base64 import b64decode
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, Protocol

from sealwright_validate.challenge import NOT_THE_TOKEN
from sealwright_validate.errors import Reason, Refused
from sealwright_validate.expect import Expect
from sealwright_validate.guard import credentials
from sealwright_validate.possession import Presented
from sealwright_validate.token import VerifiedToken
from sealwright_validate.validate import Validator

CURRENT: Final[ContextVar[VerifiedToken]] = ContextVar("sealwright_token")
KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
_PEM_LINES: Final = "-----"
Method = Callable[[Any, Any], Any]


class Context(Protocol):
    """What is used of a `grpc.ServicerContext`."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]]:
        """What the client sent beside the message."""

    def auth_context(self) -> Any:
        """What the transport knows of the client."""

    def abort(self, code: Any, details: str) -> Any:
        """End the call; raises."""


def current_token() -> VerifiedToken:
    """The verified token of the call that is being handled; LookupError outside of one."""
    return CURRENT.get()


def token_interceptor(validator: Validator, expect: Expect, *, public_methods: Iterable[str] = ()) -> Any:
    """An interceptor for `grpc.server`. `public_methods` are full names that need no token, such as a health
    check.
    """
    return _Interceptor(validator, expect, frozenset(public_methods))


class _Interceptor:
    def __init__(self, validator: Validator, expect: Expect, public: frozenset[str]) -> None:
        self._validator = validator
        self._expect = expect
        self._public = public

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Wrap the handler of a method (grpc.ServerInterceptor)."""
        handler = continuation(details)
        if handler is None or details.method in self._public:
            return handler
        kind = next(kind for kind in KINDS if getattr(handler, kind) is not None)
        guard = self._guard_stream if kind.endswith("stream") else self._guard_unary
        return handler._replace(**{kind: partial(guard, getattr(handler, kind))})

    def _guard_unary(self, method: Method, message: Any, context: Context) -> Any:
        marked = CURRENT.set(self._admit(context))
        try:
            return method(message, context)
        finally:
            CURRENT.reset(marked)

    def _guard_stream(self, method: Method, message: Any, context: Context) -> Any:
        verified = self._admit(context)
        answers = iter(_with_token(verified, partial(method, message, context)))
        while True:
            try:
                yield _with_token(verified, partial(next, answers))
            except StopIteration:
                return

    def _admit(self, context: Context) -> VerifiedToken:
        try:
            sent = [str(value) for name, value in context.invocation_metadata() if name == "authorization"]
            scheme, token = credentials(sent)
            presented = Presented(scheme=scheme, certificate=client_certificate(context))
            return self._validator.validate(token, self._expect, presented)
        except Refused as refusal:
            context.abort(status_of(refusal.reason), f"{refusal.reason}: {refusal.public}")
            raise


def _with_token(verified: VerifiedToken, do: Callable[[], Any]) -> Any:
    """Streams are resumed by gRPC in whatever context: the token is set for each step."""
    marked = CURRENT.set(verified)
    try:
        return do()
    finally:
        CURRENT.reset(marked)


def status_of(reason: Reason) -> Any:
    """The status that a refusal ends a call with."""
    import grpc

    if reason is Reason.SCOPE_INSUFFICIENT:
        return grpc.StatusCode.PERMISSION_DENIED
    return grpc.StatusCode.UNAVAILABLE if reason in NOT_THE_TOKEN else grpc.StatusCode.UNAUTHENTICATED


def client_certificate(context: Context) -> bytes | None:
    """The client's certificate of a mutual TLS channel, in DER."""
    pem = dict(context.auth_context()).get("x509_pem_cert", [b""])[0].decode("ascii", "replace")
    body = "".join(line for line in pem.splitlines() if not line.startswith(_PEM_LINES))
    return b64decode(body) if body else None
