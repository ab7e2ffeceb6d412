"""The authority validates what it issues with the validator that relying parties install.

A token that our own validator refuses never leaves; it is an incident. The trust is fed with each manifest
as it is published, from the pinned root on disk, never from the keys room directly.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from sealwright.clock import Clock
from sealwright.detection.introspection import Shown
from sealwright.errors import Refused as RefusedHere
from sealwright.errors import Unavailable
from sealwright.ledger.service import Ledger
from sealwright_validate import Expect, Reason, Trust, Validator
from sealwright_validate import Refused as ValidatorRefused
from sealwright_validate import Unavailable as ValidatorUnavailable

log = logging.getLogger(__name__)


class _ValidatorClock:
    """The authority's clock in the form that the validator wants."""

    def __init__(self, clock: Clock) -> None:
        self.wall = self.monotonic = clock.now


class SelfCheck:
    """Validates tokens against the manifest that is published."""

    def __init__(self, root: Path, clock: Clock, ledger: Ledger | None = None) -> None:
        self._ledger = ledger
        self._trust = Trust.fed(root=root, clock=_ValidatorClock(clock))
        self._validator = Validator(trust=self._trust)
        self._expected: dict[tuple[str, str], Expect] = {}

    def feed(self, document: bytes) -> None:
        """Take in the manifest that is about to be served; one that validators would refuse is an
        incident.
        """
        try:
            self._trust.feed(document)
        except ValidatorRefused as error:
            log.critical("own manifest refused", extra={"facts": {"reason": str(error)}})
            raise Unavailable("own_manifest_refused", "the manifest does not verify", str(error)) from error

    def require_valid(self, token: str, realm: str, audience: str) -> None:
        """Refuse to release a token that relying parties would refuse.

        Raises:
            Unavailable: `own_token_refused`.
        """
        expect = self._expected.get((realm, audience))
        if expect is None:
            expect = self._expected[realm, audience] = Expect(audience=audience, realm=realm)
        try:
            self._validator.validate(token, expect)
        except ValidatorRefused as error:
            if error.reason is Reason.LEDGER_UNAVAILABLE:
                return  # a strict realm: all else holds, and the leaf is durable by our own commit
            self._refuse(realm, error)
        except ValidatorUnavailable as error:
            self._refuse(realm, error)

    def claims(self, unverified_token: str, expect: Expect) -> Mapping[str, Any]:
        """The claims of a token of ours that somebody shows us. Raises the validator's errors.

        In a strict realm the validator wants the ledger's word; here the ledger is our own.
        """
        try:
            return self._validator.validate(unverified_token, expect).claims
        except ValidatorRefused as error:
            if error.reason is not Reason.LEDGER_UNAVAILABLE:
                raise
            return self._known(unverified_token, error)

    def shown(self, unverified_token: str, realm: str, audiences: tuple[str, ...]) -> Shown:
        """See `detection.introspection.TokenReader`."""
        if not audiences:
            raise RefusedHere("invalid_token", "the caller is registered for no audience")
        try:
            claims = self.claims(unverified_token, Expect(audience=audiences, realm=realm))
        except ValidatorRefused as error:
            raise RefusedHere("invalid_token", "the token is not active", str(error)) from error
        except ValidatorUnavailable as error:
            raise Unavailable("no_keys", "tokens cannot be validated now", str(error)) from error
        signing_input = unverified_token.rpartition(".")[0]
        kid = _decoded(signing_input.partition(".")[0])["kid"]
        return Shown(claims, kid, hashlib.sha256(signing_input.encode()).hexdigest())

    def _known(self, token: str, error: ValidatorRefused) -> Mapping[str, Any]:
        """Everything about the token holds but that the ledger was not asked."""
        signing_input = token.rpartition(".")[0]
        header, claims = (_decoded(part) for part in signing_input.split("."))
        digest = hashlib.sha256(signing_input.encode()).hexdigest()
        if (
            self._ledger is None
            or self._ledger.check(claims["jti"], digest, header["kid"]).reason is not None
        ):
            raise error
        return claims

    @staticmethod
    def _refuse(realm: str, error: Exception) -> NoReturn:
        log.critical("own token refused", extra={"facts": {"realm": realm, "reason": str(error)}})
        raise Unavailable("own_token_refused", "the token does not verify", str(error)) from error


def _decoded(part: str) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return members
