"""Detections of genuine tokens in wrong hands, and of tokens that outlive what they rest on."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from sealwright.detection.catalogue.model import Params
from sealwright.detection.catalogue.tables import Tables, accepted, finding, judged, new, of_token, used_at

EARTH_KM = 6_371.0
HOUR = 3_600.0
HUNDRED_KM = 100.0


def token_replayed(t: Tables, p: Params) -> ir.Table:
    """One token used from several networks."""
    seen = accepted(t.observed)
    seen = seen.filter(seen.network.notnull())
    spread = seen.group_by("digest").aggregate(
        networks=seen.network.nunique(),
        last_received=seen.received_at.max(),
        last_at=seen.at.max(),
        by=seen.client_id.min(),
        whose=seen.sub_digest.min(),
        place=seen.jti.min(),
    )
    spread = spread.filter((spread.networks >= p.replay_networks) & (spread.last_received >= p.since))
    return finding(
        spread,
        subject=spread.digest,
        at=spread.last_at,
        digest=spread.digest,
        jti=spread.place,
        client_id=spread.by,
        sub_digest=spread.whose,
        count=spread.networks,
        detail="one token from several networks",
    )


def binding_failed(t: Tables, p: Params) -> ir.Table:
    """A token bound to a key of its client, let in with another proof or with none."""
    bound = t.issued.filter(t.issued.cnf.notnull()).select("digest", "cnf")
    seen = accepted(new(t.observed, p)).inner_join(bound, "digest")
    return of_token(
        seen.filter(seen.binding.fill_null("") != seen.cnf), "let in without its proof of possession"
    )


def family_reused(t: Tables, p: Params) -> ir.Table:
    """Two children of one refresh token: it was used twice, so one of the users stole it."""
    children = t.issued.filter((t.issued.grant == "refresh_token") & t.issued.parent.notnull())
    twice = children.group_by("parent").aggregate(
        children=children.count(),
        last_iat=children.iat.max(),
        by=children.client_id.min(),
        whose=children.sub_digest.min(),
        of=children.tenant.min(),
    )
    twice = twice.filter((twice.children > 1) & (twice.last_iat >= p.since))
    return finding(
        twice,
        subject=twice.parent,
        at=twice.last_iat.cast("float64"),
        jti=twice.parent,
        client_id=twice.by,
        sub_digest=twice.whose,
        tenant=twice.of,
        count=twice.children,
        detail="one refresh token used more than once",
    )


def used_after_revocation(t: Tables, p: Params) -> ir.Table:
    """A token let in after it, its family or its client was revoked."""
    derived = t.issued.filter(t.issued.family.notnull() | t.issued.parent.notnull())
    families = derived.select("digest", family=ibis.coalesce(derived.family, derived.parent))
    seen = accepted(new(t.observed, p)).left_join(families, "digest")
    ended = t.revocations
    tokens = seen.inner_join(
        ended.filter(ended.kind == "token").select(jti=ended.value, ended_at=ended.at), "jti"
    )
    clients = seen.inner_join(
        ended.filter(ended.kind == "client").select(client_id=ended.value, ended_at=ended.at), "client_id"
    )
    trees = seen.inner_join(
        ended.filter(ended.kind == "family").select(family=ended.value, ended_at=ended.at), "family"
    )
    columns = [*t.observed.columns, "ended_at"]
    late = ibis.union(*(part.select(columns) for part in (tokens, clients, trees)))
    return of_token(
        late.filter(used_at(late) > late.ended_at + p.revocation_grace), "let in after its revocation"
    )


def used_after_expiry(t: Tables, p: Params) -> ir.Table:
    """A token let in after it had expired, beyond the skew of clocks."""
    seen = accepted(new(t.observed, p))
    return of_token(seen.filter(used_at(seen) > seen.exp + p.skew), "let in after it had expired")


def issued_in_future(t: Tables, p: Params) -> ir.Table:
    """A valid signature on a token from the future: a clock is wrong, or somebody stocks up on forgeries."""
    seen = judged(new(t.observed, p))
    return of_token(seen.filter(seen.iat > seen.received_at + p.skew), "iat in the future")


def impossible_travel(t: Tables, p: Params) -> ir.Table:
    """One subject, two places, and no vehicle fast enough in between."""
    seen = accepted(t.observed)
    seen = seen.filter(
        seen.sub_digest.notnull()
        & seen.latitude.notnull()
        & seen.longitude.notnull()
        & (seen.received_at >= p.since - HOUR * 24)
    )
    order = ibis.window(group_by=seen.sub_digest, order_by=[seen.at, seen.id])
    steps = seen.mutate(
        from_at=seen.at.lag().over(order),
        from_lat=seen.latitude.lag().over(order),
        from_lon=seen.longitude.lag().over(order),
    )
    steps = steps.filter((steps.received_at >= p.since) & steps.from_at.notnull())
    steps = steps.mutate(km=_distance(steps.from_lat, steps.from_lon, steps.latitude, steps.longitude))
    # A quarter of an hour at least: two gateways of one company are no journey.
    hours = ibis.greatest((steps.at - steps.from_at) / HOUR, 0.25)
    far = steps.filter((steps.km > p.travel_km) & (steps.km / hours > p.travel_kmh))
    hundreds = (far.km / HUNDRED_KM).floor().cast("int64").cast("string")
    return of_token(far, "hundreds of km: " + hundreds)


def _distance(lat_a: ir.Value, lon_a: ir.Value, lat_b: ir.Value, lon_b: ir.Value) -> ir.Value:
    """Kilometres along the great circle (haversine), arguments in degrees."""
    half_lat = ((lat_b - lat_a) / 2).radians().sin()
    half_lon = ((lon_b - lon_a) / 2).radians().sin()
    bend = half_lat * half_lat + lat_a.radians().cos() * lat_b.radians().cos() * half_lon * half_lon
    return 2 * EARTH_KM * ibis.least(bend, 1.0).sqrt().asin()
