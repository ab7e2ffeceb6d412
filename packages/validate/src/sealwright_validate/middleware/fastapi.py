"""A FastAPI dependency: the path operation gets the verified token, or the request is refused.

    require_token = token_dependency(validator, Expect(audience="https://mail.example", realm="enterprise"))

    @app.get("/inbox")
    async def inbox(token: Annotated[VerifiedToken, Depends(require_token)]) -> ...: ...

Imports FastAPI when it is used. May never return anything for a request that was refused.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from sealwright_validate.errors import Refused
from sealwright_validate.expect import Expect
from sealwright_validate.guard import Guard
from sealwright_validate.middleware.asgi import request_of
from sealwright_validate.token import VerifiedToken
from sealwright_validate.validate import Validator


def token_dependency(
    validator: Validator, expect: Expect, *, origin: str | None = None, certificate_header: str | None = None
) -> Callable[..., Awaitable[VerifiedToken]]:
    """A dependency for `Depends`. It also shows the bearer scheme in the API's documentation.

    `origin` and `certificate_header` are as with `Guard`.
    """
    from fastapi import Depends, HTTPException, Request
    from fastapi.security import HTTPBearer

    guard = Guard(validator, expect, origin=origin, certificate_header=certificate_header)
    shown = Depends(HTTPBearer(auto_error=False))

    async def require_token(request: Request, _scheme: Any = shown) -> VerifiedToken:
        try:
            return await guard.admit_async(request_of(request.scope, certificate_header))
        except Refused as refusal:
            answer = guard.answer(refusal)
            raise HTTPException(
                answer.status,
                {"reason": refusal.reason.value, "message": refusal.public},
                {name: value for name, value in answer.headers if name != "Content-Type"},
            ) from None

    return require_token
