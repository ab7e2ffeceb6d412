r"""The binding rule: how an identity key gets into evidence.

    H( tag || nonce || SHA-256(identity key, SubjectPublicKeyInfo DER) [ || SHA-256(release key) ] )

with H = SHA-512 where 64 bytes fit (SNP and TDX report_data, Nitro user_data) and SHA-256 where only 32
do (TPM extraData, and so Azure). The tag is `sealwright-identity-v1\0`, or `sealwright-identity-release-v1\0`
when a release key is bound as well, so that neither form can be read as the other.

It may never be computed over anything that the sender chose except the keys: the nonce is the appraiser's.
Source: docs/formats/attestation-evidence.md.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from .errors import Misconfigured
from .model import Evidence

IDENTITY_TAG: Final = b"sealwright-identity-v1\0"
RELEASE_TAG: Final = b"sealwright-identity-release-v1\0"
MIN_NONCE: Final = 16
MAX_NONCE: Final = 64
REPORT_DATA: Final = 64
MAX_BARE_NONCE: Final = 512


def _bound(nonce: bytes, identity_key: bytes, release_key: bytes) -> bytes:
    if not MIN_NONCE <= len(nonce) <= MAX_NONCE:
        raise Misconfigured(f"a binding nonce has {MIN_NONCE} to {MAX_NONCE} bytes, not {len(nonce)}")
    key_hash = hashlib.sha256(identity_key).digest()
    if release_key:
        return RELEASE_TAG + nonce + key_hash + hashlib.sha256(release_key).digest()
    return IDENTITY_TAG + nonce + key_hash


def report_data(nonce: bytes, identity_key: bytes, release_key: bytes = b"") -> bytes:
    """Return the 64 bytes for SNP and TDX report_data and for Nitro user_data.

    Args:
        nonce: the appraiser's nonce, 16 to 64 bytes.
        identity_key: SubjectPublicKeyInfo in DER.
        release_key: X25519 public key, 32 bytes, or empty.

    Raises:
        Misconfigured: the nonce is too short or too long.
    """
    return hashlib.sha512(_bound(nonce, identity_key, release_key)).digest()


def extra_data(nonce: bytes, identity_key: bytes, release_key: bytes = b"") -> bytes:
    """Return the 32 bytes for a TPM quote's qualifying data; arguments as for `report_data`."""
    return hashlib.sha256(_bound(nonce, identity_key, release_key)).digest()


@dataclass(frozen=True, slots=True)
class Expected:
    """What fresh evidence must carry.

    Attributes:
        nonce: what the appraiser asked for, or None when it asked for nothing.
        bound: whether an identity key is bound beside it.
        wide: the 64 bytes of a report_data field; None without a nonce.
        narrow: what a TPM's extraData must be; None without a nonce.
    """

    nonce: bytes | None
    bound: bool
    wide: bytes | None
    narrow: bytes | None


def expected_for(evidence: Evidence, nonce: bytes | None) -> Expected:
    """Return what this evidence must carry for this nonce.

    With an identity key the binding rule applies. Without one the nonce itself is expected, left-aligned and
    zero-padded where the field is longer; one that is longer than the field never matches.

    Raises:
        Misconfigured: the nonce does not fit.
    """
    identity = evidence.unverified_identity_key
    if nonce is None:
        return Expected(None, bool(identity), None, None)
    if not 0 < len(nonce) <= MAX_BARE_NONCE:
        raise Misconfigured(f"a nonce has 1 to {MAX_BARE_NONCE} bytes, not {len(nonce)}")
    if identity:
        release = evidence.unverified_release_key
        wide, narrow = report_data(nonce, identity, release), extra_data(nonce, identity, release)
        return Expected(nonce, True, wide, narrow)
    return Expected(nonce, False, nonce.ljust(REPORT_DATA, b"\0"), nonce)
