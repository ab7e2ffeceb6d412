"""The TDX quote, versions 4 and 5, little-endian, parsed strictly, and its signature chain up to Intel's
root.

It may never look at the outer certificate type to decide what was signed: the signed part is header and body,
and in version 5 the body descriptor between them. Bytes after the declared signature length are padding and
are ignored; a quote is malleable there, so a hash of it is no replay key. Source: Intel TDX DCAP Quoting
Library API, appendix A; Intel TDX module 1.5 ABI.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from sealwright_attest.errors import Code, Refused
from sealwright_attest.keys import Algorithm, ec_key, ecdsa_raw, require_signature
from sealwright_attest.octets import Octets, malformed
from sealwright_attest.x509 import Certificate, build_chain, parse_certificate, split_pem

HEADER: Final = 48
TEE_TDX: Final = 0x81
TEE_SGX: Final = 0
ECDSA_P256: Final = 2
INTEL_QE: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
TD10_SIZE: Final = 584
TD15_SIZE: Final = 648
_BODIES: Final = {2: TD10_SIZE, 3: TD15_SIZE}
_MAX_SIGNATURE: Final = 64 * 1024
_QE_REPORT: Final = 384
_QE_CERTIFICATION: Final = 6
_PCK_CHAIN: Final = 5

DEBUG: Final = 1 << 0
SEPT_VE_DISABLE: Final = 1 << 28
ATTRIBUTES: Final = {"debug": 0, "sept_ve_disable": 28, "migratable": 29, "pks": 30, "kl": 31, "perfmon": 63}


@dataclass(frozen=True, slots=True)
class TdReport:
    """The fields of a TD body, as bytes."""

    tee_tcb_svn: bytes
    mr_seam: bytes
    mr_signer_seam: bytes
    seam_attributes: bytes
    td_attributes: int
    xfam: bytes
    mr_td: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes
    tee_tcb_svn2: bytes
    mr_service_td: bytes

    def attributes(self) -> dict[str, bool]:
        """Return the TD attributes by name."""
        return {name: bool(self.td_attributes >> bit & 1) for name, bit in ATTRIBUTES.items()}


@dataclass(frozen=True, slots=True)
class TdxQuote:
    """A parsed quote. Parsed is not verified."""

    raw: bytes
    version: int
    signed: bytes
    body: TdReport
    signature: bytes
    attestation_key: bytes
    qe_report: bytes
    qe_signature: bytes
    qe_auth: bytes
    pck_chain_pem: bytes


def _body(data: bytes) -> TdReport:
    reader = Octets(data, "little")
    take = reader.take
    return TdReport(
        tee_tcb_svn=take(16),
        mr_seam=take(48),
        mr_signer_seam=take(48),
        seam_attributes=take(8),
        td_attributes=reader.number(8),
        xfam=take(8),
        mr_td=take(48),
        mr_config_id=take(48),
        mr_owner=take(48),
        mr_owner_config=take(48),
        rtmrs=(take(48), take(48), take(48), take(48)),
        report_data=take(64),
        tee_tcb_svn2=take(16) if len(data) == TD15_SIZE else b"",
        mr_service_td=take(48) if len(data) == TD15_SIZE else bytes(48),
    )


def _require_header(reader: Octets) -> int:
    version, key_type, tee_type = reader.number(2), reader.number(2), reader.number(4)
    if tee_type == TEE_SGX:
        raise Refused(Code.KIND_MISMATCH, "an SGX quote, not a TDX one")
    if version not in {4, 5} or key_type != ECDSA_P256 or tee_type != TEE_TDX:
        raise Refused(
            Code.VERSION_UNKNOWN,
            "an unknown form of quote",
            f"version {version} key {key_type} TEE {tee_type:#x}",
        )
    reader.take(4)
    if reader.take(16) != INTEL_QE:
        raise Refused(Code.VERSION_UNKNOWN, "a quoting enclave that is not Intel's")
    reader.take(20)
    return version


def _body_size(reader: Octets, version: int) -> int:
    if version == 4:  # noqa: PLR2004
        return TD10_SIZE
    kind, size = reader.number(2), reader.number(4)
    if kind not in _BODIES or _BODIES[kind] != size:
        raise Refused(Code.VERSION_UNKNOWN, "an unknown form of TD body", f"type {kind} size {size}")
    return size


def parse_quote(unverified_quote: bytes) -> TdxQuote:
    """Parse a quote.

    Raises:
        Refused: `malformed`, `version-unknown`, or `kind-mismatch` for an SGX quote.
    """
    reader = Octets(unverified_quote, "little")
    version = _require_header(reader)
    body = reader.take(_body_size(reader, version))
    signed = unverified_quote[: reader.at]
    outer = Octets(reader.sized(4, _MAX_SIGNATURE), "little")
    signature, key = outer.take(64), outer.take(64)
    if outer.number(2) != _QE_CERTIFICATION:
        raise Refused(Code.VERSION_UNKNOWN, "an unknown form of quote certification")
    middle = Octets(outer.sized(4, _MAX_SIGNATURE), "little")
    outer.require_end()
    qe_report, qe_signature = middle.take(_QE_REPORT), middle.take(64)
    qe_auth = middle.sized(2, 1024)
    if middle.number(2) != _PCK_CHAIN:
        raise Refused(Code.VERSION_UNKNOWN, "a quote without its PCK certificate chain")
    pem = middle.sized(4, _MAX_SIGNATURE)
    middle.require_end()
    return TdxQuote(
        unverified_quote,
        version,
        signed,
        _body(body),
        signature,
        key,
        qe_report,
        qe_signature,
        qe_auth,
        pem.rstrip(b"\0"),
    )


def pck_chain(quote: TdxQuote, root: Certificate) -> list[Certificate]:
    """Return the verified chain from the quote's PCK certificate to the pinned root.

    Raises:
        Refused: `chain-untrusted` or `signature-invalid`.
    """
    certificates = [parse_certificate(one) for one in split_pem(quote.pck_chain_pem)]
    return build_chain(certificates[0], certificates[1:], (root,), (Algorithm.ECDSA_SHA256,))


def require_qe(quote: TdxQuote, pck: Certificate) -> None:
    """Refuse a quoting enclave that the platform's PCK did not certify, or that did not make this key.

    Raises:
        Refused: `signature-invalid`.
    """
    signature = ecdsa_raw(quote.qe_signature[:32], quote.qe_signature[32:])
    require_signature(pck.public_key(), Algorithm.ECDSA_SHA256, signature, quote.qe_report)
    expected = hashlib.sha256(quote.attestation_key + quote.qe_auth).digest().ljust(64, b"\0")
    if quote.qe_report[320:384] != expected:
        raise Refused(Code.SIGNATURE_INVALID, "the attestation key is not the quoting enclave's")


def require_quote_signature(quote: TdxQuote) -> None:
    """Refuse a body that the attestation key did not sign.

    Raises:
        Refused: `signature-invalid`, or `malformed` for a key off its curve.
    """
    key = ec_key("secp256r1", quote.attestation_key[:32], quote.attestation_key[32:])
    signature = ecdsa_raw(quote.signature[:32], quote.signature[32:])
    require_signature(key, Algorithm.ECDSA_SHA256, signature, quote.signed)


def require_intel_module(body: TdReport) -> None:
    """Refuse a TDX module that Intel did not sign.

    Raises:
        Refused: `malformed`.
    """
    if any(body.mr_signer_seam) or any(body.seam_attributes):
        raise malformed("the TDX module is not signed by Intel, or is a debug one")
