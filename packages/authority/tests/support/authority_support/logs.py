"""Real logs for tests: leaves under checkpoints signed with a key made here."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Sequence
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright.ledger.merkle import Frontier
from sealwright.ledger.model import Batch, Log


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Scribe:
    """Does what a signer does to its log."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        public = self.key.public_key()
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.log_id = base64.b32encode(hashlib.sha256(spki).digest()[:10]).decode().lower()
        self.origin = f"ledger.test/ledger/{self.log_id}"
        raw = b"\x01" + public.public_bytes_raw()
        self.key_id = hashlib.sha256(self.origin.encode() + b"\n" + raw).digest()[:4]
        self.vkey = f"{self.origin}+{self.key_id.hex()}+{base64.b64encode(raw).decode()}"
        self.frontier = Frontier()
        self.leaves: list[bytes] = []

    @property
    def log(self) -> Log:
        return Log(self.log_id, self.origin, self.vkey, 0, "", None)

    def checkpoint(self) -> str:
        root = base64.b64encode(self.frontier.root()).decode()
        text = f"{self.origin}\n{self.frontier.size}\n{root}\n"
        signature = base64.b64encode(self.key_id + self.key.sign(text.encode())).decode()
        return f"{text}\n— {self.origin} {signature}\n"

    def document(self, typ: str, claims: dict[str, Any]) -> str:
        """A JWS of the log's key, as a signer makes its announcements."""
        jwk = {"crv": "Ed25519", "kty": "OKP", "x": _encoded(self.key.public_key().public_bytes_raw())}
        kid = _encoded(hashlib.sha256(json.dumps(jwk, separators=(",", ":")).encode()).digest())
        parts = ({"alg": "EdDSA", "kid": kid, "typ": typ}, claims)
        said = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        return f"{said}.{_encoded(self.key.sign(said.encode()))}"

    def batch(self, leaves: Sequence[bytes]) -> Batch:
        first = self.frontier.size
        self.frontier.extend(leaves)
        self.leaves.extend(leaves)
        return Batch(first, list(leaves), self.checkpoint())


def token_leaf(number: int, record: bytes) -> bytes:
    digest = hashlib.sha256(b"token %d" % number).digest()
    kid = hashlib.sha256(b"key").digest()
    times = struct.pack(">QQ", 1_800_000_000 + number, 1_800_000_600 + number)
    return b"\x01\x01" + digest + kid + times + hashlib.sha256(record).digest()


def tokens(count: int, start: int = 0) -> tuple[list[bytes], list[bytes]]:
    """Leaves and their private records."""
    records = [b"salt" * 4 + b'{"n":%d}' % number for number in range(start, start + count)]
    return [token_leaf(start + n, record) for n, record in enumerate(records)], records


def is_in_first_bundle(http: httpx.Client, log_id: str, index: int, digest: bytes) -> bool:
    """Whether the published leaves of a log have this digest, once they reach `index` (below 256)."""
    size = int(http.get(f"/ledger/{log_id}/checkpoint").text.split("\n")[1])
    if size <= index:
        return False
    part = "" if size >= 256 else f".p/{size}"
    bundle = http.get(f"/ledger/{log_id}/tile/entries/000{part}")
    if bundle.status_code == 404:  # a larger one has taken its place meanwhile
        return False
    assert digest in bundle.content
    return True
