"""Blast radius: what forgeries did touch, what they could have touched, and which evidence is missing.

The two sets are kept apart. Touched is proof: a token with a valid signature that the ledger does not have,
presented somewhere. Could have been touched is everything in the key's (or client's) reach over the same
time. Where nobody reported, nothing is proven either way, and that is said. A forged use is a tenant's where
the relying party said so, or where its subject is known in that tenant and in no other. Needs the extra
`detect`; reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import ibis
import ibis.expr.types as ir

from sealwright.detection.catalogue.tables import Tables, judged
from sealwright.detection.engine import kept, rows_of
from sealwright.detection.model import ACCEPTED
from sealwright.errors import Refused
from sealwright.response.affected import UNKNOWN_TENANT, Hour, Missing, Question, Reach, Scope, Touched

TOLD = (
    "tenant",
    "sub_digest",
    "client_id",
    "aud",
    "resource",
    "reporter",
    "kid",
    "verdict",
    "digest",
    "at",
)
"""What is told of a forged use."""
GAP = 3_600.0
"""Seconds without a single report from a relying party that count as missing evidence."""


STEPS = 5
Progress = Callable[[str], None]


def scope(t: Tables, question: Question, progress: Progress | None = None) -> Scope:
    """Answer a question.

    Args:
        t: the lake.
        question: a key, a client, or neither, and a time.
        progress: is told each of the steps before it is taken.

    Raises:
        Refused: `nothing_asked`, `unknown_key` or `unknown_client`.
    """
    say = progress or (lambda _step: None)
    if question.kid is not None and question.client_id is not None:
        raise Refused("nothing_asked", "Ask about one key or one client, not about both.")
    if not question.since < question.until:
        raise Refused("nothing_asked", "The time that is asked about ends before it begins.")
    say(f"1/{STEPS} forged tokens that were presented")
    keys = _keys(t, question)
    _require_known(t, question.client_id)
    forged = _forged(t, question)
    touched = [_touched(row) for row in rows_of(_by_subject(forged))]
    say(f"2/{STEPS} when they were used")
    hours = [
        Hour(tenant=row["tenant"], at=float(row["hour"]) * GAP, uses=int(row["uses"]))
        for row in rows_of(_by_hour(forged))
    ]
    say(f"3/{STEPS} the keys' facts")
    if question.kid is None and question.client_id is None:
        keys = _described(t, {row.kid for row in touched if row.kid is not None})
    say(f"4/{STEPS} genuine activity in the same reach")
    reach = [_reach(row, touched) for row in rows_of(_in_reach(t, question, keys))]
    say(f"5/{STEPS} missing evidence")
    realms, audiences = _scope_of(keys)
    return Scope(
        question=question,
        realm=" ".join(realms) or None,
        audiences=audiences,
        touched=touched,
        reach=reach,
        missing=[*_missing(t, question, audiences), *_unplaced(touched, reach)],
        hours=hours,
    )


def _keys(t: Tables, question: Question) -> list[dict[str, Any]]:
    """The facts of the key that is asked about; it must have been ours."""
    if question.kid is None:
        return []
    found = _described(t, {question.kid})
    if not found:
        raise Refused("unknown_key", "That key was never ours: it has no scope here.")
    return found


def _require_known(t: Tables, client_id: str | None) -> None:
    """A client that nobody has heard of is a slip of the pen, and not one that touched nobody."""
    if client_id is None:
        return
    for table in (t.clients, t.issued, t.observed):
        if rows_of(table.filter(table.client_id == client_id).select("client_id").limit(1)):
            return
    raise Refused("unknown_client", "There is no such client, and no token of it was ever seen.")


def _described(t: Tables, kids: set[str]) -> list[dict[str, Any]]:
    return rows_of(t.keys.filter(t.keys.kid.isin(sorted(kids))).select("realm", "audiences")) if kids else []


def _scope_of(keys: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Realms and audiences of keys."""
    realms = sorted({key["realm"] for key in keys})
    return realms, sorted({audience for key in keys for audience in key["audiences"]})


def _forged(t: Tables, question: Question) -> ir.Table:
    """Judged observations in the question's time whose place holds no such token; tenant filled in."""
    seen = judged(t.observed)
    seen = seen.filter((seen.at >= question.since) & (seen.at < question.until))
    if question.kid is not None:
        seen = seen.filter(seen.kid == question.kid)
    elif question.client_id is not None:
        seen = seen.filter(seen.client_id == question.client_id)
    leaves = t.issued.select("log_id", "idx", "digest")
    # The join with the ledger is what costs: it is done once.
    forged = kept(seen.anti_join(leaves, ["log_id", "idx", "digest"]).select(*TOLD))
    placed = forged.left_join(_homes(t, forged), "sub_digest")
    return placed.mutate(
        tenant=ibis.coalesce(placed.tenant, placed.home, UNKNOWN_TENANT),
        audience=placed.aud.fill_null(ibis.literal([], "array<string>")).join(" "),
    )


def _homes(t: Tables, forged: ir.Table) -> ir.Table:
    """The tenant of each subject of a forged token, where it is known in one tenant only: a name like `admin`
    that several have must not put one tenant's matter before another.
    """
    told = judged(t.observed).semi_join(forged, "sub_digest").anti_join(forged, "digest")
    columns = ["sub_digest", "tenant"]
    known = t.issued.semi_join(forged, "sub_digest").select(columns).union(told.select(columns))
    known = known.filter(known.sub_digest.notnull() & known.tenant.notnull())
    tenants = known.group_by("sub_digest").aggregate(home=known.tenant.min(), last=known.tenant.max())
    return tenants.filter(tenants.home == tenants.last).select("sub_digest", "home")


def _by_subject(forged: ir.Table) -> ir.Table:
    keys = ["tenant", "sub_digest", "client_id", "audience", "resource", "reporter", "kid"]
    accepted = (forged.verdict == ACCEPTED).cast("int64")
    rows = forged.group_by(keys).aggregate(
        tokens=forged.digest.nunique(),
        uses=forged.count(),
        accepted=accepted.sum(),
        first_at=forged.at.min(),
        last_at=forged.at.max(),
    )
    return rows.order_by(["tenant", "first_at", "sub_digest", "reporter", "resource", "kid"])


def _by_hour(forged: ir.Table) -> ir.Table:
    hours = forged.mutate(hour=(forged.at / GAP).floor().cast("int64"))
    return hours.group_by(["tenant", "hour"]).aggregate(uses=hours.count()).order_by(["hour", "tenant"])


def _in_reach(t: Tables, question: Question, keys: list[dict[str, Any]]) -> ir.Table:
    genuine = t.issued.filter((t.issued.iat >= question.since) & (t.issued.iat < question.until))
    if question.client_id is not None:
        genuine = genuine.filter(genuine.client_id == question.client_id)
    else:
        genuine = genuine.filter(genuine.realm.isin(_scope_of(keys)[0] or [""]))
    rows = _with_tenant(genuine).union(_as_reported(t, genuine.filter(genuine.tenant.isnull())))
    reach = rows.group_by("of").aggregate(
        subjects=rows.who.nunique(), tokens=rows.tokens.sum(), first_at=rows.iat.min(), last_at=rows.iat.max()
    )
    return reach.order_by("of")


def _with_tenant(genuine: ir.Table) -> ir.Table:
    """Tokens whose tenant the ledger's private records name."""
    named = genuine.filter(genuine.tenant.notnull())
    return named.select(of=named.tenant, who=named.sub_digest, tokens=ibis.literal(1, "int64"), iat=named.iat)


def _as_reported(t: Tables, unplaced: ir.Table) -> ir.Table:
    """Tokens whose tenant only relying parties can name: they say whose data each was used for, and one token
    of a service may be used for many. A token counts once for each tenant.
    """
    seen = t.observed.filter(t.observed.tenant.notnull()).semi_join(unplaced, ["log_id", "idx", "digest"])
    told = seen.select("digest", of=seen.tenant, whom=seen.sub_digest).distinct()
    rows = unplaced.select("digest", "iat", "sub_digest").left_join(told, "digest")
    nth = ibis.row_number().over(group_by=[rows.digest, rows.of], order_by=rows.whom)
    return rows.select(
        of=ibis.coalesce(rows.of, UNKNOWN_TENANT),
        who=ibis.coalesce(rows.whom, rows.sub_digest),
        tokens=(nth == 0).cast("int64"),
        iat=rows.iat,
    )


def _touched(row: dict[str, Any]) -> Touched:
    uses, accepted = int(row.pop("uses")), int(row.pop("accepted"))
    return Touched(**row, accepted=accepted, refused=uses - accepted)


def _reach(row: dict[str, Any], touched: list[Touched]) -> Reach:
    tenant = row["of"]
    return Reach(
        tenant=tenant,
        subjects=int(row["subjects"]),
        tokens=int(row["tokens"]),
        touched_subjects=len({one.sub_digest for one in touched if one.tenant == tenant}),
        first_at=float(row["first_at"]),
        last_at=float(row["last_at"]),
    )


def _missing(t: Tables, question: Question, audiences: list[str]) -> Iterator[Missing]:
    seen = t.observed.filter((t.observed.at >= question.since) & (t.observed.at < question.until))
    reporters = {row["reporter"]: row for row in rows_of(_activity(seen))}
    for row in rows_of(t.validators.select("reporter").distinct().order_by("reporter")):
        if row["reporter"] not in reporters:
            yield Missing("silent_reporter", row["reporter"], "registered, and reported nothing in this time")
    for name, row in sorted(reporters.items()):
        if row["first_at"] > question.since + GAP or row["last_at"] < question.until - GAP:
            times = f"reports from {_time(row['first_at'])} to {_time(row['last_at'])} only"
            yield Missing("partial_reports", name, times)
    if audiences:
        heard = {aud for row in rows_of(seen.select("aud").distinct()) for aud in row["aud"] or ()}
        for audience in sorted(set(audiences) - heard):
            yield Missing(
                "unreported_audience", audience, "in the key's scope; no relying party of it reports"
            )
    refused = seen.filter(seen.signature == "unverified")
    unverified = rows_of(refused.aggregate(uses=refused.count()))[0]["uses"]
    if unverified:
        yield Missing("unverified", "refusals", "refused before the signature was verified", int(unverified))


def _unplaced(touched: list[Touched], reach: list[Reach]) -> Iterator[Missing]:
    uses = sum(row.accepted + row.refused for row in touched if row.tenant == UNKNOWN_TENANT)
    if uses:
        told = "forged uses whose tenant no report names, and whose subject no tenant or more than one has"
        yield Missing("unplaced", UNKNOWN_TENANT, told, uses)
    tokens = sum(row.tokens for row in reach if row.tenant == UNKNOWN_TENANT)
    if tokens:
        told = "genuine tokens in reach whose tenant neither the ledger nor a report names"
        yield Missing("unplaced_reach", UNKNOWN_TENANT, told, tokens)


def _activity(seen: ir.Table) -> ir.Table:
    return seen.group_by("reporter").aggregate(first_at=seen.at.min(), last_at=seen.at.max())


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
