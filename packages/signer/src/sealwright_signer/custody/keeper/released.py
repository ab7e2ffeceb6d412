"""A PIN that comes by attested release: encrypted to a key of the keeper's that is hashed into the evidence.

May never give the key away, take a secret whose lease is over, or say what a secret is.
"""

import json
from base64 import b64decode
from binascii import Error
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from sealwright_signer.clock import wall
from sealwright_signer.custody.keeper.settings import Unusable

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
INFO_TAG, EXPIRY = b"sealwright-release-v1\0", 8


class Waiting:
    """The key to which one secret for one purpose may be encrypted."""

    def __init__(self) -> None:
        self._key = X25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()
        SUITE.encrypt(b"", self._key.public_key())  # whatever is loaded late is loaded now

    def secret(self, purpose: str, question: Mapping[str, Any]) -> str:
        """The secret in `sealed`, if it is for this key, the evidence that was shown, and this purpose."""
        try:
            body = b64decode(json.loads(question["shown"])["evidence"])
            info = INFO_TAG + sha256(bytes.fromhex(question["nonce"])).digest()
            info += sha256(bytes.fromhex(question["spki"])).digest() + sha256(body).digest()
            info += bytes([len(purpose.encode())]) + purpose.encode()
            opened = SUITE.decrypt(b64decode(question["sealed"], validate=True), self._key, info=info)
            pin = opened[EXPIRY:].decode().rstrip("\r\n")
        except (InvalidTag, Error, ValueError, KeyError, TypeError):
            raise Unusable("what came is not for this key, evidence and purpose") from None
        if int.from_bytes(opened[:EXPIRY], "big") <= wall():
            raise Unusable("the lease of the released PIN is over")
        return pin
