"""The authority's place at the signer, taken: tokens that nobody asked for, with leaves where they belong.

What an insider can do who holds every right of the authority. Only with the authority stopped; may never be
reached from a running one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sealwright.drills.sandbox import Sandbox
from sealwright.errors import Unavailable
from sealwright.issuer.events import GrantEvents
from sealwright.ledger.model import Batch
from sealwright.ledger.service import Ledger
from sealwright_signer.client import Connection

REALM = "enterprise"
LIFETIME = 600
SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """A token of the enterprise realm. `further` are typed claims (signer-protocol.md), such as `parent`.

    `marked`: with a grant event of the token endpoint's, whose key an insider has as well.
    """

    client_id: str
    subject: str
    audience: str
    scope: str = "mail.read"
    grant: str = "client_credentials"
    further: Mapping[str, Any] | None = None
    marked: bool = False


async def issue(sandbox: Sandbox, kid: str, wanted: Sequence[Wanted]) -> list[str]:
    """Have tokens signed, and store their leaves as the authority would: nothing is missing afterwards.

    Raises:
        Unavailable: there is no signer, or it refuses.
    """
    if sandbox.signer is None:
        raise Unavailable("no_signer", "the sandbox has no signer")
    connection = await Connection.open(sandbox.signer.socket_path)
    try:
        hello = await connection.hello()
        ledger = Ledger(sandbox.stores.ledger, sandbox.clock, lambda _log_id: None)
        writer = ledger.open_log(hello.log_id, hello.origin, hello.vkey, hello.acked)
        for pending in hello.pending:
            await writer.commit(Batch(pending.first, pending.leaves, pending.checkpoint))
        issued = []
        for one in wanted:
            record = _record(one)
            if one.marked:
                record = GrantEvents.made(sandbox.state).marked(record)
            results, batch = await connection.sign([_request(kid, one, record)])
            if batch is None or not isinstance(results[0], str):
                raise Unavailable("drill_stuck", "the signer refused an ordinary request")
            records = [*([None] * (len(batch.leaves) - 1)), record]
            await writer.commit(Batch(batch.first, batch.leaves, batch.checkpoint), records)
            await connection.ack(writer.size)
            issued.append(results[0])
        return issued
    finally:
        await connection.close()


def digest_of(token: str) -> str:
    """SHA-256 (hex) of a token's signing input, as the ledger has it."""
    return hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()


def _record(wanted: Wanted) -> bytes:
    facts: dict[str, Any] = {
        "client_id": wanted.client_id,
        "sub": wanted.subject,
        "aud": [wanted.audience],
        "scope": wanted.scope,
        "grant": wanted.grant,
    }
    if wanted.further:
        facts["extra"] = dict(wanted.further)
    return secrets.token_bytes(SALT_BYTES) + json.dumps(facts, sort_keys=True).encode()


def _request(kid: str, wanted: Wanted, record: bytes) -> list[Any]:
    head = [REALM, kid, "at+jwt", wanted.client_id, wanted.subject, [wanted.audience], wanted.scope]
    further = dict(wanted.further) if wanted.further else None
    return [*head, LIFETIME, hashlib.sha256(record).hexdigest(), further]
