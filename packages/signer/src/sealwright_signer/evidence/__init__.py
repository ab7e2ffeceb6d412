"""Evidence about this incarnation for the authority's admission.

May never claim more than what was collected: without a collector, or when it fails, the kind is `none` and
the answer says why.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256, sha512
from typing import Any

from sealwright_signer.protocol import Code, encode, require

NONCE = re.compile("([0-9a-f]{2}){16,64}")
TAG, RELEASE_TAG = b"sealwright-identity-v1\0", b"sealwright-identity-release-v1\0"
FORMAT = "sealwright-evidence/1"
Ask = Callable[[bytes, bytes, bytes], dict[str, Any]]


def nothing(_nonce: bytes, _wide: bytes, _narrow: bytes) -> dict[str, Any]:
    """What a signer without a collector has."""
    return {"note": "started without a collector"}


def collect(spki: bytes, nonce: str, ask: Ask = nothing, release: bytes = b"") -> dict[str, str]:
    """Kind, evidence (a bundle, docs/formats/attestation-evidence.md) and binding for a nonce of 16 to 64
    bytes in hexadecimal digits.

    The binding is the hex of the 64 bytes that a report carries, SHA-512(tag || nonce || SHA-256(spki));
    a TPM carries SHA-256 of the same. Evidence says "this key, now". `spki` is the identity key in DER,
    `release` a key that a secret may be encrypted to (another tag, and its SHA-256 behind).
    """
    require(NONCE.fullmatch(nonce), Code.bad_request, "nonce is 16 to 64 bytes in lower-case hexadecimal")
    bound = (RELEASE_TAG if release else TAG) + bytes.fromhex(nonce) + sha256(spki).digest()
    bound += sha256(release).digest() if release else b""
    wide = sha512(bound).digest()
    found = ask(bytes.fromhex(nonce), wide, sha256(bound).digest())
    if "kind" not in found:
        return {"kind": "none", "evidence": "", "binding": wide.hex(), "note": str(found.get("note"))}
    keys = {"identity_key": spki} | ({"release_key": release} if release else {})
    named = {name: b64encode(key).decode() for name, key in keys.items()}
    bundle = {"format": FORMAT, **found, "binding": named}
    return {"kind": found["kind"], "evidence": encode(bundle), "binding": wide.hex()}
