"""Fills the lake from a live authority: leaves, observations and keys as Parquet segments.

Segments are append-only and named after what they hold (`<log>-<start>-<end>`, `<first batch>-<last batch>`),
so an export goes on where the last one ended, and one that was interrupted leaves no half segment. Small
tables are written anew. May never write a token or a subject in clear: subjects go in as digests, as
validators report them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from sealwright.detection.engine import write_segment
from sealwright.detection.history import facts_of
from sealwright.detection.model import INTROSPECTION, KeyFacts, Seen, ValidatorStatus
from sealwright.detection.rules import place_of
from sealwright.issuer.events import GrantEvents
from sealwright.keys.model import Key
from sealwright.ledger.model import Entry, Log, TokenLeaf, parse_leaf

LEAVES_AT_ONCE = 50_000
SALT_BYTES = 16
"""Random bytes before the JSON of a private record (docs/formats/ledger.md)."""


class LedgerRows(Protocol):
    """What is read of the ledger."""

    def logs(self) -> list[Log]:
        """Every log."""
        ...

    def entries(self, log_id: str, start: int, end: int) -> list[Entry]:
        """Entries with `start <= index < end`."""
        ...


class KeyRows(Protocol):
    """What is read of the keys."""

    def all(self) -> list[Key]:
        """Every key that ever was."""
        ...


class SeenRows(Protocol):
    """What is read of the observations."""

    def after(self, batch: int, limit: int) -> list[tuple[int, list[Seen]]]:
        """The batches that follow a number, oldest first."""
        ...

    def validators(self) -> list[ValidatorStatus]:
        """Every validator that was heard of."""
        ...


class Beside(Protocol):
    """What is read beside the three: rows of small tables, which are written anew each time."""

    def rows(self) -> Mapping[str, Sequence[dict[str, Any]]]:
        """Rows by table of the catalogue."""
        ...


def export(
    lake: Path,
    ledger: LedgerRows,
    keys: KeyRows,
    seen: SeenRows,
    beside: Beside | None = None,
    events: GrantEvents | None = None,
) -> dict[str, int]:
    """Write what is new since the last export; returns how many rows of each table were written.

    `events` checks the grant events that records carry; without it there are none in the lake.
    """
    every = keys.all()
    realms = {key.kid: key.realm for key in every}
    facts = [(facts_of(key), key.use_from) for key in every]
    wrote = {
        "issued": sum(_export_log(lake, ledger, log, realms, events) for log in ledger.logs()),
        "observed": _export_seen(lake, seen),
        "keys": _replace(lake, "keys", [_key_row(one, begins) for one, begins in facts]),
        "validators": _replace(lake, "validators", _validator_rows(seen.validators())),
    }
    for table, rows in (beside.rows() if beside is not None else {}).items():
        wrote[table] = _replace(lake, table, rows)
    return {table: rows for table, rows in wrote.items() if rows}


def _export_log(
    lake: Path, ledger: LedgerRows, log: Log, realms: dict[str, str], events: GrantEvents | None
) -> int:
    wrote, start = 0, _exported(lake / "issued", f"{log.log_id}-")
    while start < log.size:
        end = min(start + LEAVES_AT_ONCE, log.size)
        entries = ledger.entries(log.log_id, start, end)
        found = [_issued_row(log.log_id, entry, realms, events) for entry in entries]
        rows = [row for row in found if row is not None]
        name = f"{log.log_id}-{start:012}-{end:012}"
        granted = [_grant_row(row) for row in rows if row["event_id"] is not None]
        if granted:  # first: where the leaves end is where the next export begins
            write_segment(lake, "grants", name, granted)
        write_segment(lake, "issued", name, rows)
        wrote, start = wrote + len(rows), end
    return wrote


def _export_seen(lake: Path, seen: SeenRows, at_once: int = 200) -> int:
    wrote, last = 0, _exported(lake / "observed", "")
    while batches := seen.after(last, at_once):
        rows = [_observed_row(one) for _, batch in batches for one in batch]
        first, last = batches[0][0], batches[-1][0]
        write_segment(lake, "observed", f"{first:012}-{last:012}", rows)
        wrote += len(rows)
    return wrote


def _exported(folder: Path, prefix: str) -> int:
    """Where the segments of a prefix end: the number in the last one's name; 0 without any."""
    return max((int(path.stem.rsplit("-", 1)[1]) for path in folder.glob(f"{prefix}*.parquet")), default=0)


def _replace(lake: Path, table: str, rows: Sequence[dict[str, Any]]) -> int:
    if rows:
        write_segment(lake, table, "now", rows)
    return len(rows)


def _issued_row(
    log_id: str, entry: Entry, realms: dict[str, str], events: GrantEvents | None
) -> dict[str, Any] | None:
    leaf = parse_leaf(entry.leaf)
    if not isinstance(leaf, TokenLeaf):
        return None
    kid = base64.urlsafe_b64encode(leaf.kid).decode().rstrip("=")
    record: dict[str, Any] = msgspec.json.decode(entry.record[SALT_BYTES:]) if entry.record else {}
    extra = record.get("extra") or {}
    confirmation = extra.get("cnf") or {}
    return {
        "log_id": log_id,
        "idx": entry.index,
        # The blind part of a jti is not in the ledger; the place is what identifies.
        "jti": f"{log_id}.{entry.index}",
        "digest": leaf.digest.hex(),
        "kid": kid,
        "iat": leaf.iat,
        "exp": leaf.exp,
        "realm": realms.get(kid),
        "client_id": record.get("client_id"),
        "sub_digest": hashlib.sha256(record["sub"].encode()).hexdigest() if record.get("sub") else None,
        "tenant": extra.get("tenant"),
        "aud": _strings(record.get("aud")),
        "scope": _strings(record.get("scope")),
        "grant": record.get("grant"),
        "parent": extra.get("parent"),
        "family": extra.get("family"),
        "cnf": confirmation.get("jkt") or confirmation.get("x5t#S256"),
        "event_id": events.event_of(entry.record) if events is not None and entry.record else None,
    }


def _grant_row(issued: dict[str, Any]) -> dict[str, Any]:
    """The grant event of a token whose record carries a true one."""
    return {
        "event_id": issued["event_id"],
        "at": float(issued["iat"]),
        "client_id": issued["client_id"],
        "kind": issued["grant"],
    }


def _strings(value: object) -> list[str] | None:
    """A list of strings from what the record holds: a list, or words separated by spaces."""
    if isinstance(value, str):
        return value.split()
    return [str(one) for one in value] if isinstance(value, list) else None


def _observed_row(seen: Seen) -> dict[str, Any]:
    one = seen.observation
    place = place_of(one.jti)
    where = {"log_id": place.log_id, "idx": place.index} if place is not None else {}
    about = {"reporter": seen.reporter, "instance": seen.instance, "received_at": seen.received_at}
    return {**msgspec.structs.asdict(one), "aud": list(one.aud), **about, **where}


def _key_row(facts: KeyFacts, activated_at: float) -> dict[str, Any]:
    # The signer refuses to sign before `use_from`; a key that never left `staged` was never activated.
    active = None if facts.status == "staged" else activated_at
    return {**msgspec.structs.asdict(facts), "audiences": list(facts.audiences), "activated_at": active}


def _validator_rows(statuses: Sequence[ValidatorStatus]) -> list[dict[str, Any]]:
    """Validators that run; who asks us by introspection is silent whenever there is nothing to ask."""
    return [_validator_row(one) for one in statuses if one.validator.library != INTROSPECTION]


def _validator_row(status: ValidatorStatus) -> dict[str, Any]:
    validator = status.validator
    return {
        "reporter": status.reporter,
        "instance": validator.instance,
        "heard_at": status.heard_at,
        "manifest_version": validator.manifest_version,
        "manifest_age": validator.manifest_age,
    }


def segments(lake: Path, table: str) -> Iterator[Path]:
    """The segments of a table, oldest first."""
    yield from sorted((lake / table).glob("*.parquet"))
