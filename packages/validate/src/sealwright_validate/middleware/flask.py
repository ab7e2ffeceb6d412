"""A Flask decorator: the view runs with a verified token in `g.sealwright`, or the request is refused.

    require_token = token_required(validator, Expect(audience="https://mail.example", realm="enterprise"))

    @app.get("/inbox")
    @require_token
    def inbox(): return g.sealwright.subject

Imports Flask when it is used. May never call a view for a request that was refused.
"""

from collections.abc import Callable
from functools import wraps
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
    from flask import Response, g, request

    guard = Guard(validator, expect, origin=origin, certificate_header=certificate_header)

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*positional: Any, **named: Any) -> Any:
            try:
                g.sealwright = guard.admit(request_of(request.environ, certificate_header))
            except Refused as refusal:
                answer = guard.answer(refusal)
                return Response(answer.body, answer.status, list(answer.headers))
            return view(*positional, **named)

        return guarded

    return decorate
