"""Writes the generated world as a lake, with the truth beside it.

`truth.json` in the folder says for each code which subjects there are to find; no detection reads it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from sealwright.detection.engine import write_arrow, write_segment
from sealwright.detection.lab.attacks import CONSUMER_KEY, Truth, hidden
from sealwright.detection.lab.traffic import (
    DAY,
    HOUR,
    ISSUER,
    MAIL,
    NOW,
    Lake,
    Plan,
    look_alikes,
    ordinary,
    people_of,
)
from sealwright.errors import Misconfigured

TRUTH = "truth.json"


def generate(folder: Path, plan: Plan) -> Truth:
    """Make the world of a plan in an empty folder; returns the truth."""
    lake = Lake(plan, np.random.default_rng(plan.seed))
    people = people_of(lake)
    ordinary(lake, people)
    look_alikes(lake, people)
    truth = hidden(lake, people)
    _service(lake)
    for table, parts in lake.parts.items():
        write_arrow(folder, table, "1", pa.concat_tables(parts))
    for table, rows in lake.rows.items():
        write_segment(folder, table, "1", rows)
    _grants(folder, lake)
    (folder / TRUTH).write_bytes(msgspec.json.encode(truth))
    return truth


def read_truth(folder: Path) -> Truth:
    """What there is to find.

    Raises:
        Misconfigured: `no_world`, the folder was not made by `generate`.
    """
    try:
        return msgspec.json.decode((folder / TRUTH).read_bytes(), type=Truth)
    except (OSError, msgspec.DecodeError) as error:
        text = f"{folder} holds no generated world ({TRUTH}); make one with `sealwright lab generate`"
        raise Misconfigured("no_world", text, str(error)) from error


def _service(lake: Lake) -> None:
    shared = {"realm": "enterprise", "issuer": ISSUER, "audiences": [MAIL], "max_lifetime": 2 * HOUR}
    old = {
        "use_from": float(NOW - 60 * DAY),
        "use_until": float(NOW - DAY),
        "verify_until": float(NOW - DAY + 2 * HOUR),
    }
    lake.add("keys", kid="key-old", status="verify-only", activated_at=float(NOW - 60 * DAY), **shared, **old)
    new = {
        "use_from": float(NOW - DAY),
        "use_until": float(NOW + DAY),
        "verify_until": float(NOW + DAY + 2 * HOUR),
    }
    lake.add("keys", kid="key-active", status="active", activated_at=float(NOW - DAY), **shared, **new)
    lake.add("keys", **CONSUMER_KEY)
    facts = {"instance": "i-1", "manifest_version": 9, "manifest_age": 3.0}
    for reporter in ("mail", "shop"):
        lake.add("validators", reporter=reporter, heard_at=float(NOW), **facts)
    lake.add(
        "checkpoints",
        log_id="abcdefghijklmnop",
        size=lake.index,
        root="r",
        at=float(NOW),
        witnesses=2,
        live=True,
    )


def _grants(folder: Path, lake: Lake) -> None:
    """An authentication event for every token that names one."""
    events = pa.concat_tables(lake.parts["issued"]).select(["event_id", "iat", "client_id"])
    kind = pa.array(["login"] * events.num_rows)
    columns = [events["event_id"], events["iat"].cast(pa.float64()), events["client_id"], kind]
    named = pa.table(columns, names=["event_id", "at", "client_id", "kind"])
    write_arrow(folder, "grants", "1", named.filter(pa.compute.is_valid(named["event_id"])))
