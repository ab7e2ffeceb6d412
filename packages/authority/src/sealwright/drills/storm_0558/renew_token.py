"""Step 4, the renewal flaw of 2023: show a token, get another. Refused at every grant and every endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

from sealwright.drills.model import Control, Finding
from sealwright.drills.sandbox import Sandbox

STEP = "4-renew"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
URN = "urn:ietf:params:oauth:"
NONE_ISSUED = "no token at any grant or endpoint"


def _forms(token: str) -> dict[str, dict[str, str]]:
    exchange = {
        "grant_type": f"{URN}grant-type:token-exchange",
        "subject_token": token,
        "subject_token_type": f"{URN}token-type:access_token",
    }
    return {
        "token exchange": exchange,
        "JWT bearer grant": {"grant_type": f"{URN}grant-type:jwt-bearer", "assertion": token},
        "refresh": {"grant_type": "refresh_token", "refresh_token": token},
        "code": {"grant_type": "authorization_code", "code": token},
        "client assertion": {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION,
            "client_assertion": token,
        },
        "client secret": {"grant_type": "client_credentials", "client_id": "app", "client_secret": token},
    }


def run(sandbox: Sandbox) -> Iterator[Finding]:
    """Try every grant as the registered client and as nobody, and the token as a credential."""
    token = sandbox.token("enterprise")
    issued = []
    for name, form in _forms(token).items():
        for realm in sandbox.config.realms:
            answers = [
                sandbox.ask_token(realm, urlencode(form)),
                sandbox.ask_token(realm, urlencode(form), Authorization=f"Bearer {token}"),
            ]
            issued += [f"{name} in {realm}" for answer in answers if _has_token(answer.body)]
    for realm in sandbox.config.realms:
        answer = sandbox.ask_token(realm, Authorization=f"Bearer {token}")
        issued += [f"bearer credential in {realm}" for _ in [0] if _has_token(answer.body)]
    attack = "show an access token to get another: exchange, bearer, refresh, code, assertion, secret"
    observed = NONE_ISSUED if not issued else "a token by " + ", ".join(sorted(set(issued)))
    yield Finding(STEP, attack, Control.NO_TOKEN_FOR_TOKEN, NONE_ISSUED, observed, held=not issued)


def _has_token(body: object) -> bool:
    return isinstance(body, dict) and "access_token" in body
