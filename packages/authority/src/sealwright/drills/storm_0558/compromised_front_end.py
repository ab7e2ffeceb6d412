"""Step 9, the attacker inside the front end: it speaks to the signer itself, as the authority.

It gets nothing that the signer's own policy does not allow, every attempt is counted, and a token whose leaf
it drops breaks the signed tree.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from sealwright.config.model import StateConfig
from sealwright.drills.model import Control, Finding
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.steps import active_key
from sealwright.errors import Refused, Unavailable
from sealwright.ledger import service
from sealwright.ledger.model import Batch
from sealwright.ledger.service import Ledger
from sealwright.wiring.stores import Stores
from sealwright_signer.client import Batch as SignerBatch
from sealwright_signer.client import Connection

STEP = "9-front-end"
DAY = 86_400
RECORD = "00" * 32


def run(sandbox: Sandbox) -> Iterator[Finding]:
    """Take the authority's place at the signer, then give it back to a sound one."""
    keys = {realm: active_key(sandbox, realm).kid for realm in sandbox.config.realms}
    sandbox.stop_authority()
    asked, counted, dropped = asyncio.run(_attack(sandbox, keys))
    wanted = {"key_of_other_realm", "lifetime_not_allowed", "claim_not_allowed"}
    attacks = {
        "other-realm": ("ask the signer for an enterprise token with the consumer key", "key_of_other_realm"),
        "long-token": ("ask the signer for a token that lives 24 hours", "lifetime_not_allowed"),
        "free-claim": ("ask the signer for a claim of one's own choice", "claim_not_allowed"),
    }
    for name, (attack, expected) in attacks.items():
        found = asked[name]
        yield Finding(
            f"{STEP}-{name}", attack, Control.SIGNER_POLICY, expected, found, held=found == expected
        )
    observed = "every attempt counted" if wanted <= counted else f"counted only {sorted(counted)}"
    attack = "hide that it asked"
    expected = "every attempt counted"
    yield Finding(
        f"{STEP}-counted", attack, Control.SIGNER_POLICY, expected, observed, held=wanted <= counted
    )
    yield _exposed(sandbox, dropped)
    sandbox.kill_signer()
    sandbox.name_signer(None)
    sandbox.start_signer()
    sandbox.start_authority()
    sandbox.wait_ready()


async def _attack(
    sandbox: Sandbox, keys: dict[str, str]
) -> tuple[dict[str, str], set[str], list[SignerBatch]]:
    if sandbox.signer is None:
        raise Unavailable("no_signer", "the sandbox has no signer")
    connection = await Connection.open(sandbox.signer.socket_path)
    try:
        hello = await connection.hello()
        await connection.ack(hello.size)
        asked = {
            "other-realm": await _ask(connection, _request(sandbox, keys["consumer"])),
            "long-token": await _ask(connection, _request(sandbox, keys["enterprise"], lifetime=DAY)),
            "free-claim": await _ask(
                connection, _request(sandbox, keys["enterprise"], extra={"admin": True})
            ),
        }
        counted = set((await connection.stats())["refused"])
        batches = []
        for _ in range(2):  # the leaf of the first is dropped, the next one's head covers it
            _results, batch = await connection.sign([_request(sandbox, keys["enterprise"])])
            if batch is None:
                raise Unavailable("drill_stuck", "the signer refused an ordinary request")
            await connection.ack(batch.first + len(batch.leaves))
            batches.append(batch)
        return asked, counted, batches
    finally:
        await connection.close()


def _request(
    sandbox: Sandbox, kid: str, *, lifetime: int = 600, extra: dict[str, Any] | None = None
) -> list[Any]:
    audience = [sandbox.audience("enterprise")]
    return ["enterprise", kid, "at+jwt", "enterprise-app", "minister", audience, "", lifetime, RECORD, extra]


async def _ask(connection: Connection, request: list[Any]) -> str:
    results, _batch = await connection.sign([request])
    return "signed" if isinstance(results[0], str) else results[0]["refused"]


def _exposed(sandbox: Sandbox, batches: list[SignerBatch]) -> Finding:
    """Store the second batch as if the first had never been; its signed head knows better.

    In a copy of the state: where heads are not looked at it is stored, and no authority starts on it again.
    """
    store = _copied(sandbox).ledger
    stored = next(log for log in store.logs() if log.closed_at is None)
    ledger = Ledger(store, sandbox.clock, lambda _log_id: None)
    last = batches[-1]
    pretended = Batch(stored.size, last.leaves, last.checkpoint)
    observed = "the missing leaf goes unnoticed"
    with _without_heads(sandbox):
        try:
            asyncio.run(_store(ledger, stored.log_id, stored.origin, stored.vkey, pretended))
        except Refused as error:
            observed = error.code
    attack = "issue a token and drop its leaf, then go on as if nothing had happened"
    expected = "root_mismatch"
    control = Control.SIGNED_TREE_HEAD
    return Finding(f"{STEP}-dropped-leaf", attack, control, expected, observed, held=observed == expected)


def _copied(sandbox: Sandbox) -> Stores:
    folder = sandbox.state / "pretended"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (
        contextlib.closing(sqlite3.connect(sandbox.state / "sealwright.db")) as state,
        contextlib.closing(sqlite3.connect(folder / "sealwright.db")) as copy,
    ):
        state.backup(copy)
    config = msgspec.structs.replace(sandbox.config, state=StateConfig(directory=str(folder)))
    return Stores.open(config, sandbox.clock)


async def _store(ledger: Ledger, log_id: str, origin: str, vkey: str, batch: Batch) -> None:
    await ledger.open_log(log_id, origin, vkey, 0).commit(batch)


class _AnyHead:
    """A tree head that agrees with everything: what a ledger without signed heads amounts to."""

    class _Any:
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

    size = root = _Any()


@contextlib.contextmanager
def _without_heads(sandbox: Sandbox) -> Iterator[None]:
    module = vars(service)
    before = module["open_checkpoint"]
    if Control.SIGNED_TREE_HEAD in sandbox.flaws:
        module["open_checkpoint"] = lambda _note, _verifier: _AnyHead
    try:
        yield
    finally:
        module["open_checkpoint"] = before
