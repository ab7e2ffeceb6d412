"""The JSON in which Azure evidence arrives: ours, and the three encodings that other collectors write.

It may never guess an encoding by trying: each field has its own, and a list of numbers is the only
alternative. Source: docs/formats/attestation-evidence.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sealwright_attest.octets import b64, b64url, hexadecimal, malformed, strict_object
from sealwright_attest.x509 import split_pem

from .tpm_evidence import read_pcrs
from .tpm_structures import MAX_PCRS, TpmSignature, parse_signature, plain_rsa_signature

_BYTE: Final = 255
_RAW_SIGNATURES: Final = (256, 384, 512)


@dataclass(frozen=True, slots=True)
class AzureEvidence:
    """The parts of Azure evidence. All of it is untrusted."""

    hcl_report: bytes
    message: bytes
    signature: TpmSignature
    pcrs: Mapping[int, bytes]
    vcek: bytes | None
    td_quote: bytes | None


def _numbers(value: object, name: str) -> bytes | None:
    if not isinstance(value, list):
        return None
    if not all(type(one) is int and 0 <= one <= _BYTE for one in value):
        raise malformed(f"{name} is not a list of bytes")
    return bytes(value)


def _hex(value: object, name: str) -> bytes:
    data = _numbers(value, name)
    return hexadecimal(value, name) if data is None else data


def _base64(value: object, name: str) -> bytes:
    data = _numbers(value, name)
    if data is not None:
        return data
    if isinstance(value, str) and ("+" in value or "/" in value):
        return b64(value, name)
    return b64url(value, name)


def _certificate(value: object) -> bytes:
    if isinstance(value, str) and value.startswith("-----BEGIN"):
        return split_pem(value.encode())[0]
    return _base64(value, "vcek")


def _pcrs(value: object) -> dict[int, bytes]:
    if isinstance(value, dict):
        return read_pcrs(value)
    if not isinstance(value, list) or len(value) > MAX_PCRS:
        raise malformed("pcrs is neither a list nor an object of PCR values")
    return {index: _hex(one, "a PCR value") for index, one in enumerate(value)}


def _signature(data: bytes) -> TpmSignature:
    return plain_rsa_signature(data) if len(data) in _RAW_SIGNATURES else parse_signature(data)


def parse_azure_evidence(unverified_body: bytes) -> AzureEvidence:
    """Parse Azure evidence.

    Raises:
        Refused: `malformed`, `too-large` or `version-unknown`.
    """
    table: dict[str, Any] = strict_object(unverified_body)
    inner = table.get("evidence", table)
    if not isinstance(inner, dict):
        raise malformed("the evidence is not an object")
    quote = inner.get("quote", inner.get("tpm_quote"))
    if not isinstance(quote, dict):
        raise malformed("the evidence has no vTPM quote")
    return AzureEvidence(
        hcl_report=_base64(inner.get("hcl_report", inner.get("report")), "hcl_report"),
        message=_hex(quote.get("message"), "message"),
        signature=_signature(_hex(quote.get("signature"), "signature")),
        pcrs=_pcrs(quote.get("pcrs")),
        vcek=_certificate(inner["vcek"]) if inner.get("vcek") is not None else None,
        td_quote=_base64(inner["td_quote"], "td_quote") if inner.get("td_quote") is not None else None,
    )
