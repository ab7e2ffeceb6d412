"""Detections of clients and subjects that behave as they never did: guesses, with a baseline to compare with.

First-seen client is the signal that found Storm-0558: an application that had never read that mailbox.
Baseline 14 days, memory 90 days, as the public rule for that signal has them.
"""

from __future__ import annotations

import ibis.expr.types as ir

from sealwright.detection.catalogue.model import Params
from sealwright.detection.catalogue.tables import Tables, accepted, finding

HOUR = 3_600.0
HOURS_OF_DAY = 24


def _remembered(t: Tables, p: Params) -> ir.Table:
    seen = accepted(t.observed)
    return seen.filter((seen.received_at < p.since) & (seen.received_at >= p.since - p.memory))


def _new(t: Tables, p: Params) -> ir.Table:
    seen = accepted(t.observed)
    return seen.filter(seen.received_at >= p.since)


def first_seen_client(t: Tables, p: Params) -> ir.Table:
    """A client reads a subject's resource for the first time in 90 days; the subject has a history."""
    keys = ["sub_digest", "resource"]
    fresh = _new(t, p)
    fresh = fresh.filter(fresh.sub_digest.notnull() & fresh.resource.notnull() & fresh.client_id.notnull())
    past = _remembered(t, p)
    settled = past.group_by(keys).aggregate(since=past.received_at.min())
    settled = settled.filter(settled.since <= p.since - p.baseline)
    fresh = fresh.semi_join(settled, keys).anti_join(past, [*keys, "client_id"])
    firsts = fresh.group_by([*keys, "client_id"]).aggregate(
        first_at=fresh.at.min(),
        uses=fresh.count(),
        of=fresh.tenant.min(),
        token=fresh.digest.min(),
        place=fresh.jti.min(),
    )
    return finding(
        firsts,
        subject=firsts.sub_digest + "/" + firsts.resource + "/" + firsts.client_id,
        at=firsts.first_at,
        digest=firsts.token,
        jti=firsts.place,
        client_id=firsts.client_id,
        sub_digest=firsts.sub_digest,
        tenant=firsts.of,
        count=firsts.uses,
        detail="first use of " + firsts.resource,
    )


def new_network(t: Tables, p: Params) -> ir.Table:
    """A client with 14 days of history comes from a network that it was never seen on."""
    fresh = _new(t, p)
    fresh = fresh.filter(fresh.client_id.notnull() & fresh.network.notnull())
    past = _remembered(t, p)
    past = past.filter(past.network.notnull())
    settled = past.group_by("client_id").aggregate(since=past.received_at.min())
    settled = settled.filter(settled.since <= p.since - p.baseline)
    fresh = fresh.semi_join(settled, "client_id").anti_join(past, ["client_id", "network"])
    firsts = fresh.group_by(["client_id", "network"]).aggregate(first_at=fresh.at.min(), uses=fresh.count())
    return finding(
        firsts,
        subject=firsts.client_id + "/" + firsts.network,
        at=firsts.first_at,
        client_id=firsts.client_id,
        count=firsts.uses,
        detail="first use from " + firsts.network,
    )


def volume_burst(t: Tables, p: Params) -> ir.Table:
    """A client does in one hour a multiple of the most it ever did at that hour of the day."""
    seen = accepted(t.observed)
    seen = seen.filter(seen.client_id.notnull() & (seen.received_at >= p.since - p.baseline))
    seen = seen.mutate(hour=(seen.at / HOUR).floor().cast("int64"))
    hours = seen.group_by(["client_id", "hour"]).aggregate(
        uses=seen.count(), first_at=seen.at.min(), last_received=seen.received_at.max()
    )
    hours = hours.mutate(of_day=hours.hour % HOURS_OF_DAY)
    past = hours.filter(hours.last_received < p.since)
    usual = past.group_by(["client_id", "of_day"]).aggregate(most=past.uses.max())
    current = hours.filter(hours.last_received >= p.since).left_join(usual, ["client_id", "of_day"])
    most = current.most.fill_null(0)
    bursts = current.filter((current.uses >= p.burst_least) & (current.uses > most * p.burst_factor))
    return finding(
        bursts,
        subject=bursts.client_id + "/" + bursts.hour.cast("string"),
        at=bursts.first_at,
        client_id=bursts.client_id,
        count=bursts.uses,
        detail="uses in one hour; most before: " + bursts.most.fill_null(0).cast("string"),
    )


def low_and_slow(t: Tables, p: Params) -> ir.Table:
    """A client touches very many subjects, few times each, never in a hurry: harvesting, not use."""
    seen = accepted(t.observed)
    seen = seen.filter(
        seen.client_id.notnull() & seen.sub_digest.notnull() & (seen.received_at >= p.since - p.baseline)
    )
    seen = seen.mutate(hour=(seen.at / HOUR).floor().cast("int64"))
    pairs = seen.group_by(["client_id", "sub_digest"]).aggregate(uses=seen.count())
    harvest = pairs.group_by("client_id").aggregate(subjects=pairs.count(), most_uses=pairs.uses.max())
    hours = seen.group_by(["client_id", "hour"]).aggregate(uses=seen.count())
    pace = hours.group_by("client_id").aggregate(busiest=hours.uses.max())
    spans = seen.group_by("client_id").aggregate(
        first_at=seen.at.min(), last_received=seen.received_at.max(), uses=seen.count()
    )
    clients = harvest.inner_join(pace, "client_id").inner_join(spans, "client_id")
    slow = clients.filter(
        (clients.subjects >= p.slow_subjects)
        & (clients.most_uses <= p.slow_hits)
        & (clients.busiest <= p.slow_hourly)
        & (clients.last_received >= p.since)
    )
    return finding(
        slow,
        subject=slow.client_id,
        at=slow.first_at,
        client_id=slow.client_id,
        count=slow.subjects,
        detail="subjects touched a few times each; uses: " + slow.uses.cast("string"),
    )
