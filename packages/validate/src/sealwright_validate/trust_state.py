"""What one validator trusts of one Sealwright, and how that changes: root, snapshot, the last refusal.

No network. A document either moves the state forward as a whole or leaves it as it was. With a state file
what was seen survives a restart, so that a rollback is noticed over it. May never take a key from the state
file: someone who can write it can make the validator refuse, or forget what it saw, but never accept.
"""

import json
import logging
import os
from base64 import b64decode, b64encode
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any, Final

from sealwright_validate.clock import Clock
from sealwright_validate.encoding import Members, decode_base64url, decode_json_object
from sealwright_validate.errors import Misconfigured, Reason, Refused
from sealwright_validate.keyset import Held, KeySnapshot, Profile
from sealwright_validate.manifest import open_manifest
from sealwright_validate.root import TrustedRoot, advance_root, pinned_root

_GRAVES: Final = {"retired": Reason.KEY_RETIRED, "revoked": Reason.KEY_REVOKED}
_GRAVE_NAMES: Final = {reason: name for name, reason in _GRAVES.items()}
_LOG: Final = logging.getLogger("sealwright_validate")


class TrustState:
    """Root and key snapshot of one Sealwright. Reading `held` needs no lock: it is replaced as a whole."""

    def __init__(
        self, pin: bytes | str | Members, *, clock: Clock, skew: float, state_file: Path | None = None
    ) -> None:
        try:
            self.root = pinned_root(pin)
        except Refused as refusal:
            raise Misconfigured(f"the pinned root cannot be used: {refusal.detail}") from None
        self.held: Held | None = None
        self.last_refusal: Refused | None = None
        self._clock = clock
        self._skew = skew
        self._followed: list[bytes] = []
        self._lock = Lock()
        self._file = state_file
        self._floor: KeySnapshot | None = None
        if state_file is not None and state_file.exists():
            self._load(state_file)

    def advance_root(self, unverified: bytes) -> TrustedRoot:
        """Follow the root by one version; raises Refused and keeps the current one otherwise."""
        with self._lock:
            try:
                self.root = advance_root(self.root, unverified)
            except Refused as refusal:
                self.last_refusal = refusal
                raise
            self._followed.append(unverified)
            return self.root

    def preview(self, unverified: bytes) -> KeySnapshot:
        """What `feed` would take in, without taking it in; raises Refused as it does."""
        with self._lock:
            return self._open(unverified, self._clock.wall())

    def refuse(self, refusal: Refused) -> None:
        """Note why a document was not fed."""
        with self._lock:
            self.last_refusal = refusal

    def _open(self, unverified: bytes, now: float) -> KeySnapshot:
        before = self.held.snapshot if self.held else self._floor
        return open_manifest(self.root, unverified, before, now=now, skew=self._skew)

    def feed(self, unverified: bytes) -> KeySnapshot:
        """Take in a served manifest document; raises Refused and keeps the current snapshot otherwise."""
        with self._lock:
            now, moment = self._clock.wall(), self._clock.monotonic()
            before = self.held.snapshot if self.held else self._floor
            try:
                snapshot = self._open(unverified, now)
            except Refused as refusal:
                self.last_refusal = refusal
                raise
            self.last_refusal = None
            if self.held is None or snapshot is not before:
                self.held = Held(snapshot, moment, moment + (snapshot.expires_at - now))
                self._save(snapshot)
            return snapshot

    def _save(self, snapshot: KeySnapshot) -> None:
        if self._file is None:
            return
        seen = {
            "format": 1,
            "roots": [b64encode(root).decode("ascii") for root in self._followed],
            "version": snapshot.version,
            "fingerprint": snapshot.fingerprint,
            "tombstones": {kid: _GRAVE_NAMES[reason] for kid, reason in snapshot.tombstones.items()},
        }
        partial = self._file.with_name(self._file.name + ".partial")
        try:
            with partial.open("w", encoding="utf-8") as out:
                json.dump(seen, out)
                out.flush()
                os.fsync(out.fileno())
            partial.replace(self._file)
        except OSError as error:
            # Validation goes on: what is lost is only that a rollback is noticed over a restart.
            _LOG.error("state file %s cannot be written: %s", self._file, error)

    def _load(self, state_file: Path) -> None:
        try:
            seen = decode_json_object(state_file.read_bytes())
            for saved in seen["roots"]:
                document = b64decode(saved, validate=True)
                if _version_of(document) > self.root.version:  # a newer root may have been pinned since
                    self.root = advance_root(self.root, document)
                    self._followed.append(document)
            self._floor = _floor(seen)
        except (OSError, KeyError, TypeError, ValueError, AttributeError, Refused) as error:
            raise Misconfigured(
                f"{state_file} cannot be used ({error}). It is what notices a rollback over restarts; "
                "remove it only if you mean to give that up once."
            ) from None


def _version_of(root_document: bytes) -> int:
    payload = decode_base64url(decode_json_object(root_document)["payload"])
    return int(decode_json_object(payload)["version"])


def _floor(seen: Members) -> KeySnapshot:
    """A snapshot without keys: the lowest version to accept, and the keys that may not come back."""
    graves: dict[str, Any] = seen["tombstones"]
    return KeySnapshot(
        profile=Profile.SEALWRIGHT,
        version=int(seen["version"]),
        issued_at=0,
        expires_at=0,
        keys=MappingProxyType({}),
        tombstones=MappingProxyType({str(kid): _GRAVES[name] for kid, name in graves.items()}),
        fingerprint=str(seen["fingerprint"]),
    )
