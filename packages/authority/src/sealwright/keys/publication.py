"""Makes the key manifest and keeps the one in force: what is listed, when it is renewed, who hears of it.

A manifest is durable before anybody hears of it. It may never be signed here: a signer does that, and refuses
to list a key that no admitted incarnation announced.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from sealwright.clock import Clock
from sealwright.errors import Misconfigured, Refused, Unavailable
from sealwright.keys import rules
from sealwright.keys.announced import AnnouncedKeys
from sealwright.keys.documents import document_claims
from sealwright.keys.model import Incarnation, Key, KeyState, Manifest, Tombstone
from sealwright.keys.ports import AdmissionPort, KeyStore, SignerPort

TOMBSTONE_WINDOW = 90 * 86_400
"""Seconds that a manifest repeats the tombstone of a revoked key: longer than any key could have lived on."""
RETIRED_WINDOW = 7 * 86_400
"""The same for a retired key, from when its time is over by its own announcement: no signer would list it
again, and a manifest that repeats hundreds of them is slow to reach anybody."""
LOST = 16
"""Manifests in a row that crashes may have lost between signature and store."""

log = logging.getLogger(__name__)
_canonical = msgspec.json.Encoder(order="deterministic")
Listed = tuple[SignerPort, Incarnation, dict[str, Any]]


def _told_since(stone: Tombstone) -> int:
    return max(stone.at, stone.over) if stone.reason == KeyState.RETIRED else stone.at


class Publication:
    """The manifest of all realms.

    Args:
        store: keys and manifests.
        admissions: the incarnations that were admitted.
        clock: the current time.
        announced: reads a leaf of the ledger: a key whose announcement is not there is not published.
        life: seconds that a manifest lives; it is renewed at half of them.
        strict_realms: realms whose relying parties ask the ledger.
    """

    def __init__(
        self,
        store: KeyStore,
        admissions: AdmissionPort,
        clock: Clock,
        announced: Callable[[str, int], bytes | None],
        life: int,
        strict_realms: Sequence[str] = (),
    ) -> None:
        self._store = store
        self._admissions = admissions
        self._clock = clock
        self._announced = AnnouncedKeys(announced)
        self._life = life
        self.strict_realms = list(strict_realms)
        self._stated: set[str] = set()
        self._stones: list[Tombstone] | None = None
        self._listeners: list[Callable[[Manifest], None]] = []
        self.latest = store.latest_manifest()
        self.listed: frozenset[str] = frozenset()
        """Ids of the keys in the manifest that everybody was told: no other key may sign."""
        if self.latest is not None and self.latest.expires_at > clock.now():
            self.listed = frozenset(key["kid"] for key in document_claims(self.latest.jws)["keys"])

    def subscribe(self, listener: Callable[[Manifest], None]) -> None:
        """Call `listener` with the manifest in force, if there is one, and with every later one."""
        self._listeners.append(listener)
        if self.latest is not None and self.latest.expires_at > self._clock.now():
            try:
                listener(self.latest)
            except Unavailable as error:
                log.warning("stored manifest not used", extra={"facts": {"detail": str(error)}})

    def in_force(self) -> Manifest:
        """The manifest in force.

        Raises:
            Unavailable: `no_manifest` before the first one was signed or after the last one expired.
        """
        if self.latest is None or self.latest.expires_at <= self._clock.now():
            raise Unavailable("no_manifest", "no key manifest is in force")
        return self.latest

    def forget_tombstones(self) -> None:
        """A key was buried: read the tombstones again before the next manifest."""
        self._stones = None

    async def renew(self, signers: Mapping[str, SignerPort], keys: Sequence[Key]) -> None:
        """Sign, store and tell a new manifest when the last one is half spent or lists something else.

        Args:
            signers: live ones by log id.
            keys: every key that is not retired.

        Raises:
            Misconfigured: `admission_missing` or `key_not_announced`.
            Unavailable: signer or store.
        """
        listed = self._listing(signers, keys)
        if listed is None:
            return
        signer, incarnation, fields = listed
        content = hashlib.sha256(_canonical.encode(fields)).hexdigest()
        now, last = int(self._clock.now()), self.latest
        if (
            last
            and last.content == content
            and now < last.issued_at + (last.expires_at - last.issued_at) // 2
        ):
            return
        await self._state_admissions(signer, fields["admissions"])
        jws = await self._signed(signer, last.version if last else 0, fields)
        claims = document_claims(jws)
        times = (claims["issued_at"], claims["expires_at"])
        manifest = Manifest(claims["version"], *times, jws, incarnation.admission, content)
        self._store.add_manifest(manifest)
        self.latest = manifest
        for listener in self._listeners:
            listener(manifest)
        self.listed = frozenset(key["kid"] for key in claims["keys"])

    async def _signed(self, signer: SignerPort, after: int, fields: Mapping[str, Any]) -> str:
        """A manifest with the next version that the signer takes: it may have signed some that a crash kept
        from being stored.
        """
        for version in range(after + 1, after + LOST):
            try:
                return await signer.manifest({"version": version, "life": self._life, **fields})
            except Refused as error:
                if error.code != "version_not_newer":
                    raise
        return await signer.manifest({"version": after + LOST, "life": self._life, **fields})

    async def _state_admissions(self, signer: SignerPort, admissions: Sequence[str]) -> None:
        """Enter the digest of each admission in the ledger before a manifest rests on it: through it the
        ledger names evidence, result and policy. At least once each; again after a restart.
        """
        for digest in [hashlib.sha256(admission.encode()).hexdigest() for admission in admissions]:
            if digest not in self._stated:
                await signer.statement("admission", digest)
                self._stated.add(digest)

    def _tombstones(self, now: int) -> list[dict[str, Any]]:
        if self._stones is None:
            self._stones = self._store.tombstones(now - RETIRED_WINDOW, now - TOMBSTONE_WINDOW)
        # Read once and shown for as long as nothing is buried: what has grown old meanwhile is left out here.
        windows = {KeyState.RETIRED: RETIRED_WINDOW, KeyState.REVOKED: TOMBSTONE_WINDOW}
        return [
            rules.listed_tombstone(stone, now)
            for stone in self._stones
            if _told_since(stone) >= now - windows[KeyState(stone.reason)]
        ]

    def _listing(self, signers: Mapping[str, SignerPort], every: Sequence[Key]) -> Listed | None:
        """The signer that signs the next manifest and what it lists, or None while there is no signer."""
        incarnations = {entry.log_id: entry for entry in self._admissions.incarnations()}
        signer = next((s for log_id, s in signers.items() if log_id in incarnations), None)
        if signer is None:
            return None
        now = int(self._clock.now())
        keys = [key for key in every if key.published and now < key.verify_until - rules.EARLY]
        missing = sorted({key.log_id for key in keys} - set(incarnations))
        if missing:
            raise Misconfigured("admission_missing", f"keys of incarnations without an admission: {missing}")
        for key in keys:
            self._announced.require(key)
        return (
            signer,
            incarnations[signer.log_id],
            {
                "keys": [
                    {
                        "announcement": key.announcement,
                        "admission": incarnations[key.log_id].admission,
                        "status": KeyState.VERIFY_ONLY if key.state is KeyState.REVOKED else key.state,
                        "ledger_index": key.ledger_index,
                    }
                    for key in sorted(keys, key=lambda key: (key.realm, key.use_from, key.kid))
                ],
                "revocations": [
                    rules.listed_revocation(key) for key in every if key.state is KeyState.REVOKED
                ],
                "tombstones": self._tombstones(now),
                "admissions": sorted(i.admission for i in incarnations.values()),
                "strict_realms": self.strict_realms,
            },
        )
