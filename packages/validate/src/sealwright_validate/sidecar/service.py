"""Answers proxies: may this request pass, and whose is it.

An accepted request is answered 200 with the facts of the token in headers, encoded so that no claim can break
out of its header. May never answer 200 for anything but a verified token.
"""

import json
import logging
from collections import Counter
from typing import Final
from urllib.parse import quote

from sealwright_validate.encoding import encode_base64url
from sealwright_validate.errors import Refused
from sealwright_validate.guard import Guard
from sealwright_validate.sidecar.adapters import Asked, asked_of, guard_request, status_for
from sealwright_validate.sidecar.settings import Settings
from sealwright_validate.sidecar.wire import HttpAnswer, HttpRequest
from sealwright_validate.token import VerifiedToken
from sealwright_validate.validate import Validator

_LOG: Final = logging.getLogger("sealwright_validate")
_MAX_CLAIMS: Final = 6000  # characters of the claims header: proxies bound header sizes
_SAFE: Final = "/:@!$&'()*+,;=~ "
_TEXT: Final = (("Content-Type", "text/plain; version=0.0.4"),)
_JSON: Final = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))


class Service:
    """One validator and a guard for each policy."""

    def __init__(self, settings: Settings) -> None:
        self.validator: Final = Validator(
            trust=settings.trust,
            mode=settings.mode,
            skew=settings.skew,
            report=settings.report,
            cache_size=settings.cache_size,
        )
        self._guards = {
            name: Guard(
                self.validator,
                policy.expect,
                origin=policy.origin,
                certificate_header=policy.certificate_header,
            )
            for name, policy in settings.policies.items()
        }
        self._verdicts: Counter[tuple[str, str]] = Counter()

    async def handle(self, request: HttpRequest) -> HttpAnswer:
        """Answer one request of a proxy."""
        asked = asked_of(request)
        if asked is not None:
            guard = self._guards.get(asked.policy)
            if guard is not None:
                return await self._judge(guard, asked, request)
            _LOG.error("a proxy asks for policy %r, which is not configured", asked.policy)
            return HttpAnswer(403, _JSON, b'{"error":"no such policy"}')
        if request.target == "/health":
            health = self.validator.health()
            body = json.dumps(health.as_dict()).encode()
            return HttpAnswer(200 if health.ready else 503, _JSON, body)
        if request.target == "/metrics":
            return HttpAnswer(200, _TEXT, self._metrics().encode())
        return HttpAnswer(404, _JSON, b'{"error":"no such path"}')

    async def _judge(self, guard: Guard, asked: Asked, request: HttpRequest) -> HttpAnswer:
        try:
            verified = await guard.admit_async(guard_request(request, asked, guard.certificate_header))
        except Refused as refusal:
            self._verdicts[asked.policy, refusal.reason.value] += 1
            _LOG.info("refused for %s: %s", asked.policy, refusal)
            answer = guard.answer(refusal)
            return HttpAnswer(status_for(asked.adapter, answer), answer.headers, answer.body)
        self._verdicts[asked.policy, "accepted"] += 1
        return HttpAnswer(200, facts_of(verified))

    def _metrics(self) -> str:
        lines = ["# TYPE sealwright_validate_verdicts_total counter"]
        for (policy, verdict), count in sorted(self._verdicts.items()):
            lines.append(
                f'sealwright_validate_verdicts_total{{policy="{policy}",verdict="{verdict}"}} {count}'
            )
        health = self.validator.health()
        lines += ["# TYPE sealwright_validate_ready gauge", f"sealwright_validate_ready {int(health.ready)}"]
        if health.manifest_age is not None:
            lines += [
                "# TYPE sealwright_validate_manifest_age_seconds gauge",
                f"sealwright_validate_manifest_age_seconds {health.manifest_age:.3f}",
            ]
        return "\n".join(lines) + "\n"


def facts_of(verified: VerifiedToken) -> tuple[tuple[str, str], ...]:
    """Headers about an accepted token. Texts are percent-encoded UTF-8; the claims are base64url of their
    JSON.
    """
    claims = encode_base64url(json.dumps(verified.to_dict(), separators=(",", ":")).encode())
    facts = [
        ("X-Sealwright-Subject", _encoded(verified.subject)),
        ("X-Sealwright-Client", _encoded(verified.client_id)),
        ("X-Sealwright-Scope", _encoded(" ".join(sorted(verified.scopes)))),
        ("X-Sealwright-Realm", _encoded(verified.realm)),
        ("X-Sealwright-Digest", verified.digest),
    ]
    if len(claims) <= _MAX_CLAIMS:
        facts.append(("X-Sealwright-Claims", claims))
    return tuple(facts)


def _encoded(text: str) -> str:
    return quote(text, safe=_SAFE)
