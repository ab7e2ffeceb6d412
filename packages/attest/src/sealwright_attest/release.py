"""Attested release: a secret, encrypted so that only the incarnation whose evidence was accepted can read it.

HPKE base mode (RFC 9180): X25519, HKDF-SHA256, AES-256-GCM. The key is the one hashed into the evidence
beside the identity key, and every ciphertext is tied to evidence, policy, nonce and purpose. It may never
encrypt to a key that a result did not bind: a key that merely came along could be anyone's.
"""

import hashlib
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from .errors import Code, Misconfigured, Refused
from .model import AttestationResult

SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
INFO_TAG: Final = b"sealwright-release-v1\0"
MAX_SECRET: Final = 64 * 1024
MAX_PURPOSE: Final = 255


def release_info(nonce: bytes, identity_key: bytes, evidence_hash: str, purpose: str) -> bytes:
    """Return the HPKE info that ties a ciphertext to one appraisal and one purpose.

    Both sides compute it from what they know themselves: the attester from the nonce it answered, its own key
    and evidence, the appraiser from its result.

    Args:
        nonce: the nonce of the appraisal.
        identity_key: SubjectPublicKeyInfo (DER) that was bound.
        evidence_hash: SHA-256 of the evidence body, hex.
        purpose: what is released, for example `hsm-pin`.

    Raises:
        Misconfigured: the purpose is empty or longer than 255 bytes.
    """
    name = purpose.encode()
    if not 0 < len(name) <= MAX_PURPOSE:
        raise Misconfigured(f"a purpose has 1 to {MAX_PURPOSE} bytes")
    parts = (
        hashlib.sha256(nonce).digest() + hashlib.sha256(identity_key).digest() + bytes.fromhex(evidence_hash)
    )
    return INFO_TAG + parts + bytes([len(name)]) + name


def seal_for(result: AttestationResult, secret: bytes, purpose: str) -> bytes:
    """Return a secret encrypted to the release key of an accepted result. Whoever calls it logs it and uses
    it once.

    Raises:
        Refused: the evidence was not accepted, or no release key was bound (`binding-missing`).
        Misconfigured: the secret is too large, or the purpose is unusable.
    """
    result.require_accepted()
    if result.release_key is None or result.identity_key is None or result.nonce is None:
        raise Refused(Code.BINDING_MISSING, "no release key is bound by this evidence")
    if len(secret) > MAX_SECRET:
        raise Misconfigured(f"a released secret has at most {MAX_SECRET} bytes")
    info = release_info(result.nonce, result.identity_key, result.evidence_hash, purpose)
    try:
        return SUITE.encrypt(secret, X25519PublicKey.from_public_bytes(result.release_key), info=info)
    except ValueError as err:
        raise Refused(Code.MALFORMED, "the release key is not a usable X25519 key") from err


def open_released(unverified_sealed: bytes, key: X25519PrivateKey, info: bytes) -> bytes:
    """Return a released secret; `info` is what the attester itself computed with `release_info`.

    Raises:
        Refused: `signature-invalid` when it was made for another key, appraisal or purpose, or altered.
    """
    try:
        return SUITE.decrypt(unverified_sealed, key, info=info)
    except InvalidTag as err:
        raise Refused(
            Code.SIGNATURE_INVALID, "the release is not for this key, appraisal and purpose"
        ) from err
