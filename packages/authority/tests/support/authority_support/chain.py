"""Root, admission and a real signer in this process: the whole chain of trust without a network."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright.admission.documents import ADMISSION_TYPE, ROOT_TYPE, DocumentSigner, b64u
from sealwright.config import Config
from sealwright.config.model import RealmConfig
from sealwright.config.signer_policy import signer_policy
from sealwright_signer.custody.memory import MemoryCustody
from sealwright_signer.policy import parse_policy
from sealwright_signer.signer import Signer

START = 1_800_000_000
RECORD = "ab" * 32


class Chain:
    """One admitted incarnation with an active key per realm."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.now = float(START)
        self.root_key = DocumentSigner(ROOT_TYPE, Ed25519PrivateKey.generate())
        self.admission_key = DocumentSigner(ADMISSION_TYPE, Ed25519PrivateKey.generate())
        realms = {
            name: RealmConfig(audiences=(f"https://mail.{name}.example",), algorithms=(algorithm,))
            for name in ("consumer", "enterprise")
        }
        self.config = msgspec.structs.replace(Config(), realms=realms)
        policy = signer_policy(self.config, [self.admission_key.jwk], 0)
        parsed = parse_policy(json.dumps(policy).encode())
        self.signer = Signer(parsed, MemoryCustody(), lambda: self.now)
        self.keys = {realm: self._key(realm, algorithm) for realm in realms}
        self.admission = self.admission_key.compact(self._statement())
        self.version = 0

    def _key(self, realm: str, algorithm: str) -> dict[str, Any]:
        until = START + self.config.keys.use
        window = {"use_from": START, "use_until": until, "verify_until": until + 3_660}
        made: dict[str, Any] = json.loads(self.signer.make_key(realm=realm, alg=algorithm, **window))
        self.signer.activate(kid=made["kid"])
        return made

    def _statement(self) -> dict[str, Any]:
        return {
            "incarnation": self.signer.identity.log_id,
            "origin": self.signer.journal.origin,
            "jwk": self.signer.identity.jwk,
            "evidence": "none",
            "result": "00" * 32,
            "policy": "00" * 32,
            "admitted_at": START,
            "expires_at": START + 86_400,
        }

    def root(self) -> bytes:
        """The root document that a validator pins."""
        payload = {
            "version": 1,
            "issued_at": START,
            "expires_at": START + 31_536_000,
            "roles": {
                "root": {"keys": [self.root_key.jwk], "threshold": 1},
                "admission": {"keys": [self.admission_key.jwk], "threshold": 1},
            },
        }
        protected, body, signature = self.root_key.compact(payload).split(".")
        document = {"payload": body, "signatures": [{"protected": protected, "signature": signature}]}
        return json.dumps(document).encode()

    def manifest(self, **change: Any) -> bytes:
        """The served manifest document."""
        self.version += 1
        fields: dict[str, Any] = {
            "version": self.version,
            "life": 60,
            "keys": [
                {
                    "announcement": key["announcement"],
                    "admission": self.admission,
                    "status": "active",
                    "ledger_index": key["ledger_index"],
                }
                for key in self.keys.values()
            ],
            "revocations": [],
            "tombstones": [],
            "strict_realms": [],
            "admissions": [self.admission],
        }
        signed = json.loads(self.signer.manifest(**(fields | change)))["manifest"]
        return json.dumps({"root_version": 1, "admission": self.admission, "manifest": signed}).encode()

    def token(self, realm: str = "enterprise", **change: Any) -> str:
        """A token of a realm; `change` names fields of the request by position name."""
        asked = {
            "typ": "at+jwt",
            "client_id": "app",
            "sub": "app",
            "aud": [f"https://mail.{realm}.example"],
            "scope": "mail.read",
            "ttl": 600,
            "extra": None,
        } | change
        request = [
            realm, self.keys[realm]["kid"], asked["typ"], asked["client_id"], asked["sub"], asked["aud"],
            asked["scope"], asked["ttl"], RECORD, asked["extra"],
        ]  # fmt: skip
        answer = json.loads(self.signer.sign(requests=[request]))
        self.signer.journal.acknowledge(self.signer.journal.size)
        result: str | dict[str, str] = answer["results"][0]
        if isinstance(result, dict):
            raise AssertionError(result)  # noqa: TRY004 - the test's own request was refused
        return result


def resign(key: DocumentSigner, document: str, **change: Any) -> str:
    """A JWS of ours with members changed, signed again with the same key: what its owner could do."""
    body = document.split(".")[1]
    payload = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return key.compact(payload | change)


__all__ = ["RECORD", "START", "Chain", "b64u", "resign"]
