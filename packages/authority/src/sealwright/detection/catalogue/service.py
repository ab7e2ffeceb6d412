"""Detections of an authority, signer or validator that is not what it should be: insiders, rollbacks,
silence.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from sealwright.detection.catalogue.model import BEGINNING, Params
from sealwright.detection.catalogue.tables import Tables, finding, judged, new

MANAGED_CHANGES = ["change_realm", "change_admission_policy", "change_retention", "change_root"]
OPERATORS = 2
GRANT_AHEAD = 86_400.0
"""Seconds that a grant event may be older than its token."""


def scope_beyond_policy(t: Tables, p: Params) -> ir.Table:
    """Issued with a scope that its client does not have: the issuer itself was made to do it."""
    fresh = t.issued.filter(t.issued.iat >= p.since)
    grants = t.clients.select("client_id", "scopes")
    known = fresh.left_join(grants, "client_id")
    nothing = ibis.literal([], "array<string>")
    scope = known.scope.fill_null(nothing).unique()
    wide = known.filter(scope.length() > scope.intersect(known.scopes.fill_null(nothing)).length())
    return _issued(wide, "a scope that the client does not have")


def issued_without_grant(t: Tables, p: Params) -> ir.Table:
    """Issued, in the ledger, and no grant event belongs to it, or one that belongs to another token: a golden
    issuer.

    A leaf without private record is of a batch that was lost with its authority. Its token never left; so
    it is a finding only once it was seen, like the second use of one event, which a repeated request makes.
    """
    fresh = t.issued.filter(t.issued.iat >= p.since).cross_join(_beginning(t))
    fresh = fresh.filter(fresh.began.isnull() | (fresh.iat >= fresh.began))
    uses = judged(t.observed.filter(t.observed.at >= p.since - p.skew))
    seen = fresh.left_join(uses.select(seen_digest=uses.digest).distinct(), fresh.digest == uses.digest)
    known = t.grants.filter(t.grants.at >= p.since - GRANT_AHEAD)
    bare = seen.anti_join(known, "event_id")
    bare = bare.filter(bare.client_id.notnull() | bare.seen_digest.notnull())
    presented = seen.filter(seen.seen_digest.notnull() & seen.event_id.notnull())
    tokens = presented.group_by("event_id").aggregate(tokens=presented.digest.nunique())
    again = presented.semi_join(tokens.filter(tokens.tokens > 1), "event_id").semi_join(known, "event_id")
    return ibis.union(
        _issued(bare, "no authentication event belongs to it"),
        _issued(again, "its authentication event belongs to another token as well"),
    )


def _beginning(t: Tables) -> ir.Table:
    """Since when every token has its event (null: always); what is older was issued by an older version."""
    marks = t.grants.filter(t.grants.kind == BEGINNING)
    return marks.aggregate(began=marks.at.max())


def client_disabled(t: Tables, p: Params) -> ir.Table:
    """Issued to a client after it was disabled, or to one that was never registered."""
    fresh = t.issued.filter(t.issued.iat >= p.since)
    # Without its record a leaf says nothing of its client; `issued_without_grant` looks at those.
    fresh = fresh.filter(fresh.client_id.notnull())
    known = fresh.left_join(
        t.clients.select("client_id", "disabled_at", known_realm=t.clients.realm), "client_id"
    )
    wrong = known.filter(known.known_realm.isnull() | (known.iat > known.disabled_at + p.revocation_grace))
    return _issued(wrong, "the client is disabled or unknown")


def _issued(rows: ir.Table, detail: str) -> ir.Table:
    return finding(
        rows,
        subject=rows.digest,
        at=rows.iat.cast("float64"),
        digest=rows.digest,
        kid=rows.kid,
        jti=rows.jti,
        client_id=rows.client_id,
        sub_digest=rows.sub_digest,
        tenant=rows.tenant,
        detail=detail,
    )


def signer_count_mismatch(t: Tables, p: Params) -> ir.Table:
    """The signer counted more signatures under a key than the ledger has leaves: one left unlogged."""
    counted = t.signer_counts.group_by(["log_id", "kid"]).aggregate(
        signed=t.signer_counts.signed.max(), counted_at=t.signer_counts.at.max()
    )
    kept = t.issued.group_by(["log_id", "kid"]).aggregate(leaves=t.issued.count())
    both = counted.left_join(kept, ["log_id", "kid"])
    missing = both.filter((both.signed > both.leaves.fill_null(0)) & (both.counted_at <= p.complete_until))
    return finding(
        missing,
        subject=missing.log_id + "/" + missing.kid,
        at=missing.counted_at,
        kid=missing.kid,
        count=missing.signed - missing.leaves.fill_null(0),
        detail="signatures without a leaf in log " + missing.log_id,
    )


def ledger_rolled_back(t: Tables, p: Params) -> ir.Table:
    """A later checkpoint of a log is smaller than an earlier one, or two of one size differ."""
    heads = t.checkpoints
    order = ibis.window(group_by=heads.log_id, order_by=[heads.at, heads.size])
    steps = heads.mutate(before=heads.size.lag().over(order), root_before=heads.root.lag().over(order))
    split = (steps.size == steps.before) & (steps.root != steps.root_before)
    back = steps.filter((steps.at >= p.since) & ((steps.size < steps.before) | split))
    return finding(
        back,
        subject=back.log_id + "/" + back.size.cast("string") + "/" + back.root,
        at=back.at,
        count=back.before - back.size,
        detail="went back or split: log " + back.log_id,
    )


def checkpoint_unwitnessed(t: Tables, p: Params) -> ir.Table:
    """A live log has had no checkpoint with enough witnesses for a while."""
    heads = t.checkpoints
    live = heads.anti_join(heads.filter(~heads.live), "log_id")
    enough = (live.witnesses >= p.witnesses).ifelse(live.at, ibis.null().cast("float64"))
    logs = live.group_by("log_id").aggregate(first_at=live.at.min(), last_at=enough.max())
    # A log that has just begun has as much time as any other.
    stale = logs.filter(ibis.coalesce(logs.last_at, logs.first_at) < p.now - p.checkpoint_age)
    return finding(
        stale,
        subject=stale.log_id,
        at=ibis.literal(p.now, "float64"),
        detail="no recent checkpoint with enough witnesses: log " + stale.log_id,
    )


def validator_silent(t: Tables, p: Params) -> ir.Table:
    """A validator that used to report does not: it is down, cut off, or somebody silenced it."""
    last = t.validators.group_by("reporter").aggregate(last_heard=t.validators.heard_at.max())
    silent = last.filter(last.last_heard < p.now - p.silent_after)
    return finding(
        silent,
        subject=silent.reporter,
        at=silent.last_heard,
        detail="no report, no heartbeat: " + silent.reporter,
    )


def manifest_stale(t: Tables, p: Params) -> ir.Table:
    """A validator that reports works with an old manifest: it will not learn of a revocation in time."""
    heard = t.validators.filter(t.validators.heard_at >= p.now - p.silent_after)
    old = heard.filter(heard.manifest_age > p.manifest_life)
    return finding(
        old,
        subject=old.reporter + "/" + old.instance,
        at=old.heard_at,
        count=old.manifest_age.floor().cast("int64"),
        detail="the manifest's age in seconds is the count",
    )


def trust_changed(t: Tables, p: Params) -> ir.Table:
    """Scope, policy, retention or root was changed by fewer operators than it takes."""
    recent = t.changes.filter(t.changes.at >= p.since)
    alone = recent.filter(recent.action.isin(MANAGED_CHANGES) & (recent.operators < OPERATORS))
    return finding(
        alone,
        subject=alone.action + "/" + alone.subject + "/" + alone.actor,
        at=alone.at,
        count=alone.operators,
        detail=alone.action + " of " + alone.subject + " by " + alone.actor,
    )


def header_attacks(t: Tables, p: Params) -> ir.Table:
    """One relying party is offered many tokens that fail before their signature is even looked at."""
    fresh = new(t.observed, p)
    refused = fresh.filter((fresh.signature == "unverified") & (fresh.verdict != "accepted"))
    tried = refused.group_by(["reporter", "verdict"]).aggregate(
        tries=refused.count(), first_at=refused.at.min()
    )
    many = tried.filter(tried.tries >= p.header_attacks)
    return finding(
        many,
        subject=many.reporter + "/" + many.verdict,
        at=many.first_at,
        count=many.tries,
        detail="refused unverified: " + many.verdict,
    )
