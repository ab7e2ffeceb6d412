"""Keeps the keys of a plain OpenID issuer fresh: discovery, JWKS, bounded learning of unknown keys.

A failed refresh keeps the last good set until its lifetime is over, and not a second longer. With a state
file the first key seen under each id is remembered over restarts. May never ask more often than its own
interval, however many unknown key ids are presented.
"""

import json
import logging
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from sealwright_validate.clock import Clock
from sealwright_validate.encoding import decode_json_object
from sealwright_validate.errors import Misconfigured, Reason, Refused, Unavailable
from sealwright_validate.fetch import Origin
from sealwright_validate.issuers import IssuerRule
from sealwright_validate.jwks import cache_lifetime, jwks_address, open_jwks
from sealwright_validate.keyset import Held, KeySnapshot, Profile, Seen
from sealwright_validate.limits import Limits
from sealwright_validate.refresh import Refresher

_LOG: Final = logging.getLogger("sealwright_validate")
_OK: Final = 200
_REFRESH_LEAST: Final = 60.0  # seconds
_REFRESH_MOST: Final = 3600.0  # seconds
_EAGER_INTERVAL: Final = 10.0  # seconds between refreshes that unknown key ids may cause


class PlainSource:
    """Fetches the keys that one discovery document leads to. What it holds is replaced as a whole."""

    def __init__(
        self, address: str, rule: IssuerRule, *, clock: Clock, limits: Limits, state_file: Path | None = None
    ) -> None:
        self._origin = Origin(address, clock=clock)
        if not (self._origin.encrypted or self._origin.loopback):
            raise Misconfigured(f"{address}: an issuer without TLS could be anyone")
        self._rule = rule
        self._clock = clock
        self._limits = limits
        self._file = state_file
        self._jwks: Origin | None = None
        self._jwks_path = ""
        self._refresh_in = _REFRESH_LEAST
        self._before: KeySnapshot | None = self._load() if state_file and state_file.exists() else None
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
        snapshot = open_jwks(
            answer.body,
            self._rule,
            self._before,
            now=now,
            lifetime=self._limits.lifetime,
            max_age=self._limits.key_age,
        )
        if not snapshot.keys:
            raise Refused(Reason.MANIFEST_MALFORMED, "no key of the set can be used")
        self._refresh_in = cache_lifetime(answer.headers, least=_REFRESH_LEAST, most=_REFRESH_MOST)
        if self._before is None or self._before.seen != snapshot.seen:
            self._save(snapshot)
        self._before = snapshot
        self.held = Held(snapshot, moment, moment + self._limits.lifetime)

    def _discover(self) -> Origin:
        answer = self._origin.get("/.well-known/openid-configuration", {"Accept": "application/json"})
        if answer.status != _OK:
            raise Unavailable(f"the discovery document answered {answer.status}")
        parts = urlsplit(jwks_address(answer.body, self._rule.discovered))
        jwks = Origin(f"{parts.scheme}://{parts.netloc}", clock=self._clock)
        if not jwks.encrypted and not (jwks.loopback and self._origin.loopback):
            raise Unavailable("the JWKS is offered without TLS")
        self._jwks = jwks
        self._jwks_path = parts.path + (f"?{parts.query}" if parts.query else "")
        return jwks

    def _pause(self) -> float:
        return min(self._refresh_in, self._limits.lifetime / 2)

    def _knows(self, kid: str) -> bool:
        held = self.held
        return held is not None and (kid in held.snapshot.keys or kid in held.snapshot.tombstones)

    def _save(self, snapshot: KeySnapshot) -> None:
        if self._file is None:
            return
        seen = {kid: [entry.thumbprint, entry.since] for kid, entry in snapshot.seen.items()}
        partial = self._file.with_name(self._file.name + ".partial")
        try:
            partial.write_text(json.dumps({"format": 1, "issuer": self._rule.discovered, "seen": seen}))
            partial.replace(self._file)
        except OSError as error:
            # Validation goes on: what is lost is only that a changed key is noticed over a restart.
            _LOG.error("state file %s cannot be written: %s", self._file, error)

    def _load(self) -> KeySnapshot:
        """A snapshot without keys that remembers which key was first seen under which id."""
        path = self._file or Path()
        try:
            saved = decode_json_object(path.read_bytes())
            if saved["issuer"] != self._rule.discovered:
                raise ValueError("it is of another issuer")  # noqa: TRY301 - one way out for a bad file
            seen = {str(kid): Seen(str(entry[0]), float(entry[1])) for kid, entry in saved["seen"].items()}
        except (OSError, LookupError, TypeError, ValueError, AttributeError, Refused) as error:
            raise Misconfigured(
                f"{path} cannot be used ({error}). It is what notices a changed key over restarts; "
                "remove it only if you mean to give that up once."
            ) from None
        empty = KeySnapshot(profile=Profile.PLAIN, version=0, issued_at=0, expires_at=0, keys={})
        return replace(empty, seen=MappingProxyType(seen))
