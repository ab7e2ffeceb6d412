"""Detections of tokens that nobody issued, or that contradict their keys: each one is a contradiction, no
guess.

The twins over history of what `rules.py` says of each observation at once.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from sealwright.detection.catalogue.model import Params
from sealwright.detection.catalogue.tables import Tables, finding, judged, new, of_token

CLAIMED = ["log_id", "idx"]


def _claims(t: Tables, p: Params) -> ir.Table:
    """New judged observations, with what the ledger has at the place that they claim; others are left out."""
    seen = judged(new(t.observed, p))
    leaves = t.issued.select("log_id", "idx", leaf_digest=t.issued.digest, leaf_kid=t.issued.kid)
    return seen.inner_join(leaves, CLAIMED)


def _with_key(t: Tables, p: Params) -> ir.Table:
    """New judged observations with the facts of the key that they name; unknown keys are left out."""
    seen = judged(new(t.observed, p))
    genuine = t.issued.select(genuine_digest=t.issued.digest).distinct()
    named = seen.left_join(genuine, seen.digest == genuine.genuine_digest)
    # A genuine token that was refused is nobody's alarm.
    named = named.filter((named.verdict == "accepted") | named.genuine_digest.isnull())
    facts = t.keys.rename(key_status="status", key_realm="realm")
    return named.inner_join(facts, "kid")


def never_issued(t: Tables, p: Params) -> ir.Table:
    """No leaf at the place that the token claims, in a ledger that is complete up to its receipt."""
    seen = _in_sight(t.observed, p)
    # Of a batch, only the leaves near what it claims are looked at: engines pass the places on to the scan.
    # The claims are read anew, without the other columns, or an engine keeps all of both in memory.
    claims = _in_sight(t.observed.select(*CLAIMED, "received_at", "signature", "verdict"), p)
    places = t.issued.select(*CLAIMED).semi_join(claims, CLAIMED)
    return of_token(seen.anti_join(places, CLAIMED), "no leaf at the claimed place")


def _in_sight(observed: ir.Table, p: Params) -> ir.Table:
    """New judged observations that the ledger which is searched can speak of."""
    seen = judged(new(observed, p))
    return seen.filter(seen.received_at <= p.complete_until)


def digest_mismatch(t: Tables, p: Params) -> ir.Table:
    """Another token's leaf at the place that the token claims."""
    claims = _claims(t, p)
    other = claims.filter(claims.leaf_digest != claims.digest)
    return of_token(other, "the place holds another token: " + other.leaf_digest)


def kid_mismatch(t: Tables, p: Params) -> ir.Table:
    """The token's own leaf, but signed by another key than the leaf names."""
    claims = _claims(t, p)
    kid = claims.kid.fill_null("")
    other = claims.filter((claims.leaf_digest == claims.digest) & (claims.leaf_kid != kid))
    return of_token(other, "issued under key " + other.leaf_kid)


def altered_twin(t: Tables, p: Params) -> ir.Table:
    """One `jti`, two tokens: one of them is forged, whatever the ledger says."""
    seen = judged(t.observed)
    seen = seen.filter(seen.jti.notnull())
    twins = seen.group_by("jti").aggregate(
        tokens=seen.digest.nunique(), last_received=seen.received_at.max(), last_at=seen.at.max()
    )
    twins = twins.filter((twins.tokens > 1) & (twins.last_received >= p.since))
    return finding(
        twins,
        subject=twins.jti,
        at=twins.last_at,
        jti=twins.jti,
        count=twins.tokens,
        detail="one jti on several tokens",
    )


def unknown_key(t: Tables, p: Params) -> ir.Table:
    """A key that was never ours, on a token whose signature was valid or that was let in."""
    seen = judged(new(t.observed, p))
    return of_token(seen.anti_join(t.keys, "kid"), "the key was never ours")


def key_of_other_realm(t: Tables, p: Params) -> ir.Table:
    """Issuer or audience outside the key's realm: what gave Storm-0558 away."""
    seen = _with_key(t, p)
    audiences = seen.aud.fill_null(ibis.literal([], "array<string>")).unique()
    strange = audiences.length() > audiences.intersect(seen.audiences).length()
    other = seen.filter((seen.iss.notnull() & (seen.iss != seen.issuer)) | strange)
    return of_token(other, "the key belongs to realm " + other.key_realm)


def key_outside_window(t: Tables, p: Params) -> ir.Table:
    """Issued, by its own account, when the key did not sign; or living longer than the key is verified."""
    seen = _with_key(t, p)
    outside = seen.iat.notnull() & ((seen.iat < seen.use_from) | (seen.iat >= seen.use_until))
    outlives = seen.exp.notnull() & (seen.exp > seen.verify_until)
    return of_token(seen.filter(outside | outlives), "iat or exp outside the key's window")


def before_activation(t: Tables, p: Params) -> ir.Table:
    """Issued, by its own account, inside the key's window but before the key was activated, or while it never
    was.
    """
    seen = _with_key(t, p)
    early = seen.filter(
        (seen.iat >= seen.use_from)
        & (seen.iat < seen.use_until)
        & (seen.activated_at.isnull() | (seen.iat < seen.activated_at.floor()))
    )
    return of_token(early, "iat before the key was activated")


def lifetime_beyond_policy(t: Tables, p: Params) -> ir.Table:
    """A longer life than the realm allows."""
    seen = _with_key(t, p)
    return of_token(seen.filter(seen.exp - seen.iat > seen.max_lifetime), "longer than the realm allows")


def key_retired(t: Tables, p: Params) -> ir.Table:
    """Used after the key was retired."""
    return of_token(_after_retirement(_with_key(t, p), p), "used after the key was retired")


def key_revoked(t: Tables, p: Params) -> ir.Table:
    """Used after the key was revoked, and not spared by `issued_before`."""
    return of_token(_after_revocation(_with_key(t, p), p), "used after the key was revoked")


def revoked_key_presented(t: Tables, p: Params) -> ir.Table:
    """A genuine token, refused after its key was revoked: one finding for each key and reporter."""
    return _of_key(_after_revocation(_genuine_refused(t, p), p), "genuine, refused after the revocation")


def retired_key_presented(t: Tables, p: Params) -> ir.Table:
    """A genuine token, refused after its key was retired: one finding for each key and reporter."""
    return _of_key(_after_retirement(_genuine_refused(t, p), p), "genuine, refused after the retirement")


def _after_retirement(seen: ir.Table, p: Params) -> ir.Table:
    used_at = ibis.least(seen.at, seen.received_at)
    return seen.filter((seen.key_status == "retired") & (used_at > seen.retired_at + p.skew))


def _after_revocation(seen: ir.Table, p: Params) -> ir.Table:
    used_at = ibis.least(seen.at, seen.received_at)
    spared = seen.issued_before.notnull() & seen.iat.notnull() & (seen.iat < seen.issued_before)
    return seen.filter(
        (seen.key_status == "revoked") & ~spared & (used_at > seen.revoked_at + p.revocation_grace)
    )


def _genuine_refused(t: Tables, p: Params) -> ir.Table:
    """New observations, with a verified signature, of tokens that we did issue and that were refused."""
    seen = judged(new(t.observed, p))
    refused = seen.filter(seen.verdict != "accepted").semi_join(t.issued, ["digest", "kid"])
    return refused.inner_join(t.keys.rename(key_status="status", key_realm="realm"), "kid")


def _of_key(seen: ir.Table, detail: str) -> ir.Table:
    firsts = seen.group_by(["kid", "reporter"]).aggregate(first_at=seen.at.min(), sightings=seen.count())
    return finding(
        firsts,
        subject=firsts.kid + "/" + firsts.reporter,
        kid=firsts.kid,
        at=firsts.first_at,
        count=firsts.sightings,
        detail=detail,
    )


def dormant_key(t: Tables, p: Params) -> ir.Table:
    """A key that signed nothing for a day around the token's `iat`, used nevertheless."""
    seen = judged(new(t.observed, p))
    seen = seen.filter(seen.iat.notnull()).inner_join(t.keys.select("kid"), "kid")
    last = t.issued.group_by("kid").aggregate(last_iat=t.issued.iat.max())
    named = seen.left_join(last, "kid")
    asleep = named.last_iat.isnull() | (named.iat > named.last_iat + p.dormant_after)
    return of_token(named.filter(asleep), "the ledger knows no recent token of this key")


def canary_token(t: Tables, p: Params) -> ir.Table:
    """A token that was planted and never given out was presented, even if it was refused."""
    planted = t.canaries.filter(t.canaries.kind == "token").select(digest=t.canaries.value)
    return of_token(new(t.observed, p).semi_join(planted, "digest"), "a planted token was presented")


def canary_key(t: Tables, p: Params) -> ir.Table:
    """A key that was planted and never used has signed a token."""
    planted = t.canaries.filter(t.canaries.kind == "key").select(kid=t.canaries.value)
    return of_token(new(t.observed, p).semi_join(planted, "kid"), "a planted key was used")
