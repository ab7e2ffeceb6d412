"""Credential activation: proof that an attestation key lives in the TPM of a certified endorsement key.

The appraiser encrypts a secret to the endorsement key and the *name* of the attestation key; only a TPM that
holds both gives the secret back. The record binds that one attestation key: a challenge solved for one key
never vouches for another. It may never accept an endorsement key without a chain to a root, nor an
attestation key that is not restricted. Source: TCG TPM 2.0 Library, Part 1, sections 11.4.10 and 24; TCG EK
Credential Profile.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from .errors import Code, Refused
from .keys import PublicKey
from .policy.document import Policy
from .roots import Anchors, pinned
from .verifiers.context import ActivatedKey
from .verifiers.tpm2 import TPM_ALGORITHMS, policy_roots, require_attributes
from .verifiers.tpm_structures import parse_public
from .x509 import build_chain, parse_certificate, require_valid_at

_SEED: Final = 32
_SYMMETRIC: Final = 16
SECRET: Final = 32
_IDENTITY: Final = b"IDENTITY\0"


def _kdf_a(key: bytes, label: bytes, context: bytes, size: int) -> bytes:
    """KDFa with SHA-256 for up to 32 bytes: one round of SP 800-108 in counter mode."""
    message = (1).to_bytes(4, "big") + label + b"\0" + context + (size * 8).to_bytes(4, "big")
    return hmac.new(key, message, hashlib.sha256).digest()[:size]


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _encrypted_seed(key: PublicKey) -> tuple[bytes, bytes]:
    if isinstance(key, rsa.RSAPublicKey):
        seed = secrets.token_bytes(_SEED)
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), _IDENTITY)
        return seed, key.encrypt(seed, oaep)
    if key.curve.name != "secp256r1":
        raise Refused(Code.VERSION_UNKNOWN, "an endorsement key on another curve than P-256", key.curve.name)
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    ours, theirs = ephemeral.public_key().public_numbers(), key.public_numbers()
    shared = ephemeral.exchange(ec.ECDH(), key)
    parties = ours.x.to_bytes(32, "big") + theirs.x.to_bytes(32, "big")
    seed = hashlib.sha256((1).to_bytes(4, "big") + shared + _IDENTITY + parties).digest()
    return seed, _sized(ours.x.to_bytes(32, "big")) + _sized(ours.y.to_bytes(32, "big"))


def make_credential(endorsement_key: PublicKey, ak_name: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """Return what TPM2_ActivateCredential takes: the TPM2B_ID_OBJECT and the TPM2B_ENCRYPTED_SECRET.

    Args:
        endorsement_key: RSA, or ECC P-256, with a SHA-256 and AES-128 template.
        ak_name: name of the attestation key.
        secret: at most 32 bytes.
    """
    seed, encrypted = _encrypted_seed(endorsement_key)
    encryptor = Cipher(AES(_kdf_a(seed, b"STORAGE", ak_name, _SYMMETRIC)), CFB(bytes(16))).encryptor()
    identity = encryptor.update(_sized(secret)) + encryptor.finalize()
    outer = hmac.new(_kdf_a(seed, b"INTEGRITY", b"", _SEED), identity + ak_name, hashlib.sha256).digest()
    return _sized(_sized(outer) + identity), _sized(encrypted)


@dataclass(frozen=True, slots=True)
class Challenge:
    """An open challenge. Send `credential` and `encrypted_secret`; keep the rest.

    Attributes:
        credential: TPM2B_ID_OBJECT.
        encrypted_secret: TPM2B_ENCRYPTED_SECRET.
        ak_name: name (hex) of the one attestation key that the answer will vouch for.
    """

    credential: bytes
    encrypted_secret: bytes
    ak_name: str
    _record: ActivatedKey
    _secret: bytes = field(repr=False)

    def require_answer(self, unverified_secret: bytes) -> tuple[str, ActivatedKey]:
        """Return the record to keep in `Known.activated`, as its key and value.

        Raises:
            Refused: `ak-untrusted` for a wrong answer.
        """
        if not hmac.compare_digest(self._secret, unverified_secret):
            raise Refused(Code.AK_UNTRUSTED, "the activation challenge was not solved")
        return self.ak_name, self._record


def open_challenge(
    unverified_ek_certificate: bytes,
    unverified_ak_public: bytes,
    *,
    policy: Policy,
    now: datetime,
    unverified_intermediates: Sequence[bytes] = (),
    anchors: Anchors | None = None,
) -> Challenge:
    """Return a challenge for an attestation key in the TPM of a certified endorsement key.

    Args:
        unverified_ek_certificate: the endorsement key's certificate (DER).
        unverified_ak_public: TPMT_PUBLIC of the attestation key.
        policy: where roots beside the shipped ones are named.
        now: the time at which the certificates must be valid.
        unverified_intermediates: further certificates (DER) of the chain.
        anchors: other anchors than the shipped ones, for tests.

    Raises:
        Refused: the chain, the certificate or the attestation key is not acceptable.
    """
    public = parse_public(unverified_ak_public)
    require_attributes(public)
    leaf = parse_certificate(unverified_ek_certificate)
    shipped = anchors or pinned()
    virtual, hardware = policy_roots(policy.tpm)
    pool = [*(parse_certificate(one) for one in unverified_intermediates), *shipped.tpm_intermediates]
    chain = build_chain(leaf, pool, [*shipped.tpm, *virtual, *hardware], TPM_ALGORITHMS)
    for certificate in chain:
        require_valid_at(certificate, now)
    secret = secrets.token_bytes(SECRET)
    credential, encrypted = make_credential(leaf.public_key(), public.name, secret)
    is_hardware = any(one.raw == chain[-1].raw for one in hardware)
    record = ActivatedKey(unverified_ek_certificate, is_hardware)
    return Challenge(credential, encrypted, public.name.hex(), record, secret)
