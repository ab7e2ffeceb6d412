"""Synthetic TPM quotes by a software key, with certificates for it, and Azure's report around them.

It may never be taken for a TPM: the key is in this process, which is exactly what the verifier must not be
told by the quote alone.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sealwright_attest.errors import Misconfigured
from sealwright_attest.keys import Algorithm
from sealwright_attest.model import Endorsements, Evidence, Kind
from sealwright_attest.synthetic.authority import Authority, Request, new_key, public_der, sign
from sealwright_attest.verifiers.tpm_structures import (
    AK_ATTRIBUTES,
    ALG_ECC,
    ALG_ECDSA,
    ALG_NULL,
    ALG_RSA,
    ALG_RSASSA,
    ALG_SHA256,
    MAGIC,
    ST_ATTEST_QUOTE,
    parse_public,
)

PCRS: Final = {index: hashlib.sha256(bytes([index])).digest() for index in range(24)}


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def _sized(data: bytes) -> bytes:
    return _u16(len(data)) + data


def selection(pcrs: Iterable[int], bank: int = ALG_SHA256) -> bytes:
    """Return one TPMS_PCR_SELECTION of three bytes."""
    bits = sum(1 << index for index in pcrs)
    return _u16(bank) + b"\x03" + bits.to_bytes(3, "little")


@dataclass(frozen=True, slots=True)
class Quote:
    """What a quote is to say; every flaw is one field."""

    nonce: bytes = b""
    pcrs: Mapping[int, bytes] = field(default_factory=lambda: dict(PCRS))
    selected: tuple[bytes, ...] = ()
    magic: int = MAGIC
    kind: int = ST_ATTEST_QUOTE
    reset_count: int = 7
    restart_count: int = 0
    digest: bytes | None = None


def quote_message(quote: Quote) -> bytes:
    """Return the TPMS_ATTEST of a quote."""
    joined = b"".join(quote.pcrs[index] for index in sorted(quote.pcrs))
    digest = hashlib.sha256(joined).digest() if quote.digest is None else quote.digest
    selected = quote.selected or (selection(quote.pcrs),)
    return b"".join(
        [
            quote.magic.to_bytes(4, "big"),
            _u16(quote.kind),
            _sized(_u16(ALG_SHA256) + bytes(32)),
            _sized(quote.nonce),
            (123456).to_bytes(8, "big"),
            quote.reset_count.to_bytes(4, "big"),
            quote.restart_count.to_bytes(4, "big"),
            b"\x01",
            (1).to_bytes(8, "big"),
            len(selected).to_bytes(4, "big"),
            *selected,
            _sized(digest),
        ]
    )


@dataclass(frozen=True, slots=True)
class AttestationKey:
    """A software key dressed as a TPM's attestation key."""

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    attributes: int = AK_ATTRIBUTES

    def public(self) -> bytes:
        """Return its TPMT_PUBLIC."""
        head = self.attributes.to_bytes(4, "big") + _sized(b"")
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            point = self.key.public_key().public_numbers()
            x, y = point.x.to_bytes(32, "big"), point.y.to_bytes(32, "big")
            parameters = _u16(ALG_NULL) + _u16(ALG_ECDSA) + _u16(ALG_SHA256) + _u16(3) + _u16(ALG_NULL)
            return _u16(ALG_ECC) + _u16(ALG_SHA256) + head + parameters + _sized(x) + _sized(y)
        modulus = self.key.public_key().public_numbers().n.to_bytes(self.key.key_size // 8, "big")
        parameters = _u16(ALG_NULL) + _u16(ALG_RSASSA) + _u16(ALG_SHA256) + _u16(self.key.key_size) + bytes(4)
        return _u16(ALG_RSA) + _u16(ALG_SHA256) + head + parameters + _sized(modulus)

    def name(self) -> str:
        """Return the name that a TPM would give it, in hex."""
        return parse_public(self.public()).name.hex()

    def sign(self, message: bytes) -> bytes:
        """Return a TPMT_SIGNATURE with SHA-256."""
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(sign(self.key, Algorithm.ECDSA_SHA256, message))
            numbers = _sized(r.to_bytes(32, "big")) + _sized(s.to_bytes(32, "big"))
            return _u16(ALG_ECDSA) + _u16(ALG_SHA256) + numbers
        return _u16(ALG_RSASSA) + _u16(ALG_SHA256) + _sized(sign(self.key, Algorithm.RSA_SHA256, message))

    def body(self, quote: Quote, claimed: Mapping[int, bytes] | None = None) -> bytes:
        """Return TPM evidence; `claimed` replaces the PCR values that are sent along."""
        message = quote_message(quote)
        values = quote.pcrs if claimed is None else claimed
        table = {
            "message": base64.b64encode(message).decode(),
            "signature": base64.b64encode(self.sign(message)).decode(),
            "ak_public": base64.b64encode(self.public()).decode(),
            "pcrs": {str(index): value.hex() for index, value in values.items()},
        }
        return json.dumps(table).encode()

    def evidence(
        self, quote: Quote, identity_key: bytes = b"", certificates: tuple[bytes, ...] = ()
    ) -> Evidence:
        """Return TPM evidence with the certificates that vouch for the key."""
        return Evidence(
            Kind.TPM2,
            self.body(quote),
            Endorsements(certificates=certificates),
            unverified_identity_key=identity_key,
        )

    def certificate(self, issuer: Authority) -> bytes:
        """Return a certificate for this key."""
        return issuer.issue(Request("synthetic attestation key", public_der(self.key)))


def new_attestation_key(
    algorithm: Algorithm = Algorithm.ECDSA_SHA256, attributes: int = AK_ATTRIBUTES
) -> AttestationKey:
    """Return a fresh key: P-256, or RSA 2048 for the RSA algorithms."""
    return AttestationKey(new_key(algorithm), attributes)


def _hcl(report: bytes, runtime: bytes, report_type: int) -> bytes:
    data = (
        (20 + len(runtime)).to_bytes(4, "little")
        + (1).to_bytes(4, "little")
        + report_type.to_bytes(4, "little")
        + (1).to_bytes(4, "little")
        + len(runtime).to_bytes(4, "little")
        + runtime
    )
    size = 32 + 1184 + len(data)
    head = b"HCLA" + b"".join(one.to_bytes(4, "little") for one in (2, size, 2, 0, 0, 0, 0))
    return (head + report.ljust(1184, b"\0") + data).ljust(2600, b"\0")


def runtime_document(ak: AttestationKey, **configuration: bool | str) -> bytes:
    """Return the runtime document of an Azure machine whose vTPM attests with this RSA key."""
    if not isinstance(ak.key, rsa.RSAPrivateKey):
        raise Misconfigured("Azure's attestation key is an RSA key")
    modulus = ak.key.public_key().public_numbers().n.to_bytes(256, "big")
    encoded = base64.urlsafe_b64encode(modulus).rstrip(b"=").decode()
    keys = [{"kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA", "e": "AQAB", "n": encoded}]
    settings = {
        "secure-boot": True,
        "tpm-enabled": True,
        "vmUniqueId": "00000000-0000-0000-0000-000000000001",
    }
    named = {name.replace("_", "-"): value for name, value in configuration.items()}
    return json.dumps(
        {"keys": keys, "vm-configuration": {**settings, **named}, "user-data": "00" * 64}
    ).encode()


def azure_body(
    report: bytes,
    runtime: bytes,
    ak: AttestationKey,
    quote: Quote,
    *,
    certificate: bytes | None = None,
    td_quote: bytes | None = None,
) -> bytes:
    """Return Azure evidence: a hardware report (SNP, or a TD report when a TD quote is given) around a vTPM
    quote.
    """
    message = quote_message(quote)

    def armour(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    table: dict[str, object] = {
        "hcl_report": armour(_hcl(report, runtime, 4 if td_quote is not None else 2)),
        "quote": {
            "message": message.hex(),
            "signature": ak.sign(message).hex(),
            "pcrs": {str(index): value.hex() for index, value in quote.pcrs.items()},
        },
    }
    if certificate is not None:
        table["vcek"] = armour(certificate)
    if td_quote is not None:
        table["td_quote"] = armour(td_quote)
    return json.dumps(table).encode()
