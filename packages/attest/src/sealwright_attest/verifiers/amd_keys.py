"""AMD's endorsement keys: which certificate goes with a report, its chain, and what it endorses.

It may never take an ARK from the evidence, never try another padding than PSS, and never match a VCEK by its
name alone: key kind, product, every TCB component and the chip must be those of the report. Source: AMD
57230, VCEK Certificate and KDS Interface Specification.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sealwright_attest import der
from sealwright_attest.crl import parse_crl, require_not_revoked
from sealwright_attest.errors import Code, Refused
from sealwright_attest.keys import Algorithm
from sealwright_attest.octets import Octets, malformed
from sealwright_attest.roots import Anchors
from sealwright_attest.x509 import Certificate, build_chain, parse_certificate, require_valid_at

from .snp_report import SnpReport, tcb_components

_BASE: Final = "1.3.6.1.4.1.3704.1."
PRODUCT_NAME: Final = der.oid(_BASE + "2")
HARDWARE_ID: Final = der.oid(_BASE + "4")
PROVIDER_ID: Final = der.oid(_BASE + "5")
SPL: Final = {
    "bootloader": der.oid(_BASE + "3.1"),
    "tee": der.oid(_BASE + "3.2"),
    "snp": der.oid(_BASE + "3.3"),
    "microcode": der.oid(_BASE + "3.8"),
    "fmc": der.oid(_BASE + "3.9"),
}
_KINDS: Final = {"SEV-VCEK": "vcek", "SEV-VLEK": "vlek"}
_ISSUERS: Final = {"vcek": "SEV-", "vlek": "SEV-VLEK-"}
CHIP_ID: Final = 64
TURIN_CHIP_ID: Final = 8

_TABLE_ENTRY: Final = 24
_TABLE_LIMIT: Final = 16
MAX_CERT_TABLE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class EndorsementKey:
    """A VCEK or VLEK with the product that its issuer serves."""

    certificate: Certificate
    kind: str
    product: str


def split_cert_table(unverified_table: bytes) -> list[bytes]:
    """Return the DER certificates of a GHCB certificate table (configfs-tsm auxblob, extended report).

    Entries are {GUID, offset u32, length u32}, little-endian, ended by an all-zero entry.

    Raises:
        Refused: `malformed` or `too-large`.
    """
    if len(unverified_table) > MAX_CERT_TABLE:
        raise Refused(Code.TOO_LARGE, "the certificate table is too large")
    reader = Octets(unverified_table, "little")
    found: list[bytes] = []
    for _ in range(_TABLE_LIMIT):
        guid, offset, length = reader.take(16), reader.number(4), reader.number(4)
        if not any(guid):
            return found
        if offset < _TABLE_ENTRY or offset + length > len(unverified_table):
            raise malformed("a certificate table entry points outside the table")
        found.append(unverified_table[offset : offset + length])
    raise malformed("a certificate table without an end")


def find_endorsement_key(
    unverified_certificates: Sequence[bytes], report: SnpReport, now: datetime
) -> EndorsementKey:
    """Return the VCEK or VLEK among the certificates; roots and intermediates that came along are ignored.

    A bundle may hold those of many chips and TCBs: then it is the one of this report, and of several of the
    same key one that is valid at `now`.

    Raises:
        Refused: `endorsement-missing` when there is none; `endorsement-mismatch` when there are several and
            none is this report's.
    """
    found: dict[bytes, EndorsementKey] = {}
    for data in unverified_certificates:
        certificate = parse_certificate(data)
        kind = _KINDS.get(certificate.common_name())
        if kind is None:
            continue
        issuer = certificate.issuer_name()
        product = issuer.removeprefix(_ISSUERS[kind])
        if product not in {"Milan", "Genoa", "Turin"} or issuer != _ISSUERS[kind] + product:
            raise Refused(Code.ENDORSEMENT_MISMATCH, "the endorsement key has an unknown issuer", issuer)
        found[data] = EndorsementKey(certificate, kind, product)
    if not found:
        raise Refused(Code.ENDORSEMENT_MISSING, "no VCEK or VLEK came along")
    if len(found) == 1:
        return next(iter(found.values()))
    fitting = [key for key in found.values() if _endorses(key, report)]
    if not fitting:
        raise Refused(
            Code.ENDORSEMENT_MISMATCH, f"none of {len(found)} VCEKs or VLEKs is of this chip and TCB"
        )
    return next((key for key in fitting if _is_valid(key, now)), fitting[0])


def _endorses(key: EndorsementKey, report: SnpReport) -> bool:
    try:
        require_endorses(key, report)
    except Refused:
        return False
    return True


def _is_valid(key: EndorsementKey, now: datetime) -> bool:
    try:
        require_valid_at(key.certificate, now)
    except Refused:
        return False
    return True


def amd_chain(key: EndorsementKey, anchors: Anchors) -> list[Certificate]:
    """Return the verified chain from the endorsement key to its product's pinned ARK.

    Raises:
        Refused: `chain-untrusted` or `signature-invalid`.
    """
    ark = anchors.amd[key.product]
    return build_chain(key.certificate, anchors.amd_intermediates, (ark,), (Algorithm.PSS_SHA384_SALT48,))


def require_no_revocation(
    chain: Sequence[Certificate], unverified_crls: Sequence[bytes], now: datetime
) -> None:
    """Refuse a chain whose signing key (ASK or ASVK) the ARK's list revokes.

    Raises:
        Refused: `crl-missing` without a list by this ARK; otherwise as `require_not_revoked`.
    """
    signing_key, ark = chain[-2], chain[-1]
    lists = [one for one in map(parse_crl, unverified_crls) if one.issuer == ark.subject]
    if not lists:
        raise Refused(Code.CRL_MISSING, "no revocation list by this root came along")
    for one in lists:
        require_not_revoked(signing_key, ark, one, now)


def endorsed_tcb(key: EndorsementKey) -> dict[str, int]:
    """Return the TCB that the key was derived for, per component of its product."""
    names = ["bootloader", "tee", "snp", "microcode"] + (["fmc"] if key.product == "Turin" else [])
    found = {}
    for name in names:
        extension = key.certificate.extensions.get(SPL[name])
        if extension is None:
            raise Refused(Code.ENDORSEMENT_MISMATCH, "the endorsement key does not name its TCB", name)
        found[name] = der.integer(der.one(extension.value, der.INTEGER).read_rest())
    return found


def endorsed_chip(key: EndorsementKey) -> bytes:
    """Return the chip of a VCEK as 64 bytes: raw in old certificates, an OCTET STRING in new, 8 bytes on
    Turin.
    """
    extension = key.certificate.extensions.get(HARDWARE_ID)
    if extension is None:
        raise Refused(Code.ENDORSEMENT_MISMATCH, "the VCEK does not name its chip")
    value = extension.value
    sizes = {TURIN_CHIP_ID} if key.product == "Turin" else {CHIP_ID}
    if len(value) not in sizes:
        value = der.DerReader(value).read(der.OCTET_STRING)
    if len(value) not in sizes:
        raise malformed("a hardware identity of an unknown size", str(len(value)))
    return value.ljust(CHIP_ID, b"\0")


def provider(key: EndorsementKey) -> str:
    """Return the cloud provider that a VLEK was issued to; empty for a VCEK."""
    extension = key.certificate.extensions.get(PROVIDER_ID)
    if key.kind != "vlek":
        return ""
    if extension is None:
        raise Refused(Code.ENDORSEMENT_MISMATCH, "the VLEK does not name its provider")
    return der.one(extension.value, der.IA5_STRING).read_rest().decode("ascii", "replace")


def require_endorses(key: EndorsementKey, report: SnpReport) -> None:
    """Refuse an endorsement key that is not this report's: kind, product, TCB and chip.

    The TCB is compared with reported_tcb, which is what the firmware derives the key from, component by
    component.

    Raises:
        Refused: `endorsement-mismatch`.
    """
    if report.signing_key != key.kind:
        raise Refused(
            Code.ENDORSEMENT_MISMATCH, f"the report was signed by a {report.signing_key}, not a {key.kind}"
        )
    if report.product and report.product != key.product:
        raise Refused(Code.ENDORSEMENT_MISMATCH, f"a {key.product} key for a {report.product} report")
    endorsed, reported = endorsed_tcb(key), tcb_components(key.product, report.reported_tcb)
    if endorsed != reported:
        raise Refused(Code.ENDORSEMENT_MISMATCH, "the key is of another TCB", f"{endorsed} is not {reported}")
    provider(key)
    if key.kind == "vcek" and endorsed_chip(key) != report.chip_id:
        raise Refused(Code.ENDORSEMENT_MISMATCH, "the key is of another chip (or the chip id is masked)")
