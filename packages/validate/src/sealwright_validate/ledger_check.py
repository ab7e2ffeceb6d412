"""The strict check: asks the ledger whether a token was issued, before it is accepted.

Fails closed: no answer, a slow answer and an odd answer all refuse. May never remember an answer.
"""

import json
from typing import Final

from sealwright_validate.clock import Clock
from sealwright_validate.encoding import decode_json_object
from sealwright_validate.errors import Reason, Refused, Unavailable

_OK: Final = 200
_MAX_JTI: Final = 512


class LedgerCheck:
    """Asks `POST /ledger/check` of one Sealwright. Safe to use from several threads."""

    def __init__(self, url: str, *, clock: Clock, timeout: float = 2.0) -> None:
        from sealwright_validate.fetch import Origin

        self._origin = Origin(url, timeout=timeout, clock=clock)

    def require_issued(self, jti: str, digest: str, kid: str) -> None:
        """Return only if the ledger says that exactly this token was issued; at most `timeout` seconds."""
        question = json.dumps({"jti": jti[:_MAX_JTI], "digest": digest, "kid": kid}).encode()
        try:
            answer = self._origin.post("/ledger/check", question)
            said = decode_json_object(answer.body)
        except (Unavailable, Refused) as error:
            raise Refused(Reason.LEDGER_UNAVAILABLE, str(error)) from None
        if answer.status != _OK:
            raise Refused(Reason.LEDGER_UNAVAILABLE, f"the ledger answered {answer.status}")
        issued, why = said.get("issued"), said.get("reason")
        if issued is True:
            return
        if issued is not False:
            raise Refused(Reason.LEDGER_UNAVAILABLE, "the ledger's answer cannot be understood")
        if why == "revoked":
            raise Refused(Reason.TOKEN_REVOKED, f"jti {jti!r:.80}")
        raise Refused(Reason.NEVER_ISSUED, f"{why!r:.40} for jti {jti!r:.80}")

    def close(self) -> None:
        """Close idle connections."""
        self._origin.close()

    def forget(self) -> None:
        """After a fork: leave the connections to the parent."""
        self._origin.forget()
