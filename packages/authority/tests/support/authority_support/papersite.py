"""A Sealwright on paper: several real signers under one root, a real ledger on disk, manifests, log lists,
and a server that answers from the files. No sockets, no processes, a virtual clock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from authority_support.chain import RECORD, START
from authority_support.ledgers import commit_batch
from sealwright.admission.documents import ADMISSION_TYPE, ROOT_TYPE, DocumentSigner
from sealwright.config import Config
from sealwright.config.signer_policy import signer_policy
from sealwright.ledger.merkle import leaf_hash
from sealwright.ledger.model import Log
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.receipts import render
from sealwright.ledger.service import Ledger
from sealwright.store.db import open_state
from sealwright.store.ledger import SqlLedgerStore
from sealwright_signer.custody.memory import MemoryCustody
from sealwright_signer.policy import parse_policy
from sealwright_signer.signer import Signer
from sealwright_validate.conformance.ledger import path_of
from sealwright_validate.errors import Unavailable
from sealwright_validate.fetch import Answer

REALMS = ("consumer", "enterprise")
KEY_USE = 6 * 3_600
TOKEN_LIFE = 3_600


class PaperClock:
    """The clock of the site, of its monitors and of its witnesses."""

    def __init__(self) -> None:
        self.time = float(START)

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class Seat:
    """One incarnation and its keys by realm."""

    def __init__(self, signer: Signer, admission: str) -> None:
        self.signer = signer
        self.admission = admission
        self.log_id = signer.identity.log_id
        self.origin = signer.journal.origin
        self.vkey = signer.journal.vkey
        self.keys: dict[str, dict[str, Any]] = {}
        self.alive = True


class PaperSite:
    """Everything that an authority publishes."""

    def __init__(self, directory: Path, cosign: Callable[[Log], str] | None = None) -> None:
        self.clock = PaperClock()
        self.directory = directory
        self.config = Config()
        self._root_key = DocumentSigner(ROOT_TYPE, Ed25519PrivateKey.generate())
        self._admission_key = DocumentSigner(ADMISSION_TYPE, Ed25519PrivateKey.generate())
        self.store = SqlLedgerStore(open_state(directory))
        self.files = directory / "ledger"
        self.publisher = Publisher(self.store, self.files, cosign=cosign or attrgetter("checkpoint"))
        self.ledger = Ledger(self.store, self.clock, lambda _log_id: None)
        self.seats: list[Seat] = []
        self.version = 0
        self.root_version = 1
        self.list_version = 0
        self.pinned = self.root()
        self.served: dict[str, bytes] = {"/root": self.pinned, "/root/1": self.pinned}
        self.down = False

    def root(self) -> bytes:
        """The root document of the current version."""
        payload = {
            "version": self.root_version,
            "issued_at": START,
            "expires_at": START + 31_536_000,
            "roles": {
                "root": {"keys": [self._root_key.jwk], "threshold": 1},
                "admission": {"keys": [self._admission_key.jwk], "threshold": 1},
            },
        }
        protected, body, signature = self._root_key.compact(payload).split(".")
        document = {"payload": body, "signatures": [{"protected": protected, "signature": signature}]}
        return json.dumps(document).encode()

    def rotate_root(self) -> None:
        """The root's next version: the same root key, another admission key."""
        self.root_version += 1
        self._admission_key = DocumentSigner(ADMISSION_TYPE, Ed25519PrivateKey.generate())
        self.served |= {"/root": self.root(), f"/root/{self.root_version}": self.root()}

    def new_seat(self) -> Seat:
        """A new incarnation, admitted, with an active key for each realm; nothing is published yet."""
        policy = signer_policy(self.config, [self._admission_key.jwk], self.version)
        signer = Signer(parse_policy(json.dumps(policy).encode()), MemoryCustody(), self.clock.now)
        statement = {
            "incarnation": signer.identity.log_id,
            "origin": signer.journal.origin,
            "jwk": signer.identity.jwk,
            "evidence": "none",
            "result": "00" * 32,
            "policy": "00" * 32,
            "admitted_at": int(self.clock.time),
            "expires_at": int(self.clock.time) + 30 * 86_400,
        }
        seat = Seat(signer, self._admission_key.compact(statement))
        self.seats.append(seat)
        for pending in json.loads(signer.hello(protocol=1, role="authority"))["pending"]:
            commit_batch(self.ledger, seat, pending)
        for realm in REALMS:
            self.rotate(seat, realm)
        return seat

    def do(self, seat: Seat, operation: str, **asked: Any) -> dict[str, Any]:
        """Let a signer do something, and make durable what it appended."""
        answer: dict[str, Any] = json.loads(getattr(seat.signer, operation)(**asked))
        if answer.get("batch"):
            commit_batch(self.ledger, seat, answer["batch"])
        return answer

    def rotate(self, seat: Seat, realm: str) -> None:
        """A new key, active at once; the one before is destroyed."""
        if realm in seat.keys:  # otherwise the successor would have to be staged ahead of time
            self.do(seat, "destroy", kid=seat.keys[realm]["kid"], reason="superseded")
        now = int(self.clock.time)
        until = now + KEY_USE
        window = {"use_from": now, "use_until": until, "verify_until": until + TOKEN_LIFE + 60}
        made = self.do(seat, "make_key", realm=realm, alg="ES256", **window)
        self.do(seat, "activate", kid=made["kid"])
        seat.keys[realm] = made

    def issue(self, seat: Seat, realm: str = "enterprise", count: int = 1) -> list[str]:
        """Tokens of one batch."""
        audience = list(self.config.realms[realm].audiences)
        kid = seat.keys[realm]["kid"]
        asked = [realm, kid, "at+jwt", "app", "app", audience, "mail.read", 600, RECORD, None]
        results: list[str] = self.do(seat, "sign", requests=[asked] * count)["results"]
        return results

    def manifest(self, seat: Seat | None = None, **change: Any) -> str:
        """A new manifest by a live seat, served; returns its JWS."""
        seat = seat or next(one for one in self.seats if one.alive)
        self.version += 1
        keys = [
            {
                "announcement": key["announcement"],
                "admission": one.admission,
                "status": "active",
                "ledger_index": key["ledger_index"],
            }
            for one in self.seats
            if one.alive
            for key in one.keys.values()
        ]
        fields: dict[str, Any] = {
            "version": self.version,
            "life": 60,
            "keys": keys,
            "revocations": [],
            "tombstones": [],
            "strict_realms": [],
            "admissions": [one.admission for one in self.seats if one.alive],
        }
        jws: str = self.do(seat, "manifest", **(fields | change))["manifest"]
        self.serve_manifest(seat, jws)
        return jws

    def serve_manifest(self, seat: Seat, jws: str) -> None:
        document = {"root_version": self.root_version, "admission": seat.admission, "manifest": jws}
        self.served["/manifest"] = json.dumps(document).encode()

    def publish(self) -> None:
        """Bring the files of every log up to date."""
        for seat in self.seats:
            self.publisher.publish(seat.log_id)

    def close(self, seat: Seat) -> None:
        """The incarnation has ended."""
        seat.alive = False
        self.ledger.close_log(seat.log_id)

    def list_logs(self, seat: Seat | None = None) -> None:
        """A new log list, stated in the log of a live seat, served."""
        seat = seat or next(one for one in self.seats if one.alive)
        self.publish()
        self.list_version += 1
        now = int(self.clock.time)
        logs = [self._entry(one) for one in self.seats]
        fields = {"version": self.list_version, "issued_at": now, "expires_at": now + 3_600}
        text = json.dumps(fields | {"authority": self.config.server.url, "logs": logs})
        digest = hashlib.sha256(text.encode()).hexdigest()
        index = seat.signer.journal.size
        self.do(seat, "statement", type="log-list", digest=digest)
        self.publish()
        document = {"root_version": self.root_version, "log_list": text, "receipt": self.receipt(seat, index)}
        self.served["/ledger/log-list.json"] = json.dumps(document).encode()

    def receipt(self, seat: Seat, index: int) -> str:
        """The tlog-proof of a leaf under the published checkpoint."""
        note = (self.files / seat.log_id / "checkpoint").read_text()
        size = int(note.split("\n")[1])
        leaves = [entry.leaf for entry in self.store.entries(seat.log_id, 0, size)]
        return render(leaves[index], index, path_of([leaf_hash(leaf) for leaf in leaves], index), note)

    def _entry(self, seat: Seat) -> dict[str, Any]:
        log = self.store.log(seat.log_id)
        assert log is not None
        return {
            "id": seat.log_id,
            "origin": seat.origin,
            "vkey": seat.vkey,
            "evidence": "none",
            "admission": seat.admission,
            "size": log.size,
            "checkpoint": log.checkpoint,
            "closed_at": log.closed_at,
        }

    def refresh(self) -> None:
        """What an authority does every half minute."""
        self.manifest()
        self.list_logs()

    def file(self, seat: Seat, name: str) -> Path:
        return self.files / seat.log_id / name

    def fetch(self, path: str) -> Answer:
        """What the web server answers."""
        if self.down:
            raise Unavailable("the site is down")
        body = self.served.get(path)
        if body is None and path.startswith("/ledger/"):
            file = self.files / path.removeprefix("/ledger/")
            body = file.read_bytes() if file.is_file() else None
        return Answer(404, {}, b"") if body is None else Answer(200, {}, body)
