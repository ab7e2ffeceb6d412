"""Keeps the keys of a plain OpenID issuer fresh: discovery, JWKS, bounded learning of unknown keys.

A failed refresh keeps the last good set until its lifetime is over, and not a second longer. May never ask
more often than its own interval, however many unknown key ids are presented.
"""

from typing import Final
from urllib.parse import urlsplit

from sealwright_validate.clock import Clock
from sealwright_validate.errors import Misconfigured, Refused, Unavailable
from sealwright_validate.fetch import Origin
from sealwright_validate.jwks import cache_lifetime, jwks_address, open_jwks
from sealwright_validate.keyset import Held
from sealwright_validate.refresh import Refresher

_OK: Final = 200
_REFRESH_LEAST: Final = 60.0  # seconds
_REFRESH_MOST: Final = 3600.0  # seconds
_EAGER_INTERVAL: Final = 10.0  # seconds between refreshes that unknown key ids may cause
MAX_LIFETIME: Final = 86_400.0  # seconds: no set of keys is used longer than a day without being confirmed


class PlainSource:
    """Fetches the keys of one issuer. What it holds is replaced as a whole."""

    def __init__(self, issuer: str, *, clock: Clock, lifetime: float) -> None:
        if not _REFRESH_LEAST <= lifetime <= MAX_LIFETIME:
            raise Misconfigured(f"keys_lifetime: between {_REFRESH_LEAST:.0f} and {MAX_LIFETIME:.0f} s")
        self._origin = Origin(issuer, clock=clock)
        if not (self._origin.encrypted or self._origin.loopback):
            raise Misconfigured(f"{issuer}: an issuer without TLS could be anyone")
        self._issuer = issuer
        self._clock = clock
        self._lifetime = lifetime
        self._jwks: Origin | None = None
        self._jwks_path = ""
        self._refresh_in = _REFRESH_LEAST
        self.held: Held | None = None
        self.last_refusal: Refused | None = None
        self.refresher: Final = Refresher(
            self.pull, self._pause, self._knows, clock=clock, eager_interval=_EAGER_INTERVAL
        )

    def close(self) -> None:
        """Stop the threads."""
        self.refresher.close()
        for origin in (self._origin, self._jwks):
            if origin is not None:
                origin.close()

    def pull(self) -> None:
        """Fetch the key set once; raises Unavailable or Refused, and the last good set stays."""
        try:
            self._pull()
        except Refused as refusal:
            self.last_refusal = refusal
            raise
        self.last_refusal = None

    def _pull(self) -> None:
        jwks = self._jwks or self._discover()
        answer = jwks.get(self._jwks_path, {"Accept": "application/json"})
        if answer.status != _OK:
            jwks.close()
            self._jwks = None  # the address may have moved: ask discovery again next time
            raise Unavailable(f"{jwks.url}{self._jwks_path} answered {answer.status}")
        now, moment = self._clock.wall(), self._clock.monotonic()
        before = self.held.snapshot if self.held else None
        snapshot = open_jwks(answer.body, self._issuer, before, now=now, lifetime=self._lifetime)
        self._refresh_in = cache_lifetime(answer.headers, least=_REFRESH_LEAST, most=_REFRESH_MOST)
        self.held = Held(snapshot, moment, moment + self._lifetime)

    def _discover(self) -> Origin:
        answer = self._origin.get("/.well-known/openid-configuration", {"Accept": "application/json"})
        if answer.status != _OK:
            raise Unavailable(f"the discovery document answered {answer.status}")
        parts = urlsplit(jwks_address(answer.body, self._issuer))
        jwks = Origin(f"{parts.scheme}://{parts.netloc}", clock=self._clock)
        if not jwks.encrypted and not (jwks.loopback and self._origin.loopback):
            raise Unavailable("the JWKS is offered without TLS")
        self._jwks = jwks
        self._jwks_path = parts.path + (f"?{parts.query}" if parts.query else "")
        return jwks

    def _pause(self) -> float:
        return min(self._refresh_in, self._lifetime / 2)

    def _knows(self, kid: str) -> bool:
        held = self.held
        return held is not None and (kid in held.snapshot.keys or kid in held.snapshot.tombstones)
