"""The attacker's tools: stolen keys, and tokens made with them. Drills only."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_PEM = re.compile(rb"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----\n", re.DOTALL)
_COORDINATE = 32


def b64u(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64u(text: str) -> bytes:
    """The bytes of base64url text."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims_of(token: str) -> dict[str, Any]:
    """The payload of a token that the attacker holds."""
    claims: dict[str, Any] = json.loads(from_b64u(token.split(".")[1]))
    return claims


@dataclass(frozen=True, slots=True)
class StolenKey:
    """A private key in the attacker's hands."""

    kid: str
    key: ec.EllipticCurvePrivateKey

    def forge(self, claims: dict[str, Any]) -> str:
        """A token that says what the attacker wants, signed with the stolen key."""
        header = {"alg": "ES256", "kid": self.kid, "typ": "at+jwt"}
        parts = [b64u(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)]
        signing_input = ".".join(parts)
        r, s = decode_dss_signature(self.key.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
        return f"{signing_input}.{b64u(signature)}"


def stolen_keys(leak: Path) -> dict[str, StolenKey]:
    """Every key that the leaking custody handed out, by key id."""
    found = {}
    for pem in _PEM.findall(leak.read_bytes() if leak.exists() else b""):
        key = load_pem_private_key(pem, None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            kid = thumbprint(key.public_key())
            found[kid] = StolenKey(kid, key)
    return found


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """RFC 7638 thumbprint of a P-256 key."""
    numbers = key.public_numbers()
    x, y = (b64u(n.to_bytes(_COORDINATE, "big")) for n in (numbers.x, numbers.y))
    text = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    return b64u(hashlib.sha256(text.encode()).digest())


def forged_claims(genuine: dict[str, Any], now: float, **change: Any) -> dict[str, Any]:
    """The claims of a genuine token with another subject and fresh times, and whatever else the attacker
    wants.
    """
    log_id, index, _ = str(genuine["jti"]).split(".")
    place = f"{log_id}.{int(index) + 1_000_000}.{secrets.token_urlsafe(9)}"
    return genuine | {"sub": "minister", "iat": int(now), "exp": int(now) + 600, "jti": place} | change
