"""Compares a gate's ledger with its spool and with what lies outside.

A chain alone does not show that its last lines are gone; the records and files that they were about do. May
never do: change anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sealwright_dumps.errors import Refused
from sealwright_dumps.gate.model import Record, State
from sealwright_dumps.gate.spool import Spool

Step = Mapping[str, Any]
_STEP_OF = {
    State.QUARANTINED: "quarantined",
    State.REDACTED: "redacted",
    State.RELEASING: "redacted",
    State.RELEASED: "released",
    State.REFUSED: "refused",
}
_RELEASE = ("releasing", "released", "withheld")


def require_told(
    records: list[Record], spool: Spool, outside: Path, steps: list[dict[str, Any]]
) -> list[str]:
    """The names of the dumps whose release was begun and has no end yet. Read `records` before `steps`: each
    line is written before what it tells. Raises Refused where the ledger does not tell what is there.
    """
    told: dict[str, list[Step]] = {}
    for step in steps:
        told.setdefault(str(step.get("name", "")), []).append(step)
    for record in records:
        _require_record(record, spool, told.get(record.name, []))
    for path in sorted(outside.glob("*.dump")):
        if _last_of_release(told.get(path.stem, [])) not in ("releasing", "released"):
            raise Refused(
                "ledger-incomplete", f"the ledger tells of no release of {path.stem}, which is outside"
            )
    return [name for name, about in told.items() if _last_of_release(about) == "releasing"]


def _require_record(record: Record, spool: Spool, about: list[Step]) -> None:
    wanted = _STEP_OF[record.state]
    if not any(s["step"] == wanted and s.get("manifest_sha256") == record.manifest_sha256 for s in about):
        raise Refused("ledger-incomplete", f"{record.name} is {record.state}, and no line tells of it")
    approved = {step.get("approver") for step in about if step["step"] == "approved"}
    if any(approval.approver not in approved for approval in spool.approvals(record.name)):
        raise Refused("ledger-incomplete", f"{record.name} has an approval that no line tells of")


def _last_of_release(about: list[Step]) -> str:
    return next((str(s["step"]) for s in reversed(about) if s["step"] in _RELEASE), "")
