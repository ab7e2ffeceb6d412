"""The mail API guarded by `sealwright_validate`, as its README says to do it.

Reports what it sees to the authority. May never hold a key of the authority: it pins the public root.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request

from sealwright.config import Config
from sealwright.demo.clients import MAIL_API, REALM, read_credentials
from sealwright.demo.mail import HEALTH, mail_app, mail_routes
from sealwright_validate import Expect, Report, Trust, Validator
from sealwright_validate.middleware.asgi import SealwrightMiddleware

GUARD = "sealwright_validate"


def guarded_app(config: Config) -> SealwrightMiddleware:
    """The guarded mail API of the enterprise realm. Its observations go to the authority in the background.

    Raises:
        Misconfigured: root or credentials are missing: they are made by `sealwright up`.
    """
    state = config.state.path
    folder = state / "demo"
    mine = read_credentials(folder, MAIL_API)
    trust = Trust.sealwright(
        config.server.url, root=state / "trust" / "root.json", state_file=folder / "mail-api.trust.json"
    )
    report = Report(mine.client_id, mine.client_secret, name="mail-api", spool=Path(folder / "spool"))
    validator = Validator(trust=trust, report=report)
    expect = Expect(audience=config.realms[REALM].audiences[0], realm=REALM, scopes="mail.read")

    def health() -> dict[str, Any]:
        return validator.health().as_dict()

    routes = mail_routes(GUARD, _reader, health)
    return SealwrightMiddleware(mail_app(routes), validator=validator, expect=expect, public_paths=[HEALTH])


def _reader(request: Request) -> str:
    return str(request.scope["sealwright"].claims["client_id"])
