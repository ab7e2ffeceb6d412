"""The HCL report of Azure confidential VMs: header, hardware report, and the runtime document bound to it.

It may never parse the runtime document before its hash was found in the hardware report, and never ignore the
half of report_data behind the hash. Source: Azure confidential VM guest attestation; sizes as in notes of
docs/attestation.md.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from sealwright_attest.errors import Code, Refused
from sealwright_attest.keys import PublicKey, rsa_key
from sealwright_attest.octets import Octets, b64url, malformed, strict_object

HEADER: Final = 32
HARDWARE_REPORT: Final = 1184
TD_REPORT: Final = 1024
TD_REPORT_DATA: Final = 128
MAX_HCL: Final = 8 * 1024
MAX_RUNTIME: Final = 4 * 1024
_REQUEST_TYPE: Final = 2
_RUNTIME_HEADER: Final = 20
TYPE_SNP: Final = 2
TYPE_TDX: Final = 4
_HASH_SHA256: Final = 1
RSA_EXPONENT_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class HclReport:
    """The parts of an HCL report. Parsed is not verified; `runtime` is still bytes."""

    report_type: int
    hardware_report: bytes
    unverified_runtime: bytes


@dataclass(frozen=True, slots=True)
class Runtime:
    """The runtime document, after its hash was found in a verified hardware report."""

    attestation_key: PublicKey
    configuration: dict[str, Any]
    user_data: str
    document: dict[str, Any]


def parse_hcl(unverified_hcl: bytes) -> HclReport:
    """Parse an HCL report of header version 1 or 2.

    Raises:
        Refused: `malformed`, `too-large` or `version-unknown`.
    """
    if len(unverified_hcl) > MAX_HCL:
        raise Refused(Code.TOO_LARGE, "the HCL report is too large")
    reader = Octets(unverified_hcl, "little")
    magic, version, size = reader.take(4), reader.number(4), reader.number(4)
    request, status = reader.number(4), reader.number(4)
    reader.take(12)
    if magic != b"HCLA" or request != _REQUEST_TYPE or status:
        raise malformed("not an HCL report")
    if version not in {1, 2}:
        raise Refused(Code.VERSION_UNKNOWN, "an unknown HCL version", str(version))
    hardware = reader.take(HARDWARE_REPORT)
    data_size, data_version, kind = reader.number(4), reader.number(4), reader.number(4)
    hash_type, runtime_size = reader.number(4), reader.number(4)
    if data_version != 1 or hash_type != _HASH_SHA256 or kind not in {TYPE_SNP, TYPE_TDX}:
        raise Refused(Code.VERSION_UNKNOWN, "an unknown form of HCL report", f"type {kind} hash {hash_type}")
    if runtime_size > MAX_RUNTIME or data_size != _RUNTIME_HEADER + runtime_size:
        raise malformed("the HCL report's sizes disagree")
    if size != HEADER + HARDWARE_REPORT + data_size:
        raise malformed("the HCL report's sizes disagree")
    runtime = reader.take(runtime_size)
    if any(reader.take(reader.left())):
        raise malformed("the HCL report has trailing bytes")
    return HclReport(kind, hardware, runtime)


def require_bound(unverified_runtime: bytes, report_data: bytes) -> bytes:
    """Return the runtime document, whose SHA-256 must fill the first half of report_data and zeros the rest.

    Raises:
        Refused: `hash-mismatch`.
    """
    if hashlib.sha256(unverified_runtime).digest().ljust(64, b"\0") != report_data:
        raise Refused(Code.HASH_MISMATCH, "the runtime document is not the one in the hardware report")
    return unverified_runtime


def parse_runtime(runtime: bytes) -> Runtime:
    """Parse a runtime document that `require_bound` returned.

    Raises:
        Refused: `malformed`, or `ak-untrusted` unless it names exactly one attestation key.
    """
    document = strict_object(runtime)
    keys = document.get("keys")
    if not isinstance(keys, list) or not all(isinstance(one, dict) for one in keys):
        raise malformed("the runtime document has no keys")
    attestation = [one for one in keys if one.get("kid") == "HCLAkPub"]
    if len(attestation) != 1 or attestation[0].get("kty") != "RSA":
        raise Refused(Code.AK_UNTRUSTED, "the runtime document does not name exactly one attestation key")
    exponent = b64url(attestation[0].get("e"), "e")
    if len(exponent) > RSA_EXPONENT_BYTES:
        raise malformed("an RSA exponent is too large")
    configuration = document.get("vm-configuration", {})
    user_data = document.get("user-data", "")
    if not isinstance(configuration, dict) or not isinstance(user_data, str):
        raise malformed("the runtime document is of an unknown form")
    key = rsa_key(b64url(attestation[0].get("n"), "n"), int.from_bytes(exponent, "big"))
    return Runtime(key, configuration, user_data, document)
