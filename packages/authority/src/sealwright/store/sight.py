"""`LedgerView` on the ledger's own rows: many places in one read transaction.

Reads only, and never waits for the writer: a read transaction sees every leaf that was committed before it
began.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Callable, Collection

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from sealwright.clock import Clock
from sealwright.detection.model import LeafFacts, LedgerSight, Place
from sealwright.errors import Unavailable
from sealwright.ledger.model import KIND_TOKEN, TokenLeaf, parse_leaf
from sealwright.store.db import reader
from sealwright.store.ledger import leaves, logs

PLACES_AT_ONCE = 5_000
"""Bound parameters of one query; SQLite takes 32,766."""


class SqlLedgerView:
    """The ledger as it is committed."""

    def __init__(
        self, engine: Engine, clock: Clock, cold: Callable[[str, int], bytes | None] = lambda _log, _at: None
    ) -> None:
        """`cold` reads a leaf that is in cold storage."""
        self._cold = cold
        self._reader = reader(engine)
        self._clock = clock

    def look(self, places: Collection[Place]) -> LedgerSight:
        """See the port."""
        complete_until = self._clock.now()
        indices: dict[str, list[int]] = defaultdict(list)
        for place in places:
            indices[place.log_id].append(place.index)
        sight = LedgerSight(complete_until, {}, {})
        try:
            with self._reader.begin() as connection:
                for log_id, wanted in indices.items():
                    _look_into(connection, log_id, sorted(wanted), sight)
                    self._look_into_cold(log_id, wanted, sight)
        except SQLAlchemyError as error:
            raise Unavailable("ledger_unavailable", "The ledger does not answer.", str(error)) from error
        return sight

    def _look_into_cold(self, log_id: str, wanted: list[int], sight: LedgerSight) -> None:
        for index in wanted:
            if index < sight.sizes.get(log_id, 0) and Place(log_id, index) not in sight.leaves:
                leaf = self._cold(log_id, index)
                if leaf is not None:
                    sight.leaves[Place(log_id, index)] = _facts(leaf)


def _look_into(connection: Connection, log_id: str, wanted: list[int], sight: LedgerSight) -> None:
    log = connection.execute(select(logs.c.id, logs.c.size).where(logs.c.log_id == log_id)).first()
    if log is None:
        return
    sight.sizes[log_id] = log.size
    for start in range(0, len(wanted), PLACES_AT_ONCE):
        some = wanted[start : start + PLACES_AT_ONCE]
        query = select(leaves.c.idx, leaves.c.leaf).where(leaves.c.log == log.id, leaves.c.idx.in_(some))
        for row in connection.execute(query):
            sight.leaves[Place(log_id, row.idx)] = _facts(row.leaf)


def _facts(stored: bytes) -> LeafFacts:
    leaf = parse_leaf(stored)
    if isinstance(leaf, TokenLeaf):
        return LeafFacts(
            KIND_TOKEN, leaf.digest.hex(), base64.urlsafe_b64encode(leaf.kid).decode().rstrip("=")
        )
    return LeafFacts(leaf.kind, "", "")
