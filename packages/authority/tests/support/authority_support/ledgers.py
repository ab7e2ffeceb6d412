"""A whole ledger on disk for tests: real signer, writer, store and publisher, all in this process."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from authority_support.chain import RECORD, Chain
from sealwright.ledger.model import Batch
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.service import Ledger
from sealwright.store.db import open_state
from sealwright.store.ledger import SqlLedgerStore
from sealwright_signer.signer import Signer


class ChainClock:
    """The chain's own time."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def now(self) -> float:
        return self._chain.now


class HasSigner(Protocol):
    """A signer with its log."""

    signer: Signer
    log_id: str
    vkey: str


def commit_batch(ledger: Ledger, of: HasSigner, batch: dict[str, Any]) -> str:
    """Make a batch of a signer durable and tell it so; returns the checkpoint."""
    leaves = [base64.b64decode(leaf) for leaf in batch["leaves"]]
    made = Batch(batch["first"], leaves, batch["checkpoint"])
    journal = of.signer.journal

    async def write() -> None:
        await ledger.open_log(of.log_id, journal.origin, of.vkey, journal.acked).commit(made)

    asyncio.run(write())
    of.signer.ack(size=made.end)
    return made.checkpoint


class SignedLedger:
    """The ledger of one admitted incarnation. `heads` holds every checkpoint that was committed."""

    def __init__(self, directory: Path, chain: Chain | None = None) -> None:
        self.chain = chain or Chain()
        self.signer = self.chain.signer
        self.log_id = self.signer.identity.log_id
        self.store = SqlLedgerStore(open_state(directory))
        self.files = directory / "ledger"
        self.publisher = Publisher(self.store, self.files)
        self.ledger = Ledger(self.store, ChainClock(self.chain), lambda _log_id: None)
        self.vkey: str = self.signer.journal.vkey
        self.heads: list[str] = []
        hello = json.loads(self.signer.hello(protocol=1, role="authority"))
        for pending in hello["pending"]:
            self.commit(pending)

    @property
    def directory(self) -> Path:
        """Where this log is published."""
        return self.files / self.log_id

    def commit(self, batch: dict[str, Any]) -> None:
        """Make a batch of the signer durable and tell it so."""
        self.heads.append(commit_batch(self.ledger, self, batch))

    def do(self, operation: Callable[..., str], **asked: Any) -> dict[str, Any]:
        """Let the signer do something, and commit what it appended."""
        answer: dict[str, Any] = json.loads(operation(**asked))
        if answer.get("batch"):
            self.commit(answer["batch"])
        return answer

    def issue(self, count: int, realm: str = "enterprise") -> list[str]:
        """Issue tokens in one batch of at most 512."""
        audience = [f"https://mail.{realm}.example"]
        kid = self.chain.keys[realm]["kid"]
        asked = [realm, kid, "at+jwt", "app", "app", audience, "mail.read", 600, RECORD, None]
        results: list[str] = self.do(self.signer.sign, requests=[asked] * count)["results"]
        return results

    def publish(self) -> None:
        """Bring the files up to date."""
        self.publisher.publish(self.log_id)
