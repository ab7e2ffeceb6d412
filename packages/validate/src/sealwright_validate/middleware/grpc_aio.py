"""The interceptor for `grpc.aio`: a call reaches its method with a verified token, or ends with a status.

    server = grpc.aio.server(interceptors=[token_interceptor(validator, expect)])
    ... inside a method: current_token().subject

The same contract as middleware/grpc.py. May never block the event loop, nor call a method for a call that was
refused.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from sealwright_validate.errors import Refused
from sealwright_validate.expect import Expect
from sealwright_validate.guard import credentials
from sealwright_validate.middleware.grpc import CURRENT, KINDS, client_certificate, current_token, status_of
from sealwright_validate.possession import Presented
from sealwright_validate.validate import Validator

__all__ = ["current_token", "token_interceptor"]


def token_interceptor(validator: Validator, expect: Expect, *, public_methods: Iterable[str] = ()) -> Any:
    """An interceptor for `grpc.aio.server`; `public_methods` are full names that need no token."""
    import grpc.aio

    public = frozenset(public_methods)

    class Interceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc, unused-ignore] # gRPC asks for its own class
        async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
            handler = await continuation(details)
            if handler is None or details.method in public:
                return handler
            kind = next(kind for kind in KINDS if getattr(handler, kind) is not None)
            guard = _guard_stream if kind.endswith("stream") else _guard_unary
            guarded = partial(guard, partial(_admit, validator, expect), getattr(handler, kind))
            return handler._replace(**{kind: guarded})

    return Interceptor()


Admit = Callable[[Any], Awaitable[None]]


async def _guard_unary(admit: Admit, method: Callable[..., Any], message: Any, context: Any) -> Any:
    await admit(context)
    return await method(message, context)


async def _guard_stream(
    admit: Admit, method: Callable[..., Any], message: Any, context: Any
) -> AsyncIterator[Any]:
    await admit(context)
    async for answer in method(message, context):
        yield answer


async def _admit(validator: Validator, expect: Expect, context: Any) -> None:
    """Every call has a task of its own, so the token that is set here is the call's alone."""
    try:
        sent = [str(value) for name, value in context.invocation_metadata() or () if name == "authorization"]
        scheme, token = credentials(sent)
        presented = Presented(scheme=scheme, certificate=client_certificate(context))
        CURRENT.set(await validator.validate_async(token, expect, presented))
    except Refused as refusal:
        await context.abort(status_of(refusal.reason), f"{refusal.reason}: {refusal.public}")
