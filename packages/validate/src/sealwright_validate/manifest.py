"""The key manifest: which keys there are, for what, until when, and which are gone.

Bytes in, trusted object out; the time is an argument. A served document becomes a KeySnapshot only if

- the root has not expired, and it names the admission key that signed the admission;
- the admission has not expired and names the identity key that signed the manifest;
- the manifest is not from the future, not past, and lives 600 seconds at the most;
- its version is not below the highest one seen, and equal only if it is the same document;
- no key id appears twice or with another realm than before, every key id is the thumbprint of its key, one
  issuer belongs to one realm, windows are ordered, and nothing that was buried comes back.

Every refusal leaves what was trusted before as it was. May never repair a document or accept a part of it.
"""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from math import inf
from types import MappingProxyType
from typing import Any, Final

from sealwright_validate.algorithms import Algorithm, PublicKey, verifier_for
from sealwright_validate.documents import (
    DocumentKey,
    document_key,
    integer,
    objects,
    open_compact,
    text,
    texts,
)
from sealwright_validate.encoding import Members, decode_json_object
from sealwright_validate.errors import Reason, Refused
from sealwright_validate.expect import media_type
from sealwright_validate.incarnations import (
    Incarnation,
    evidence_of,
    identity_key,
    listed_incarnations,
    log_id_of,
)
from sealwright_validate.jwk import public_key, thumbprint
from sealwright_validate.keyset import KeySnapshot, KeyStatus, Profile, TrustedKey
from sealwright_validate.root import TrustedRoot, require_unexpired_root

ADMISSION_TYPE: Final = "sealwright-admission+jwt"
MANIFEST_TYPE: Final = "sealwright-manifest+jwt"
MAX_LIFE: Final = 600  # seconds (key-manifest.md)
MAX_TOKEN_LIFETIME: Final = 3600  # seconds: the ceiling of every realm
_MAX_REMEMBERED: Final = 256
_ALL: Final = -inf  # a revocation without `issued_before` voids every token of the key


def served_root_version(unverified: bytes) -> int:
    """The root version that a served document asks for; a hint on what to fetch, trusted for nothing else."""
    return integer(_served(unverified), "root_version")


def open_manifest(
    root: TrustedRoot, unverified: bytes, previous: KeySnapshot | None, *, now: float, skew: float
) -> KeySnapshot:
    """The snapshot in a served `{"root_version", "admission", "manifest"}`; the previous one if it is the
    same.
    """
    require_unexpired_root(root, now)
    served = _served(unverified)
    if integer(served, "root_version") != root.version:
        raise Refused(Reason.ROOT_NOT_TRUSTED, "the document builds on another root version")
    admission = _admission(root, served.get("admission"), now, skew)
    identity = _identity(admission)
    members = _signed(served.get("manifest"), MANIFEST_TYPE, {identity.kid: identity})
    fingerprint = sha256(str(served["manifest"]).encode()).hexdigest()
    _require_newer(members, fingerprint, previous)
    _require_fresh(members, now, skew)
    if previous is not None and fingerprint == previous.fingerprint and previous.keys:
        return previous
    snapshot = _snapshot(members, previous, fingerprint)
    if log_id_of(identity_key(admission)) not in snapshot.logs:
        raise Refused(
            Reason.MANIFEST_INCONSISTENT, "the manifest does not list the incarnation that signed it"
        )
    until = min(snapshot.expires_at, integer(admission, "expires_at"), root.expires_at)
    return replace(snapshot, expires_at=until)


def _served(unverified: bytes) -> Members:
    try:
        return decode_json_object(unverified)
    except Refused as refusal:
        raise Refused(Reason.MANIFEST_MALFORMED, refusal.detail) from None


def _signed(unverified: Any, typ: str, keys: Mapping[str, DocumentKey]) -> dict[str, Any]:
    try:
        return open_compact(unverified, typ, keys)
    except Refused as refusal:
        reason = Reason.ADMISSION_NOT_TRUSTED if typ == ADMISSION_TYPE else Reason.MANIFEST_NOT_TRUSTED
        raise Refused(reason, f"{refusal.reason}: {refusal.detail}") from None


def _admission(root: TrustedRoot, unverified: Any, now: float, skew: float) -> Members:
    members = _signed(unverified, ADMISSION_TYPE, root.admission.keys)
    evidence_of(members)
    if text(members, "incarnation") != log_id_of(identity_key(members)):
        raise Refused(Reason.ADMISSION_NOT_TRUSTED, "the admission names another incarnation than its key's")
    if now >= integer(members, "expires_at"):
        raise Refused(Reason.ADMISSION_NOT_TRUSTED, "the admission has expired")
    if not integer(members, "admitted_at") - skew <= now:
        raise Refused(Reason.ADMISSION_NOT_TRUSTED, "the admission is from the future")
    return members


def _identity(admission: Members) -> DocumentKey:
    try:
        return document_key(admission.get("jwk"))
    except Refused as refusal:
        raise Refused(Reason.ADMISSION_NOT_TRUSTED, refusal.detail) from None


def _require_newer(members: Members, fingerprint: str, previous: KeySnapshot | None) -> None:
    version = integer(members, "version")
    if previous is None:
        return
    if version < previous.version:
        raise Refused(Reason.MANIFEST_ROLLED_BACK, f"version {version} after {previous.version}")
    if version == previous.version and fingerprint != previous.fingerprint:
        raise Refused(Reason.MANIFEST_ROLLED_BACK, f"two documents of version {version}")


def _require_fresh(members: Members, now: float, skew: float) -> None:
    issued_at, expires_at = integer(members, "issued_at"), integer(members, "expires_at")
    if issued_at > now + skew:
        raise Refused(Reason.MANIFEST_STALE, "the manifest is from the future")
    if now >= expires_at:
        raise Refused(Reason.MANIFEST_STALE, "the manifest has expired")
    if not 0 < expires_at - issued_at <= MAX_LIFE:
        raise Refused(Reason.MANIFEST_INCONSISTENT, "the manifest lives too long")


def _snapshot(members: Members, previous: KeySnapshot | None, fingerprint: str) -> KeySnapshot:
    incarnations = listed_incarnations(members)
    revoked = _revocations(members)
    buried = _tombstones(members, revoked)
    known = previous.keys if previous else {}
    keys: dict[str, TrustedKey] = {}
    for entry in objects(members, "keys"):
        key = _key(entry, incarnations, known, revoked)
        if key.kid in keys:
            raise Refused(Reason.MANIFEST_INCONSISTENT, f"key {key.kid} appears twice")
        keys[key.kid] = key
    seen = {**(previous.tombstones if previous else {}), **buried}
    if not seen.keys().isdisjoint(keys):
        raise Refused(Reason.MANIFEST_INCONSISTENT, "a buried key comes back")
    remembered = {**_buried_keys(members), **(previous.remembered if previous else {}), **known}
    gone = [(kid, key) for kid, key in remembered.items() if kid in seen]
    return KeySnapshot(
        profile=Profile.SEALWRIGHT,
        version=integer(members, "version"),
        issued_at=integer(members, "issued_at"),
        expires_at=integer(members, "expires_at"),
        keys=MappingProxyType(keys),
        issuers=MappingProxyType(_issuers(keys)),
        tombstones=MappingProxyType(seen),
        remembered=MappingProxyType(dict(gone[-_MAX_REMEMBERED:])),
        logs=MappingProxyType({log_id: found.log for log_id, found in incarnations.items()}),
        strict_realms=texts(members, "strict_realms"),
        fingerprint=fingerprint,
        thumbprints=frozenset(keys),
    )


def _key(
    entry: Members,
    incarnations: Mapping[str, Incarnation],
    known: Mapping[str, TrustedKey],
    revoked: Mapping[str, float],
) -> TrustedKey:
    public, algorithm = _published_key(entry)
    kid = thumbprint(entry["jwk"])
    if text(entry, "kid") != kid or entry["jwk"].get("kid", kid) != kid:
        raise Refused(Reason.MANIFEST_INCONSISTENT, "a key id is not the thumbprint of its key")
    if entry.get("alg") != algorithm.value:
        raise Refused(Reason.MANIFEST_INCONSISTENT, f"key {kid}: its algorithm is not that of its JWK")
    if revoked.get(kid) == _ALL:
        raise Refused(Reason.MANIFEST_INCONSISTENT, f"key {kid} is revoked and still published")
    key = TrustedKey(
        kid=kid,
        thumbprint=kid,
        algorithm=algorithm,
        verify=known[kid].verify if kid in known else verifier_for(public, algorithm),
        realm=text(entry, "realm"),
        issuer=text(entry, "issuer"),
        audiences=texts(entry, "audiences"),
        token_types=frozenset(map(media_type, texts(entry, "token_types"))),
        max_lifetime=integer(entry, "max_lifetime"),
        use_from=integer(entry, "use_from"),
        use_until=integer(entry, "use_until"),
        verify_until=integer(entry, "verify_until"),
        status=_status(entry),
        incarnation=text(entry, "incarnation"),
        evidence=evidence_of(entry),
        evidence_link=signer.link if (signer := incarnations.get(str(entry.get("incarnation")))) else None,
        revoked_from=revoked.get(kid, inf),
    )
    _require_consistent(key, incarnations, known.get(kid))
    return key


def _require_consistent(
    key: TrustedKey, incarnations: Mapping[str, Incarnation], before: TrustedKey | None
) -> None:
    if not key.use_from < key.use_until <= key.verify_until:
        raise Refused(Reason.MANIFEST_INCONSISTENT, f"key {key.kid}: its window is out of order")
    if not 0 < key.max_lifetime <= MAX_TOKEN_LIFETIME or not key.audiences or not key.token_types:
        raise Refused(Reason.MANIFEST_INCONSISTENT, f"key {key.kid}: no scope, or one beyond the ceiling")
    signer = incarnations.get(key.incarnation or "")
    if signer is None or signer.evidence is not key.evidence:
        raise Refused(
            Reason.MANIFEST_INCONSISTENT, f"key {key.kid}: of no listed incarnation, or of other evidence"
        )
    if before is not None and _announced(before) != _announced(key):
        raise Refused(Reason.MANIFEST_INCONSISTENT, f"key {key.kid} was announced differently before")
    if before is not None and _ORDER[key.status] < _ORDER[before.status]:
        raise Refused(Reason.MANIFEST_INCONSISTENT, f"key {key.kid}: its status goes back")
    if before is not None and key.revoked_from > before.revoked_from:
        raise Refused(Reason.MANIFEST_INCONSISTENT, f"key {key.kid}: its revocation is withdrawn")


_ORDER: Final = {status: rank for rank, status in enumerate(KeyStatus)}


def _announced(key: TrustedKey) -> tuple[object, ...]:
    scope = (key.realm, key.issuer, key.audiences, key.token_types, key.algorithm, key.max_lifetime)
    return (*scope, key.use_from, key.use_until, key.verify_until, key.incarnation)


def _issuers(keys: Mapping[str, TrustedKey]) -> dict[str, str]:
    issuers: dict[str, str] = {}
    realms: dict[str, str] = {}
    for key in keys.values():
        same = issuers.setdefault(key.issuer, key.realm) == key.realm
        if not same or realms.setdefault(key.realm, key.issuer) != key.issuer:
            raise Refused(
                Reason.MANIFEST_INCONSISTENT, f"realm {key.realm} and its issuer are not one to one"
            )
    return issuers


def _status(entry: Members) -> KeyStatus:
    try:
        return KeyStatus(text(entry, "status"))
    except ValueError:
        raise Refused(Reason.MANIFEST_MALFORMED, "unknown key status") from None


def _revocations(members: Members) -> dict[str, float]:
    """For each revoked key the time from which its tokens are void; `_ALL` where every one of them is."""
    revoked: dict[str, float] = {}
    for entry in objects(members, "revocations"):
        limit = _ALL if entry.get("issued_before") is None else integer(entry, "issued_before")
        kid = text(entry, "kid")
        revoked[kid] = min(revoked.get(kid, inf), limit)
    return revoked


def _buried_keys(members: Members) -> dict[str, TrustedKey]:
    """The public halves that tombstones carry. They are for nothing but telling a misuse from a mere claim.

    Their scope is empty, so that even without the tombstone no token would pass under them.
    """
    keys: dict[str, TrustedKey] = {}
    for entry in objects(members, "tombstones"):
        if "jwk" not in entry:
            continue
        public, algorithm = _published_key(entry)
        kid = thumbprint(entry["jwk"])
        if text(entry, "kid") != kid:
            raise Refused(Reason.MANIFEST_INCONSISTENT, "a tombstone carries another key than it names")
        keys[kid] = TrustedKey(
            kid=kid,
            thumbprint=kid,
            algorithm=algorithm,
            verify=verifier_for(public, algorithm),
            realm="",
            issuer="",
            audiences=frozenset(),
            token_types=frozenset(),
            max_lifetime=0,
            use_from=inf,
            use_until=-inf,
            verify_until=-inf,
        )
    return keys


def _published_key(entry: Members) -> tuple[PublicKey, Algorithm]:
    try:
        return public_key(entry.get("jwk"))
    except Refused as refusal:
        raise Refused(Reason.MANIFEST_MALFORMED, refusal.detail) from None


def _tombstones(members: Members, revoked: Mapping[str, float]) -> dict[str, Reason]:
    reasons = {"retired": Reason.KEY_RETIRED, "revoked": Reason.KEY_REVOKED}
    buried: dict[str, Reason] = {}
    for entry in objects(members, "tombstones"):
        reason = reasons.get(text(entry, "reason"))
        if reason is None:
            raise Refused(Reason.MANIFEST_MALFORMED, "unknown reason of a tombstone")
        buried[text(entry, "kid")] = reason
    # What is revoked outright is gone for ever, whether or not a tombstone says so too.
    return buried | {kid: Reason.KEY_REVOKED for kid, limit in revoked.items() if limit == _ALL}
