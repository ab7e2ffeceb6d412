"""The allow-list: findings that someone has judged, with a reason and an end.

May never do: match without an end date, or match everything.
"""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sealwright_dumps import given
from sealwright_dumps.errors import Misconfigured
from sealwright_dumps.model import Finding

FORMAT = "sealwright-dumps-allow/1"
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One judged finding: a kind and a path pattern or a key id, why it is no harm, and until when
    (inclusive).
    """

    kind: str
    path: str
    key_id: str
    reason: str
    expires: date

    def covers(self, path: str, finding: Finding) -> bool:
        """Whether the entry is about this finding, expired or not."""
        right_kind = self.kind in ("*", finding.kind)
        right_key = not self.key_id or self.key_id == finding.key_id
        return right_kind and right_key and (not self.path or fnmatch.fnmatchcase(path, self.path))


@dataclass(frozen=True, slots=True)
class AllowList:
    """All entries."""

    entries: tuple[Entry, ...] = ()

    def permits(self, path: str, finding: Finding, today: date) -> bool:
        """Whether an entry that has not expired covers the finding."""
        return any(entry.expires >= today and entry.covers(path, finding) for entry in self.entries)

    def expired(self, today: date) -> tuple[Entry, ...]:
        """Entries that no longer count, so that someone looks again."""
        return tuple(entry for entry in self.entries if entry.expires < today)


def load(path: Path) -> AllowList:
    """Read an allow-list. Raises Misconfigured for an entry without reason or end, or that covers
    everything.
    """
    try:
        body = json.loads(given.read(path))
        if body["format"] != FORMAT:
            raise Misconfigured("allow-format", "not an allow-list of a known version")
        return AllowList(tuple(_entry(fields) for fields in body["entries"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Misconfigured(
            "allow-unreadable", "the allow-list cannot be read", f"{path}: {error}"
        ) from error


def _entry(fields: dict[str, Any]) -> Entry:
    entry = Entry(
        str(fields["kind"]),
        str(fields.get("path", "")),
        str(fields.get("key_id", "")),
        str(fields["reason"]).strip(),
        date.fromisoformat(fields["expires"]),
    )
    if not entry.reason or len(entry.reason) > _LONGEST_REASON:
        raise ValueError("an entry needs a reason")
    if not entry.key_id and (entry.kind == "*" or entry.path in ("", "*", "**")):
        raise ValueError("an entry names a key, or a kind and a path")
    return entry
