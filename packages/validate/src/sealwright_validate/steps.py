"""How a token is validated: one function a step, in the order of the table at the end.

Each step returns when what its name says holds, and raises Refused otherwise. The first line of each
docstring is the line of docs/validate.md. Pure: the time, the keys and the expectation are in the case. The
signature is verified before scope, window, status and claims, so that a refusal can say whether a real key
was misused.

May never have a step that an option leaves out.
"""

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import InvalidSignature

from sealwright_validate.encoding import MAX_TIME
from sealwright_validate.errors import Misconfigured, Reason, Refused
from sealwright_validate.expect import ACCESS_TOKEN, Expect
from sealwright_validate.keyset import EVIDENCE_RANK, KeySnapshot, KeyStatus, Profile, TrustedKey
from sealwright_validate.token import Header, UnverifiedToken, granted_scopes, take_apart, unverified_claims
from sealwright_validate.trust import Trust

MAX_SKEW: Final = 60  # seconds
# token.md: log id, index without leading zeros, blind
_PLACE: Final = re.compile(r"([a-z2-7]{16})\.(?:0|[1-9][0-9]{0,18})\.[A-Za-z0-9_-]{12}\Z").match
_NO_CLAIMS: Final[Mapping[str, Any]] = {}
_ID_TOKEN_CLAIMS: Final = frozenset(
    ("at_hash", "c_hash", "s_hash")
)  # OpenID Connect Core §3.1.3.6, §3.3.2.11


class Case:
    """One token before the steps. What the steps find out is kept here, for the observation too.

    `key`, `token` and `claims` are set by the steps that earn them; `claims` stays empty until the signature
    is verified. `snapshot` is None while no publication has been verified.
    """

    __slots__ = (
        "binding", "claims", "digest", "expect", "fresh", "header", "key", "now", "signature_valid", "skew",
        "snapshot", "token", "trust", "unverified_text",
    )  # fmt: skip

    def __init__(
        self,
        unverified_text: str,
        expect: Expect,
        snapshot: KeySnapshot,
        trust: Trust,
        *,
        now: float,
        skew: float,
        fresh: bool,
    ) -> None:
        self.unverified_text = unverified_text
        self.expect = expect
        self.snapshot = snapshot
        self.now = now
        self.skew = skew
        self.fresh = fresh
        self.trust = trust
        self.binding: str | None = None
        self.token: UnverifiedToken
        self.header: Header
        self.key: TrustedKey
        self.digest: bytes = b""
        self.signature_valid = False
        self.claims: Mapping[str, Any] = _NO_CLAIMS


def take_token_apart(case: Case) -> None:
    """The token is at most 16 KiB: three base64url parts, a header without tricks, a signature algorithm, a
    key id.
    """
    case.token = take_apart(case.unverified_text)
    case.header = case.token.header
    case.digest = sha256(case.token.signing_input).digest()


def find_key(case: Case) -> None:
    """The key id names a published key; ids of retired and revoked keys are refused for ever."""
    snapshot, kid = case.snapshot, case.header.kid
    key = snapshot.keys.get(kid)
    if key is None:
        key = snapshot.remembered.get(kid)
        if key is None:
            if kid in snapshot.tombstones:
                raise Refused(snapshot.tombstones[kid], "and its public key is not known here")
            if not case.fresh:
                raise Refused(Reason.MANIFEST_STALE, "the publication has expired, and does not name the key")
            raise Refused(Reason.UNKNOWN_KEY, f"kid {kid!r:.80}")
    case.key = key


def require_pinned_algorithm(case: Case) -> None:
    """The algorithm is the one that the key was published for, whatever the token says (RFC 8725 §3.1)."""
    if case.header.algorithm is not case.key.algorithm:
        raise Refused(
            Reason.ALGORITHM_MISMATCH, f"{case.header.algorithm} with a key for {case.key.algorithm}"
        )


def require_valid_signature(case: Case) -> None:
    """The signature over header and payload is valid under that key (RFC 7515 §5.2)."""
    try:
        case.key.verify(case.token.signature, case.token.signing_input)
    except InvalidSignature:
        raise Refused(Reason.SIGNATURE_INVALID, f"under key {case.key.kid}") from None
    case.signature_valid = True


def read_claims(case: Case) -> None:
    """The payload is one JSON object in UTF-8, no member twice, nothing that reads in two ways (RFC 8259)."""
    case.claims = unverified_claims(case.token)


def require_living_key(case: Case) -> None:
    """The key has not been retired or revoked outright."""
    grave = case.snapshot.tombstones.get(case.key.kid)
    if grave is not None:
        raise Refused(grave, f"key {case.key.kid} of {case.key.realm}")


def require_fresh_publication(case: Case) -> None:
    """What is known of the keys has not expired; a validator that is cut off fails closed."""
    if not case.fresh:
        raise Refused(Reason.MANIFEST_STALE, f"version {case.snapshot.version} has expired")


def require_key_of_realm(case: Case) -> None:
    """The key belongs to the issuer that the token names: no key speaks for another realm."""
    issuer = case.claims.get("iss")
    if case.key.tenants is not None:
        case.key.tenants.require_tenant(case.claims, case.key.issuer)
    elif issuer != case.key.issuer:
        if type(issuer) is str and issuer in case.snapshot.issuers:
            raise Refused(
                Reason.KEY_OF_OTHER_REALM, f"a key of {case.key.realm} for {case.snapshot.issuers[issuer]}"
            )
        if type(issuer) is not str:
            raise Refused(Reason.CLAIM_MISSING, "iss is missing or no text")
        raise Refused(Reason.ISSUER_NOT_ALLOWED, f"iss {issuer!r:.120}")


def require_expected_realm(case: Case) -> None:
    """The realm is one that this service accepts."""
    realms = case.expect.realms
    if realms:
        if case.key.realm not in realms:
            raise Refused(Reason.ISSUER_NOT_ALLOWED, f"realm {case.key.realm} is not expected here")
    elif case.snapshot.profile is Profile.SEALWRIGHT:
        raise Misconfigured("with several realms behind one trust, say which are accepted: Expect(realm=…)")


def require_type(case: Case) -> None:
    """The type is expected here and allowed for the key; no other kind of token passes for it (RFC 8725
    §3.11).
    """
    typ, allowed = case.header.typ, case.key.token_types
    if typ not in case.expect.token_types or (allowed is not None and typ not in allowed):
        raise Refused(Reason.TYPE_NOT_ALLOWED, f"typ {typ!r:.60}")
    if case.snapshot.profile is Profile.SEALWRIGHT:
        if not case.header.only_known_members:
            raise Refused(Reason.HEADER_NOT_ALLOWED, "our tokens have alg, kid and typ, and nothing else")
    elif not _ID_TOKEN_CLAIMS.isdisjoint(case.claims) or "events" in case.claims:
        raise Refused(Reason.TYPE_NOT_ALLOWED, "an ID token, logout token or event, by its claims")


def require_audience(case: Case) -> None:
    """The token is meant for this service, and only for services that its key may speak to (RFC 8725
    §3.9).
    """
    named = case.claims.get("aud")
    audiences = (named,) if type(named) is str else named
    if not audiences or type(audiences) not in (tuple, list):
        raise Refused(Reason.CLAIM_MISSING, "aud is missing, empty, or neither a text nor an array")
    for audience in audiences:
        if type(audience) is not str:
            raise Refused(Reason.CLAIM_MALFORMED, "aud holds something else than texts")
    if case.expect.audiences.isdisjoint(audiences):
        raise Refused(Reason.AUDIENCE_NOT_ALLOWED, f"aud {audiences!r:.200}")
    if case.key.audiences is not None and not case.key.audiences.issuperset(audiences):
        raise Refused(Reason.AUDIENCE_NOT_ALLOWED, "an audience outside the scope of the key")


def require_key_window(case: Case) -> None:
    """The token was issued while its key was to sign, ends while it is published, and that time is not
    over.
    """
    key, claims = case.key, case.claims
    issued, expires = _time(claims, "iat"), _time(claims, "exp")
    if case.now >= key.verify_until + case.skew or issued >= key.use_until or expires > key.verify_until:
        raise Refused(Reason.KEY_OUTSIDE_WINDOW, f"iat {issued}, exp {expires}, key {key.kid}")
    if issued < key.use_from:
        if key.status is KeyStatus.STAGED:
            raise Refused(Reason.KEY_NOT_YET_ACTIVE, f"key {key.kid} signs from {key.use_from}")
        raise Refused(Reason.KEY_OUTSIDE_WINDOW, f"iat {issued} before key {key.kid} signed")


def require_active_key(case: Case) -> None:
    """The key has begun to sign, and is not revoked for tokens as new as this one."""
    key = case.key
    if key.status is KeyStatus.STAGED and case.now + case.skew < key.use_from:
        raise Refused(Reason.KEY_NOT_YET_ACTIVE, f"key {key.kid} signs from {key.use_from}")
    if _time(case.claims, "iat") >= key.revoked_from:
        raise Refused(Reason.KEY_REVOKED, f"key {key.kid}, for tokens issued from {key.revoked_from}")


def require_evidence(case: Case) -> None:
    """The private key is protected at least as well as this service demands."""
    if EVIDENCE_RANK[case.key.evidence] < EVIDENCE_RANK[case.expect.evidence]:
        raise Refused(
            Reason.EVIDENCE_TOO_LOW, f"{case.key.evidence} where {case.expect.evidence} is asked for"
        )


def require_times(case: Case) -> None:
    """The token was issued before now, is valid by now and has not expired, within the allowed skew (RFC 7519
    §4.1).
    """
    claims, now, skew = case.claims, case.now, case.skew
    if now >= _time(claims, "exp") + skew:
        raise Refused(Reason.TOKEN_EXPIRED, f"exp {claims['exp']}")
    if now + skew < _time(claims, "iat"):
        raise Refused(Reason.ISSUED_IN_FUTURE, f"iat {claims['iat']}")
    if "nbf" in claims and now + skew < _time(claims, "nbf"):
        raise Refused(Reason.TOKEN_NOT_YET_VALID, f"nbf {claims['nbf']}")


def require_lifetime(case: Case) -> None:
    """The token lives no longer than its key allows, and not less than no time."""
    lifetime = _time(case.claims, "exp") - _time(case.claims, "iat")
    if not 0 < lifetime <= case.key.max_lifetime:
        raise Refused(
            Reason.LIFETIME_NOT_ALLOWED, f"{lifetime} s where {case.key.max_lifetime} s are allowed"
        )


def require_names(case: Case) -> None:
    """Subject and client are named as the format demands (RFC 9068 §2.2), and no name is an empty text."""
    claims = case.claims
    plain = case.snapshot.profile is Profile.PLAIN
    for name in ("sub", "client_id"):
        value = claims.get(name)
        optional = plain or (name == "client_id" and case.header.typ != ACCESS_TOKEN)
        if value is None and name not in claims and optional:
            continue
        if value is None:
            raise Refused(Reason.CLAIM_MISSING, name)
        if type(value) is not str or not value:
            raise Refused(Reason.CLAIM_MALFORMED, name)
    if type(claims.get("scope", "")) is not str:
        raise Refused(Reason.CLAIM_MALFORMED, "scope")


def require_place(case: Case) -> None:
    """The token's id is a place in the log of the signer that holds the key, so that it can be looked up."""
    if case.snapshot.profile is Profile.PLAIN or case.header.typ != ACCESS_TOKEN:
        return
    jti = case.claims.get("jti")
    place = _PLACE(jti) if type(jti) is str else None
    if place is None:
        raise Refused(Reason.JTI_MALFORMED, f"jti {jti!r:.80}")
    if place[1] != case.key.incarnation:
        raise Refused(Reason.JTI_MALFORMED, "a place in the log of another signer than the key's")


def require_scopes(case: Case) -> None:
    """The token grants every scope that this service asks for."""
    if case.expect.scopes and not case.expect.scopes.issubset(granted_scopes(case.claims)):
        raise Refused(Reason.SCOPE_INSUFFICIENT, "a scope is missing")


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if value is None:
        raise Refused(Reason.CLAIM_MISSING, name)
    # bool is no number here, and NaN fails the comparison
    if (type(value) is int or type(value) is float) and 0 <= value <= MAX_TIME:
        return value
    raise Refused(Reason.CLAIM_MALFORMED, f"{name} is no number of seconds within bounds")


Step = Callable[[Case], None]

# Every token goes through all of these, in this order.
SIGNATURE_STEPS: Final[tuple[Step, ...]] = (
    take_token_apart,
    find_key,
    require_pinned_algorithm,
    require_valid_signature,
    read_claims,
)
TRUST_STEPS: Final[tuple[Step, ...]] = (
    require_living_key,
    require_fresh_publication,
    require_key_of_realm,
    require_expected_realm,
    require_type,
    require_audience,
    require_key_window,
    require_active_key,
    require_evidence,
    require_times,
    require_lifetime,
    require_names,
    require_place,
    require_scopes,
)
STEPS: Final = SIGNATURE_STEPS + TRUST_STEPS
