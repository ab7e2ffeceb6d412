"""What the signer checks before it signs a key manifest (docs/formats/key-manifest.md).

The front end that asks may have been taken over. May never list a key that no admitted incarnation announced,
a window or a status wider than before, or a key that was once revoked or retired.
"""

from collections.abc import Mapping
from typing import Any

from sealwright_signer import jws
from sealwright_signer.identity import log_id_of
from sealwright_signer.keyring import ACTIVE, ANNOUNCEMENT, STAGED, Key
from sealwright_signer.policy import KEY_USE_CEILING, TOKEN_LIFETIME_CEILING, Policy
from sealwright_signer.protocol import Code, require, require_members, require_texts, shape

ADMISSION, VERIFY_ONLY = "sealwright-admission+jwt", "verify-only"
CLOCK_SKEW = 60  # seconds that another machine's clock may be ahead
MAX_ADMISSION = 8_192  # characters
_RANK = {STAGED: 0, ACTIVE: 1, VERIFY_ONLY: 2}
_EVIDENCE = ("hardware", "virtual-tpm", "simulated", "none")
_ADMISSION = shape(str="incarnation origin evidence result policy", dict="jwk", int="admitted_at expires_at")
_ANNOUNCED = shape(str="kid realm issuer alg incarnation", dict="jwk", list="audiences token_types")
_ANNOUNCED |= shape(int="max_lifetime use_from use_until verify_until")
_LISTED = shape(str="announcement admission status", int="ledger_index")
_REVOKED = shape(str="kid reason", int="at", any="issued_before")
_TOMBSTONE = shape(str="kid reason", int="at", any="jwk")
Members = dict[str, Any]


class ManifestRules:
    """Judges manifests, and remembers of each that it let pass what a later one may not take back."""

    def __init__(self, policy: Policy, own: Mapping[str, Key], log_id: str) -> None:
        self._policy, self._own, self._log_id, self.version = policy, own, log_id, policy.manifest_floor
        self._ranks, self._buried = dict[str, int](), set[str]()
        self._revoked = dict[str, int]()  # kid to issued_before, 0 for "no token stays valid"

    def payload(self, asked: Members, now: int) -> Members:
        """The manifest's payload; Refused when anything in it is not as it must be."""
        require(asked["version"] > self.version, Code.version_not_newer, f"must be above {self.version}")
        life, longest = asked["life"], self._policy.manifest_max_life
        require(0 < life <= longest, Code.lifetime_not_allowed, f"a manifest lives at most {longest} s")
        texts = require_texts(asked["admissions"], "admissions", limit=MAX_ADMISSION)
        admitted = {text: self._admitted(text, now) for text in texts}
        keys = [self._key(require_members(key, _LISTED, "key"), admitted, now) for key in asked["keys"]]
        revocations = [_revocation(revocation) for revocation in asked["revocations"]]
        tombstones = [_tombstone(tombstone) for tombstone in asked["tombstones"]]
        self._require_consistent(keys, revocations, tombstones)
        strict = require_texts(asked["strict_realms"], "strict_realms")
        require(self._policy.realms.keys() >= set(strict), Code.unknown_realm, "a strict realm is not known")
        names, link = ("origin", "jwk", "evidence"), f"{self._policy.authority}/admissions/"
        appraised = [(a["incarnation"], {n: a[n] for n in names}) for a in admitted.values()]
        serving = [{"id": log_id, "link": link + log_id, **told} for log_id, told in appraised]
        _distinct("id", serving)
        self.version = asked["version"]
        self._ranks |= {key["kid"]: _RANK[key["status"]] for key in keys}
        self._revoked |= {r["kid"]: r["issued_before"] or 0 for r in revocations}
        self._buried |= _distinct("kid", tombstones)
        times = {"version": self.version, "issued_at": now, "expires_at": now + life}
        listed = {"keys": keys, "revocations": revocations, "tombstones": tombstones, "incarnations": serving}
        return {**times, "authority": self._policy.authority, **listed, "strict_realms": strict}

    def _admitted(self, unverified: str, now: int) -> Members:
        payload = jws.require_document(unverified, ADMISSION, self._policy.admission_keys, Code.not_admitted)
        admission = require_members(payload, _ADMISSION, "admission")
        jws.identity_key(admission["jwk"])
        named = admission["incarnation"] == log_id_of(jws.unb64u(admission["jwk"]["x"]))
        require(named, Code.not_admitted, "the admission names another incarnation than its key's")
        require(admission["evidence"] in _EVIDENCE, Code.not_admitted, "no such evidence level")
        current = admission["admitted_at"] - CLOCK_SKEW <= now < admission["expires_at"]
        require(current, Code.not_admitted, "the admission is over, or from the future")
        return admission

    def _key(self, listed: Members, admitted: Mapping[str, Members], now: int) -> Members:
        require(listed["admission"] in admitted, Code.not_admitted, "a key's admission is not in admissions")
        admission = admitted[listed["admission"]]
        by = dict([jws.identity_key(admission["jwk"])])
        unverified = jws.require_document(listed["announcement"], ANNOUNCEMENT, by, Code.not_admitted)
        key = require_members(unverified, _ANNOUNCED, "announcement")
        together = key["kid"] == jws.thumbprint(key["jwk"]) and key["incarnation"] == admission["incarnation"]
        require(together, Code.not_admitted, "kid, key and incarnation must belong together")
        self._require_scope(key)
        self._require_status(key, listed, now)
        further = {"status": listed["status"], "ledger_index": listed["ledger_index"]}
        return {**key, **further, "evidence": admission["evidence"]}

    def _require_scope(self, key: Members) -> None:
        realm = self._policy.realms.get(key["realm"])
        known = realm is not None and realm.issuer == key["issuer"]
        require(known, Code.unknown_realm, "the policy has no such realm with this issuer")
        short = 0 < key["max_lifetime"] <= TOKEN_LIFETIME_CEILING
        require(short, Code.lifetime_not_allowed, "tokens of this key live too long")
        use, published = key["use_until"] - key["use_from"], key["verify_until"] - key["use_until"]
        short = realm and 0 < use <= realm.key_use_max and 0 <= published <= KEY_USE_CEILING
        require(short, Code.window_not_allowed, "the key's windows are out of order or too long")

    def _require_status(self, key: Members, listed: Members, now: int) -> None:
        status, before = listed["status"], self._ranks.get(key["kid"], 0)
        require(_RANK.get(status, -1) >= before, Code.status_not_allowed, "a status never goes back")
        require(now < key["verify_until"], Code.key_outside_window, "the key is over")
        timely = status == VERIFY_ONLY or now < key["use_until"]
        timely = timely and (status != ACTIVE or now >= key["use_from"])
        require(timely, Code.status_not_allowed, "the status does not fit the key's window")
        if key["incarnation"] == self._log_id:
            own = self._own.get(key["kid"])
            facts = own and (own.announcement, own.ledger_index)
            told = listed["announcement"], listed["ledger_index"]
            require(own and facts == told, Code.unknown_key, "not announced there by this incarnation")
            true = status == VERIFY_ONLY or (own and own.live and _RANK[status] <= _RANK[own.state])
            require(true, Code.status_not_allowed, "the key is not in this state")

    def _require_consistent(self, keys: list[Members], revoked: list[Members], buried: list[Members]) -> None:
        listed, revocations, tombstones = (_distinct("kid", entries) for entries in (keys, revoked, buried))
        back = listed & (tombstones | self._buried)
        require(not back, Code.status_not_allowed, "a retired or revoked key never comes back")
        kept = self._revoked.keys() <= revocations | tombstones
        require(kept, Code.status_not_allowed, "a revocation never vanishes")
        for revocation in revoked:
            kid, before = revocation["kid"], revocation["issued_before"] or 0
            stronger = before <= self._revoked.get(kid, before) and (before or kid in tombstones)
            require(stronger, Code.status_not_allowed, "no revocation is weakened; undated it buries its key")
        over = {key["kid"] for key in keys if key["status"] == VERIFY_ONLY}
        require(listed & revocations <= over, Code.status_not_allowed, "a revoked key is verify-only")


def _revocation(unverified: object) -> Members:
    revocation = require_members(unverified, _REVOKED, "revocation")
    before = revocation["issued_before"]
    dated = before is None or (type(before) is int and 0 < before <= revocation["at"])
    require(dated, Code.bad_request, "issued_before is null or a time up to at")
    return revocation


def _tombstone(unverified: object) -> Members:
    tombstone = require_members(unverified, _TOMBSTONE, "tombstone")
    jwk = tombstone.pop("jwk")
    if jwk is None:
        return tombstone
    own = type(jwk) is dict and jws.thumbprint(jwk) == tombstone["kid"]
    require(own, Code.bad_request, "the jwk of a tombstone is null, or the key that its kid names")
    return {**tombstone, "jwk": jwk}


def _distinct(name: str, entries: list[Members]) -> set[str]:
    values = {entry[name] for entry in entries}
    require(len(values) == len(entries), Code.bad_request, f"a {name} occurs twice in a list")
    return values
