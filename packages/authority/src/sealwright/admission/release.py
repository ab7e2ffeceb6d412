"""Attested release: a secret goes only to a process whose evidence the admission policy accepts, once.

What a signer needs before it can start (an HSM's PIN, a TLS key, a KMS credential) is encrypted to a key that
is hashed into that evidence, so whoever stands between the two can neither read it nor put a key of their own
in. May never answer twice to one nonce, release what was not written down first, or show a secret anywhere
else.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import sealwright_attest as attest
from sealwright.admission.attested import Appraise
from sealwright.admission.endorsements import Stored
from sealwright.clock import Clock
from sealwright.errors import Misconfigured, Refused
from sealwright.files import read_private, require_private
from sealwright_attest.release import MAX_PURPOSE

NONCE_BYTES = 32
NONCE_LIFE = 60.0
"""Seconds in which evidence for a nonce must be shown."""
MOST_OPEN = 64
"""Nonces that may be open at a time."""
EXPIRY_BYTES = 8


class Audit(Protocol):
    """Writes down, durably, before anything happens."""

    async def __call__(self, action: str, subject: str, details: dict[str, Any]) -> None:
        """Keep one entry."""
        ...


@dataclass(frozen=True, slots=True)
class Released:
    """HPKE's encapsulated key and ciphertext; when the lease ends (seconds since 1970), as is in it too."""

    sealed: bytes
    expires_at: int


class ReleaseDesk:
    """Gives out nonces, and a secret for each nonce at the most.

    Args:
        files: purpose to the file of the secret, which only its owner may read.
        policy: what evidence is appraised by; that of admission, as it is at the time.
        audit: writes down who got what.
        clock: the current time.
        lease: seconds that a released secret may be used.
        stored: endorsements that are kept here.
        appraise: the appraisal; another one than the shipped roots' in tests only.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        policy: Callable[[], attest.Policy],
        audit: Audit,
        clock: Clock,
        lease: int,
        *,
        stored: Stored = Stored(),  # noqa: B008 - a frozen value
        appraise: Appraise = attest.appraise,
    ) -> None:
        self._files = dict(files)
        self._policy = policy
        self._audit = audit
        self._clock = clock
        self._lease = lease
        self._stored = stored
        self._appraise = appraise
        self._open: dict[bytes, tuple[str, float]] = {}

    def nonce(self, purpose: str) -> bytes:
        """A nonce for one release.

        Raises:
            Refused: `unknown_purpose`, or `too_many_open`.
        """
        if purpose not in self._files:
            raise Refused("unknown_purpose", "nothing is released for this purpose")
        now = self._clock.now()
        self._open = {nonce: kept for nonce, kept in self._open.items() if kept[1] > now}
        if len(self._open) >= MOST_OPEN:
            raise Refused("too_many_open", "too many releases are under way; try again in a minute")
        nonce = secrets.token_bytes(NONCE_BYTES)
        self._open[nonce] = purpose, now + NONCE_LIFE
        return nonce

    async def redeem(self, nonce: bytes, unverified_bundle: bytes) -> Released:
        """The secret of the nonce's purpose, for the key that the evidence binds. The nonce is used up by
        this, whatever comes of it.

        Raises:
            Refused: `unknown_nonce`, `evidence_not_understood`, `evidence_refused` or `no_release_key`.
            Unavailable: it could not be written down; nothing was released.
        """
        purpose, until = self._open.pop(nonce, ("", 0.0))
        now = self._clock.now()
        if until <= now:
            raise Refused("unknown_nonce", "this nonce was not given out, is used up, or is too old")
        result = await asyncio.to_thread(self._appraised, nonce, unverified_bundle, now)
        expires_at = int(now) + self._lease
        told = {"evidence": result.evidence_hash, "level": str(result.level), "policy": result.policy_hash}
        await self._audit("release_secret", purpose, {**told, "nonce": nonce.hex(), "expires_at": expires_at})
        secret = await asyncio.to_thread(read_private, self._files[purpose])
        sealed = attest.seal_for(result, expires_at.to_bytes(EXPIRY_BYTES, "big") + secret, purpose)
        return Released(sealed, expires_at)

    def _appraised(self, nonce: bytes, unverified_bundle: bytes, now: float) -> attest.AttestationResult:
        try:
            bundle = attest.parse_bundle(unverified_bundle)
        except attest.Refused as error:
            raise Refused("evidence_not_understood", error.public, error.detail) from error
        if not bundle.unverified_release_key or not bundle.unverified_identity_key:
            raise Refused("no_release_key", "the evidence binds no key that a secret could be encrypted to")
        at, codes, policy = datetime.fromtimestamp(now, UTC), "", self._policy()
        for completed in self._stored.completed(bundle):
            result = self._appraise(completed, nonce=nonce, policy=policy, now=at)
            if result.accepted and result.release_key is not None:
                return result
            codes = codes or " ".join(result.codes)
        raise Refused("evidence_refused", f"the evidence is refused: {codes}")


def require_secrets(files: Mapping[str, Path]) -> None:
    """Look at the files at start.

    Raises:
        Misconfigured: one is absent, or others can read it.
    """
    for purpose, file in files.items():
        if not purpose.isascii() or not 0 < len(purpose) <= MAX_PURPOSE:
            raise Misconfigured("bad_purpose", f"{purpose!r} is no purpose of a release")
        require_private(file)
