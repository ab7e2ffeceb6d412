"""`StandingStore` on SQL: admission policies that came into force, and revoked images.

Rows are only added.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Engine, Integer, Table, Text, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from sealwright.admission.model import RevokedImage, StandingPolicy
from sealwright.errors import Refused, Unavailable
from sealwright.store.db import metadata, reader

policies = Table(
    "admission_policy",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("since", Integer, nullable=False),
    Column("by", Text, nullable=False),
    Column("request", Text, nullable=False),
)
images = Table(
    "revoked_image",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("since", Integer, nullable=False),
    Column("grace", Integer, nullable=False),
    Column("by", Text, nullable=False),
)


class SqlStandingStore:
    """What signers are appraised by. Blocking."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def latest(self) -> StandingPolicy | None:
        """The one in force."""
        found = self._rows(select(policies).order_by(policies.c.number.desc()).limit(1))
        return StandingPolicy(**found[0]) if found else None

    def history(self) -> list[StandingPolicy]:
        """Every policy that came into force, oldest first."""
        return [StandingPolicy(**row) for row in self._rows(select(policies).order_by(policies.c.number))]

    def add(self, policy: StandingPolicy) -> None:
        """Put one in force; `policy_moved` when its number is taken."""
        names = ("number", "document", "since", "by", "request")
        self._insert(policies, {name: getattr(policy, name) for name in names}, "policy_moved")

    def revoked(self) -> list[RevokedImage]:
        """Revoked images, oldest first."""
        return [
            RevokedImage(**row)
            for row in self._rows(select(images).order_by(images.c.since, images.c.digest))
        ]

    def revoke(self, image: RevokedImage) -> None:
        """Keep one; `already_revoked` when it is there."""
        names = ("digest", "reason", "since", "grace", "by")
        self._insert(images, {name: getattr(image, name) for name in names}, "already_revoked")

    def _rows(self, query: Any) -> list[dict[str, Any]]:
        try:
            with self._reader.connect() as connection:
                return [dict(row) for row in connection.execute(query).mappings()]
        except SQLAlchemyError as error:
            raise Unavailable(
                "store_unavailable", "the state database cannot be read now", str(error)
            ) from error

    def _insert(self, table: Table, row: dict[str, Any], taken: str) -> None:
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(table).values(row))
        except IntegrityError as error:
            raise Refused(taken, "it is there already; look at what is in force") from error
        except SQLAlchemyError as error:
            text = "the state database cannot be written now"
            raise Unavailable("store_unavailable", text, str(error)) from error
