"""The answer to "who was touched?" as values. Needs no optional package.

What is proven (`touched`) and what was merely in reach are never mixed, and a tenant's own part names no
other.
"""

from __future__ import annotations

import msgspec


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about: a key or a client, over a time (unix seconds; `until` is excluded)."""

    kid: str | None = None
    client_id: str | None = None
    since: float
    until: float


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """A subject whose data forged tokens were presented for. Times are unix seconds; `sub_digest` may be
    unknown.
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


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What of a tenant was in reach: genuine activity in the same scope and time. Times are unix seconds."""

    tenant: str
    subjects: int
    tokens: int
    touched_subjects: int
    first_at: float
    last_at: float


class Missing(msgspec.Struct, frozen=True):
    """Evidence that there is none of."""

    kind: str
    about: str
    detail: str


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `touched` is proven, `reach` is not; `missing` says where nothing can be."""

    question: Question
    realm: str | None
    audiences: list[str]
    touched: list[Touched]
    reach: list[Reach]
    missing: list[Missing]
    hours: list[tuple[float, int]]
    """Start of each hour with forged uses (unix seconds), and how many."""


def of_tenant(whole: Scope, tenant: str) -> Scope:
    """What one tenant may be told: its own rows, and nothing that counts or names another's."""
    return Scope(
        question=whole.question,
        realm=whole.realm,
        audiences=whole.audiences,
        touched=[row for row in whole.touched if row.tenant == tenant],
        reach=[row for row in whole.reach if row.tenant == tenant],
        missing=whole.missing,
        hours=[],
    )
