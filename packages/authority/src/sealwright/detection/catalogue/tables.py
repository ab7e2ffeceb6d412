"""The tables as Ibis expressions, and the few steps that detections share. Names no engine, runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from sealwright.detection.catalogue.model import FINDING, Params
from sealwright.detection.model import ACCEPTED


@dataclass(frozen=True, slots=True)
class Tables:
    """One Ibis table for each of `model.TABLES`."""

    issued: ir.Table
    observed: ir.Table
    keys: ir.Table
    clients: ir.Table
    grants: ir.Table
    revocations: ir.Table
    checkpoints: ir.Table
    signer_counts: ir.Table
    validators: ir.Table
    changes: ir.Table
    canaries: ir.Table


def finding(table: ir.Table, **columns: Any) -> ir.Table:
    """The answer of a detection: the columns that are given, typed nulls for the others, a count of one."""
    filled: Mapping[str, Any] = {"count": 1, **columns}
    return table.select(
        **{
            name: _typed(filled[name], kind) if name in filled else ibis.null().cast(kind)
            for name, kind in FINDING.items()
        }
    )


def of_token(observed: ir.Table, detail: Any) -> ir.Table:
    """The answer for observations: one row for each token, from its first sighting."""
    wanted = ["digest", "kid", "jti", "client_id", "sub_digest", "tenant"]
    noted = observed.mutate(detail=_typed(detail, "string"))
    firsts = noted.group_by("digest").aggregate(
        first_at=used_at(noted).min(),
        sightings=noted.count(),
        told=noted.detail.min(),
        **{f"a_{name}": noted[name].min() for name in wanted[1:]},
    )
    known = {name: firsts[f"a_{name}"] for name in wanted[1:]}
    return finding(
        firsts,
        subject=firsts.digest,
        digest=firsts.digest,
        at=firsts.first_at,
        count=firsts.sightings,
        detail=firsts.told,
        **known,
    )


def used_at(observed: ir.Table) -> Any:
    """When a token was used: a reporter's clock that runs ahead proves nothing."""
    return ibis.least(observed.at, observed.received_at)


def new(observed: ir.Table, p: Params) -> ir.Table:
    """Observations that this run is about."""
    return observed.filter(observed.received_at >= p.since)


def judged(observed: ir.Table) -> ir.Table:
    """Observations that can be an alarm: signature valid, or accepted (see `rules.is_judged`)."""
    return observed.filter((observed.signature == "valid") | (observed.verdict == ACCEPTED))


def accepted(observed: ir.Table) -> ir.Table:
    """Observations of tokens that were let in."""
    return observed.filter(observed.verdict == ACCEPTED)


def _typed(value: Any, kind: str) -> Any:
    return value.cast(kind) if isinstance(value, ir.Value) else ibis.literal(value, kind)
