"""The answer to "who was touched?" as values. Needs no optional package.

What is proven (`touched`) and what was merely in reach are never mixed, and a tenant's own part names no
other.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

ALL_KEYS = "every key"
UNKNOWN_TENANT = "(unknown)"
"""Stands for the tenant where none is known; it is nobody's, and is told nothing."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about: a key, a client, or with neither every key; over a time (unix seconds; `until` is
    excluded).
    """

    kid: str | None = None
    client_id: str | None = None
    since: float
    until: float

    def about(self) -> str:
        """What is asked about, in words."""
        if self.kid is not None:
            return f"key {self.kid}"
        return f"client {self.client_id}" if self.client_id is not None else ALL_KEYS


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """A subject whose data forged tokens were presented for. Times are unix seconds; `sub_digest` may be
    unknown; `kid` is the key that the tokens were signed with.
    """

    tenant: str
    sub_digest: str | None
    client_id: str | None
    audience: str
    resource: str | None
    reporter: str
    tokens: int
    accepted: int
    refused: int
    first_at: float
    last_at: float
    kid: str | None = None


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What of a tenant was in reach: genuine activity in the same scope and time. Times are unix seconds."""

    tenant: str
    subjects: int
    tokens: int
    touched_subjects: int
    first_at: float
    last_at: float


class Missing(msgspec.Struct, frozen=True):
    """Evidence that there is none of. `count` is of something that is not one tenant's alone."""

    kind: str
    about: str
    detail: str
    count: int | None = None


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """Forged uses within an hour that were a tenant's. `at` is its start, unix seconds."""

    tenant: str
    at: float
    uses: int


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `touched` is proven, `reach` is not; `missing` says where nothing can be."""

    question: Question
    realm: str | None
    audiences: list[str]
    touched: list[Touched]
    reach: list[Reach]
    missing: list[Missing]
    hours: list[Hour]


def of_tenant(whole: Scope, tenant: str) -> Scope:
    """What one tenant may be told: its own rows, and nothing that counts or names another's."""
    return Scope(
        question=whole.question,
        realm=whole.realm,
        audiences=whole.audiences,
        touched=[row for row in whole.touched if row.tenant == tenant],
        reach=[row for row in whole.reach if row.tenant == tenant],
        missing=[replace(gap, count=None) for gap in whole.missing],
        hours=[row for row in whole.hours if row.tenant == tenant],
    )
