"""A Django decorator: the view runs with a verified token in `request.sealwright`, or the request is refused.

    require_token = token_required(validator, Expect(audience="https://mail.example", realm="enterprise"))

    @require_token
    def inbox(request): return HttpResponse(request.sealwright.subject)

Imports Django when it is used; works for synchronous and for asynchronous views. May never call a view for a
request that was refused.
"""

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from sealwright_validate.errors import Refused
from sealwright_validate.expect import Expect
from sealwright_validate.guard import Guard
from sealwright_validate.middleware.wsgi import request_of
from sealwright_validate.validate import Validator

View = Callable[..., Any]


def token_required(
    validator: Validator, expect: Expect, *, origin: str | None = None, certificate_header: str | None = None
) -> Callable[[View], View]:
    """A decorator for views. `origin` and `certificate_header` are as with `Guard`."""
    guard = Guard(validator, expect, origin=origin, certificate_header=certificate_header)

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: Any, *positional: Any, **named: Any) -> Any:
            try:
                request.sealwright = guard.admit(request_of(request.META, certificate_header))
            except Refused as refusal:
                return _refusal(guard, refusal)
            return view(request, *positional, **named)

        @wraps(view)
        async def guarded_async(request: Any, *positional: Any, **named: Any) -> Any:
            try:
                request.sealwright = await guard.admit_async(request_of(request.META, certificate_header))
            except Refused as refusal:
                return _refusal(guard, refusal)
            return await view(request, *positional, **named)

        return guarded_async if iscoroutinefunction(view) else guarded

    return decorate


def _refusal(guard: Guard, refusal: Refused) -> Any:
    from django.http import HttpResponse  # type: ignore[import-untyped]

    answer = guard.answer(refusal)
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
