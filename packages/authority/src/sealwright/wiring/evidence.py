"""Evidence beside the rows, as segments of the lake: what each signer counted, and the heads of the logs with
their witnesses, as they were at every search.

Appended, never written anew: what a rolled-back database would make unseen stays. Reads only, apart from its
segments. May never fail a search: a signer that does not answer has no row.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from sealwright.config import Config
from sealwright.detection.engine import write_segment
from sealwright.errors import Refused
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.model import Log
from sealwright.ledger.note import open_checkpoint, parse_vkey
from sealwright.wiring.cold import cold_files
from sealwright.wiring.signers import SignerEntry, SignerList
from sealwright_signer.client import Connection, SignerGone, SignerRefused
from sealwright_validate import errors as validate_errors
from sealwright_validate.note import Checkpoint
from sealwright_validate.witnesses import WitnessPolicy

log = logging.getLogger(__name__)
PATIENCE = 5.0
"""Seconds that a signer has to tell its counters."""
SECONDS = 1_000.0

Rows = list[dict[str, Any]]


def keep(config: Config, logs: Sequence[Log], now: float) -> dict[str, int]:
    """Append what there is now; returns the rows of each table. Before the leaves are exported: what the
    signer counted must be in them then.
    """
    name = f"{int(now * SECONDS):015}"
    found = {
        "signer_counts": _counts(config.state.path, now),
        "checkpoints": _heads(config, logs, now),
    }
    for table, rows in found.items():
        if rows:
            write_segment(config.lake, table, f"{name}-{name}", rows)
    return {table: len(rows) for table, rows in found.items() if rows}


def _counts(state: Path, now: float) -> Rows:
    """Tokens that each key has signed and that were said to be durable: the least that the ledger must
    have.
    """
    file = state / "run" / "signers.json"
    try:
        entries = msgspec.json.decode(file.read_bytes(), type=SignerList).signers
    except (FileNotFoundError, msgspec.DecodeError):
        return []
    told = asyncio.run(_ask_all(state, entries))
    rows = []
    for entry, counters in told:
        waiting = counters["size"] - counters["acked"]  # signed, but not said to be durable yet
        rows += [
            {"log_id": entry.log_id, "kid": kid, "signed": signed - waiting, "at": now}
            for kid, signed in counters["by_key"].items()
            if signed > waiting
        ]
    return rows


async def _ask_all(state: Path, entries: Sequence[SignerEntry]) -> list[tuple[SignerEntry, dict[str, Any]]]:
    answers = await asyncio.gather(*(_ask(state, entry) for entry in entries))
    return [(entry, told) for entry, told in zip(entries, answers, strict=True) if told is not None]


async def _ask(state: Path, entry: SignerEntry) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(PATIENCE):
            connection = await Connection.open(state / entry.socket)
            try:
                hello = await connection.hello("observer")
                return await connection.stats() if hello.log_id == entry.log_id else None
            finally:
                await connection.close()
    except (SignerGone, SignerRefused, TimeoutError) as error:
        log.warning("signer not asked", extra={"facts": {"log_id": entry.log_id, "error": repr(error)}})
        return None


def _heads(config: Config, logs: Sequence[Log], now: float) -> Rows:
    """Every live log's head, and each closed one's once, and whenever it is not what it was."""
    policy = _policy(config)
    files = LedgerFiles(config.state.path / "ledger", cold_files(config))
    known = set(_ended(config.lake))
    rows = []
    for stored in logs:
        root = _root(stored)
        live = stored.closed_at is None
        if stored.size and (live or (stored.log_id, stored.size, root) not in known):
            least = now - 2.0 * config.detection.every
            witnesses = _witnesses(stored, files.checkpoint(stored.log_id), policy, least) if policy else 0
            head = {"log_id": stored.log_id, "size": stored.size, "root": root, "at": now}
            rows.append({**head, "witnesses": witnesses, "live": live})
    return rows


def _policy(config: Config) -> WitnessPolicy | None:
    try:
        return WitnessPolicy.read(config.witness.policy) if config.witness.policy else None
    except validate_errors.Misconfigured as error:
        log.warning("witness policy not read", extra={"facts": {"error": str(error)}})
        return None


def _root(stored: Log) -> str:
    """The root as the stored note names it; what is wrong with the note is fsck's to say."""
    lines = stored.checkpoint.split("\n")
    return lines[2] if len(lines) > 2 else ""  # noqa: PLR2004 - origin, size, root


def _ended(lake: Path) -> Iterator[tuple[str, int, str]]:
    for file in (lake / "checkpoints").glob("*.parquet"):
        rows = pq.read_table(file, columns=["log_id", "size", "root", "live"]).to_pylist()
        yield from ((row["log_id"], row["size"], row["root"]) for row in rows if not row["live"])


def _witnesses(stored: Log, note: str | None, policy: WitnessPolicy, least: float) -> int:
    """How many witnesses cosigned the published head; 0 when they are no quorum, or the log has long grown
    past that head.
    """
    if note is None:
        return 0
    try:
        opened = open_checkpoint(note, parse_vkey(stored.vkey))
        times = policy.cosigned(note, Checkpoint(stored.origin, opened.size, opened.root))
    except (Refused, validate_errors.Refused):
        return 0  # nothing of such a file counts
    if opened.size < stored.size:
        times = {name: at for name, at in times.items() if at >= least}
    return len(times) if policy.is_met(times) else 0
