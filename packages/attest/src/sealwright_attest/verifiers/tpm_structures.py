"""TPM 2.0 structures: TPMT_PUBLIC, TPMS_ATTEST of a quote, TPMT_SIGNATURE. Big-endian, parsed strictly.

It may never accept SHA-1, a structure with bytes left over, or an attestation that is not a quote.
Source: TCG TPM 2.0 Library, Part 2: Structures.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from sealwright_attest.errors import Code, Refused
from sealwright_attest.keys import Algorithm, PublicKey, ec_key, ecdsa_raw, rsa_key
from sealwright_attest.octets import Octets, malformed

MAGIC: Final = 0xFF544347
ST_ATTEST_QUOTE: Final = 0x8018

ALG_RSA: Final = 0x0001
ALG_SHA1: Final = 0x0004
ALG_SHA256: Final = 0x000B
ALG_SHA384: Final = 0x000C
ALG_SHA512: Final = 0x000D
ALG_NULL: Final = 0x0010
ALG_RSASSA: Final = 0x0014
ALG_RSAPSS: Final = 0x0016
ALG_ECDSA: Final = 0x0018
ALG_ECC: Final = 0x0023
HASHES: Final = {ALG_SHA256: "sha256", ALG_SHA384: "sha384", ALG_SHA512: "sha512"}
HASH_NAMES: Final = {ALG_SHA1: "sha1", **HASHES}
CURVES: Final = {0x0003: ("secp256r1", 32), 0x0004: ("secp384r1", 48)}
_SCHEMES: Final = {ALG_RSASSA: "rsassa-pkcs1", ALG_RSAPSS: "rsassa-pss", ALG_ECDSA: "ecdsa"}
_DEFAULT_EXPONENT: Final = 65537

FIXED_TPM: Final = 1 << 1
FIXED_PARENT: Final = 1 << 4
SENSITIVE_DATA_ORIGIN: Final = 1 << 5
RESTRICTED: Final = 1 << 16
DECRYPT: Final = 1 << 17
SIGN: Final = 1 << 18
AK_ATTRIBUTES: Final = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | RESTRICTED | SIGN
ATTRIBUTE_NAMES: Final = {
    FIXED_TPM: "fixedTPM",
    FIXED_PARENT: "fixedParent",
    SENSITIVE_DATA_ORIGIN: "sensitiveDataOrigin",
    RESTRICTED: "restricted",
    DECRYPT: "decrypt",
    SIGN: "sign",
}
MAX_FIELD: Final = 1024
MAX_PCRS: Final = 24


@dataclass(frozen=True, slots=True)
class TpmPublic:
    """The public area of a key. `name` is what the TPM calls it: algorithm and digest of the whole area."""

    key: PublicKey
    name: bytes
    attributes: int
    scheme: int
    scheme_hash: int
    is_rsa: bool

    def attribute_names(self) -> list[str]:
        """Return the names of the attributes that matter for an attestation key."""
        return [name for bit, name in ATTRIBUTE_NAMES.items() if self.attributes & bit]


def _symmetric(reader: Octets) -> None:
    if reader.number(2) != ALG_NULL:
        reader.take(4)


def _scheme(reader: Octets) -> tuple[int, int]:
    scheme = reader.number(2)
    return scheme, reader.number(2) if scheme != ALG_NULL else ALG_NULL


def parse_public(unverified_public: bytes) -> TpmPublic:
    """Parse a TPMT_PUBLIC of an RSA or ECC key.

    Raises:
        Refused: `malformed` or `version-unknown`.
    """
    reader = Octets(unverified_public, "big")
    kind, name_algorithm, attributes = reader.number(2), reader.number(2), reader.number(4)
    reader.sized(2, MAX_FIELD)
    if name_algorithm not in HASHES:
        raise Refused(Code.VERSION_UNKNOWN, "a TPM key with an unknown name algorithm", hex(name_algorithm))
    _symmetric(reader)
    scheme, scheme_hash = _scheme(reader)
    key: PublicKey
    if kind == ALG_RSA:
        reader.number(2)
        exponent = reader.number(4) or _DEFAULT_EXPONENT
        key = rsa_key(reader.sized(2, MAX_FIELD), exponent)
    elif kind == ALG_ECC:
        curve = reader.number(2)
        if curve not in CURVES or reader.number(2) != ALG_NULL:
            raise Refused(Code.VERSION_UNKNOWN, "a TPM key on an unknown curve")
        name, _ = CURVES[curve]
        key = ec_key(name, reader.sized(2, MAX_FIELD), reader.sized(2, MAX_FIELD))
    else:
        raise Refused(Code.VERSION_UNKNOWN, "a TPM key of an unknown type", hex(kind))
    reader.require_end()
    digest = hashlib.new(HASHES[name_algorithm], unverified_public).digest()
    name_bytes = name_algorithm.to_bytes(2, "big") + digest
    return TpmPublic(key, name_bytes, attributes, scheme, scheme_hash, kind == ALG_RSA)


@dataclass(frozen=True, slots=True)
class Selection:
    """One bank of a PCR selection."""

    bank: int
    pcrs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TpmQuote:
    """What a quote attests. Parsed is not verified."""

    raw: bytes
    qualified_signer: bytes
    extra_data: bytes
    clock: int
    reset_count: int
    restart_count: int
    safe: bool
    firmware_version: int
    selections: tuple[Selection, ...]
    pcr_digest: bytes


def _selection(reader: Octets) -> Selection:
    bank = reader.number(2)
    size = reader.number(1)
    if not 1 <= size <= MAX_PCRS // 8:
        raise malformed("a PCR selection of an unknown size")
    bits = reader.take(size)
    pcrs = tuple(index for index in range(size * 8) if bits[index // 8] >> (index % 8) & 1)
    return Selection(bank, pcrs)


def parse_quote(unverified_quote: bytes) -> TpmQuote:
    """Parse a TPMS_ATTEST that must be a quote.

    Raises:
        Refused: `malformed`, or `kind-mismatch` for another attestation.
    """
    reader = Octets(unverified_quote, "big")
    if reader.number(4) != MAGIC:
        raise malformed("not made inside a TPM: the magic is missing")
    if reader.number(2) != ST_ATTEST_QUOTE:
        raise Refused(Code.KIND_MISMATCH, "a TPM attestation that is not a quote")
    qualified_signer = reader.sized(2, MAX_FIELD)
    extra_data = reader.sized(2, MAX_FIELD)
    clock, reset_count, restart_count = reader.number(8), reader.number(4), reader.number(4)
    safe, firmware = reader.number(1), reader.number(8)
    count = reader.number(4)
    if not 1 <= count <= len(HASH_NAMES) or safe > 1:
        raise malformed("a quote of an unknown form")
    selections = tuple(_selection(reader) for _ in range(count))
    digest = reader.sized(2, MAX_FIELD)
    reader.require_end()
    return TpmQuote(
        unverified_quote,
        qualified_signer,
        extra_data,
        clock,
        reset_count,
        restart_count,
        bool(safe),
        firmware,
        selections,
        digest,
    )


@dataclass(frozen=True, slots=True)
class TpmSignature:
    """A signature with its scheme and hash; `value` is PKCS#1 bytes, or DER for ECDSA."""

    scheme: int
    hash_algorithm: int
    value: bytes

    def algorithm(self) -> Algorithm:
        """Return the algorithm that the key must verify with."""
        return Algorithm(f"{_SCHEMES[self.scheme]}-{HASHES[self.hash_algorithm]}")


def parse_signature(unverified_signature: bytes) -> TpmSignature:
    """Parse a TPMT_SIGNATURE.

    Raises:
        Refused: `malformed`, or `version-unknown` for SHA-1 and schemes that are not RSASSA, RSAPSS or ECDSA.
    """
    reader = Octets(unverified_signature, "big")
    scheme, hash_algorithm = reader.number(2), reader.number(2)
    if scheme not in _SCHEMES or hash_algorithm not in HASHES:
        raise Refused(
            Code.VERSION_UNKNOWN,
            "a TPM signature of an unknown or weak scheme",
            f"{scheme:#x} {hash_algorithm:#x}",
        )
    if scheme == ALG_ECDSA:
        value = ecdsa_raw(reader.sized(2, MAX_FIELD), reader.sized(2, MAX_FIELD))
    else:
        value = reader.sized(2, MAX_FIELD)
    reader.require_end()
    return TpmSignature(scheme, hash_algorithm, value)


def plain_rsa_signature(unverified_signature: bytes) -> TpmSignature:
    """Return an RSASSA SHA-256 signature given without its TPM wrapping, as Azure's evidence does."""
    return TpmSignature(ALG_RSASSA, ALG_SHA256, unverified_signature)
