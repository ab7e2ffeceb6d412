"""The allow-list: findings that someone has judged, with a reason and an end.

May never do: match without an end date, or match everything.
"""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sealwright_dumps import given
from sealwright_dumps.errors import Misconfigured
from sealwright_dumps.model import Finding

FORMAT = "sealwright-dumps-allow/1"
LONGEST = timedelta(days=1096)  # then somebody looks again
_LONGEST_REASON = 500
_MEMBERS = frozenset({"kind", "path", "key_id", "reason", "expires"})


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


def load(path: Path, today: date) -> AllowList:
    """Read an allow-list. Raises Misconfigured for an entry without reason or end, one that ends too late or
    covers everything, and says which one.
    """
    try:
        body = json.loads(given.read(path))
    except OSError as error:
        raise Misconfigured("allow-unreadable", f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise Misconfigured("allow-unreadable", f"{path} is not JSON", str(error)) from error
    if not isinstance(body, dict) or body.get("format") != FORMAT or set(body) != {"format", "entries"}:
        raise Misconfigured("allow-format", f'an allow-list is {{"format": "{FORMAT}", "entries": […]}}')
    entries = body["entries"]
    if not isinstance(entries, list):
        raise Misconfigured("allow-format", "`entries` is a list")
    return AllowList(tuple(_entry(at, fields, today) for at, fields in enumerate(entries, 1)))


def _entry(at: int, fields: Any, today: date) -> Entry:
    if not isinstance(fields, dict) or any(not isinstance(value, str) for value in fields.values()):
        raise _wrong(at, "it is not an object of texts")
    if unknown := sorted(set(fields) - _MEMBERS):
        raise _wrong(at, f"unknown member {unknown[0]!r}")
    if missing := sorted({"kind", "reason", "expires"} - set(fields)):
        raise _wrong(at, f"`{missing[0]}` is missing")
    try:
        expires = date.fromisoformat(fields["expires"])
    except ValueError as error:
        raise _wrong(at, "`expires` is a date such as 2030-12-31") from error
    if expires > today + LONGEST:
        raise _wrong(at, f"`expires` is more than {LONGEST.days} days from now")
    reason = fields["reason"].strip()
    if not reason or len(reason) > _LONGEST_REASON:
        raise _wrong(at, f"`reason` has 1 to {_LONGEST_REASON} characters")
    entry = Entry(fields["kind"], fields.get("path", ""), fields.get("key_id", ""), reason, expires)
    if not entry.key_id and (entry.kind == "*" or entry.path in ("", "*", "**")):
        raise _wrong(at, "it is too broad: name a `key_id`, or a `kind` and a `path`")
    return entry


def _wrong(at: int, why: str) -> Misconfigured:
    return Misconfigured("allow-entry", f"entry {at} of the allow-list: {why}")
