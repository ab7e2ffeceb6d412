"""Runs the catalogue over the lake and raises what it finds as alarms, beside those of the stream.

A finding that the stream has raised already has the same id and is not told again. Needs the extra `detect`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sealwright.detection.catalogue.entries import BY_CODE
from sealwright.detection.catalogue.model import Params, Row
from sealwright.detection.catalogue.tables import Tables
from sealwright.detection.engine import findings
from sealwright.detection.model import Alarm, StoredAlarm
from sealwright.detection.ports import AlarmStore
from sealwright.detection.rules import alarm_id

AT_ONCE = 500
"""Alarms that one commit takes up."""


def hunt(
    tables: Tables, params: Params, alarms: AlarmStore, codes: Collection[str] | None = None
) -> list[StoredAlarm]:
    """Run detections and keep what they find; returns the alarms that are new."""
    new: list[StoredAlarm] = []
    for group in _groups(findings(tables, params, codes)):
        new += alarms.add([alarm_of_row(row, params.now) for row in group])
    return new


def alarm_of_row(row: Row, now: float) -> Alarm:
    """The alarm of a finding over history. Its subject is the token's digest wherever a token is meant."""
    return Alarm(
        id=alarm_id(row.code, row.subject),
        code=row.code,
        severity=BY_CODE[row.code].severity,
        raised_at=now,
        observed_at=row.at,
        reporter="",
        digest=row.digest or "",
        kid=row.kid,
        jti=row.jti,
        facts={
            "subject": row.subject,
            "detail": row.detail,
            "count": row.count,
            "client_id": row.client_id,
            "sub_digest": row.sub_digest,
            "tenant": row.tenant,
        },
    )


def _groups(rows: Iterable[Row]) -> Iterable[Sequence[Row]]:
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) >= AT_ONCE:
            yield group
            group = []
    if group:
        yield group
