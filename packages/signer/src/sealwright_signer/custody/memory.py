"""Keys in the signer's own memory: made here, used here, freed and cleared by OpenSSL at `destroy`.

May never serialise a key: not to numbers, DER, PEM or a pickle, each of which would leave copies behind. Its
fingerprints are the one exception, made at birth by a module that clears what it copied (ADR 0020).
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from sealwright_signer import fingerprint, jws

RSA_BITS = 2048
_HASHED = ec.ECDSA(Prehashed(SHA256()))


class MemoryCustody:
    """Handles are numbers; the objects that they stand for never leave."""

    kind = "memory"

    def __init__(self) -> None:
        self._numbers = count(1)
        self._keys: dict[int, tuple[Callable[[bytes, bytes], bytes], dict[str, str], Any]] = {}

    def generate(self, alg: str) -> int:
        """Make a key; an RSA key takes a tenth of a second or more, in which nothing else happens."""
        handle = next(self._numbers)
        key: Any
        sign: Callable[[bytes, bytes], bytes]
        if alg == "ES256":
            key = ec.generate_private_key(ec.SECP256R1())
            sign = partial(_ecdsa, key.sign)
        elif alg == "EdDSA":
            key = ed25519.Ed25519PrivateKey.generate()
            sign = partial(_eddsa, key.sign)
        else:
            key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
            sign = partial(_rsa, key.sign, jws.RSA[alg])
        self._keys[handle] = sign, jws.public_jwk(key.public_key()), key
        return handle

    def fingerprints(self, handle: int, salt: bytes) -> list[dict[str, Any]]:
        """What a scanner finds this key by."""
        return fingerprint.of(self._keys[handle][2], salt)

    def sign(self, wanted: Sequence[tuple[int, bytes, bytes]]) -> list[bytes]:
        """The raw JOSE signatures; KeyError when a key is gone."""
        keys = self._keys
        return [keys[handle][0](message, digest) for handle, message, digest in wanted]

    def public_jwk(self, handle: int) -> dict[str, str]:
        """The required members of the public JWK."""
        return self._keys[handle][1]

    def require_there(self) -> None:
        """It always is."""

    def destroy(self, handle: int) -> None:
        """Drop the only reference: OpenSSL clears the private numbers when it frees them."""
        del self._keys[handle]


def _ecdsa(sign: Callable[..., bytes], _message: bytes, digest: bytes) -> bytes:
    return jws.ecdsa_raw(sign(digest, _HASHED))


def _eddsa(sign: Callable[..., bytes], message: bytes, _digest: bytes) -> bytes:
    return sign(message)


def _rsa(sign: Callable[..., bytes], scheme: object, message: bytes, _digest: bytes) -> bytes:
    return sign(message, scheme, SHA256())
