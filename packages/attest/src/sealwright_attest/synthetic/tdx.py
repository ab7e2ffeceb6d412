"""Synthetic TDX: an Intel-like root, PCK, quoting enclave, collateral and quotes by them.

It may never use Intel's root; the collateral is signed by the synthetic one and says what a test wants it to
say.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sealwright_attest.keys import Algorithm
from sealwright_attest.model import Endorsements, Evidence, Kind
from sealwright_attest.synthetic import encode
from sealwright_attest.synthetic.authority import (
    Authority,
    PrivateKey,
    Request,
    new_key,
    public_der,
    root,
    sign,
    to_pem,
)
from sealwright_attest.verifiers.tdx_quote import INTEL_QE, SEPT_VE_DISABLE

_SGX: Final = "1.2.840.113741.1.13.1"
FMSPC: Final = bytes.fromhex("00a06d080000")
QE_SIGNER: Final = bytes.fromhex("dc" * 32)
_P256: Final = Algorithm.ECDSA_SHA256
PCK_SERIAL: Final = 77


def _raw(key: PrivateKey, data: bytes) -> bytes:
    r, s = decode_dss_signature(sign(key, _P256, data))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Td:
    """What a quote is to say; every flaw is one field."""

    report_data: bytes = bytes(64)
    mr_td: bytes = b"\x33" * 48
    rtmrs: tuple[bytes, bytes, bytes, bytes] = (bytes(48), bytes(48), bytes(48), bytes(48))
    attributes: int = SEPT_VE_DISABLE
    mr_signer_seam: bytes = bytes(48)
    mr_service_td: bytes = bytes(48)
    version: int = 5
    padding: bytes = bytes(70)


@dataclass(frozen=True, slots=True)
class Levels:
    """What the collateral is to say about the platform.

    Attributes:
        status: TCB status of the level that the platform reaches.
        newer: date of a newer level that it does not reach; None for no such level.
        evaluation: TCB evaluation data number.
        advisories: advisories of its level.
        revoked: serials on the PCK revocation list.
        fmspc: platform family that the TCB info is about.
    """

    status: str = "UpToDate"
    newer: str | None = None
    evaluation: int = 20
    advisories: tuple[str, ...] = ()
    revoked: tuple[int, ...] = ()
    fmspc: bytes = FMSPC


def _body(td: Td) -> bytes:
    body = b"".join(
        [
            bytes([3, 1, 2]).ljust(16, b"\0"),
            b"\x44" * 48,
            td.mr_signer_seam,
            bytes(8),
            td.attributes.to_bytes(8, "little"),
            bytes.fromhex("e702060000000000"),
            td.mr_td,
            bytes(48 * 3),
            *td.rtmrs,
            td.report_data,
        ]
    )
    if td.version == 4:  # noqa: PLR2004
        return body
    body += bytes([3, 1, 2]).ljust(16, b"\0") + td.mr_service_td
    return (3).to_bytes(2, "little") + len(body).to_bytes(4, "little") + body


def _pck_extension(fmspc: bytes) -> bytes:
    def entry(tail: str, value: bytes) -> bytes:
        return encode.sequence(encode.identifier(_SGX + tail), value)

    svns = [entry(f".2.{index + 1}", encode.integer(5)) for index in range(16)]
    tcb = encode.sequence(
        *svns, entry(".2.17", encode.integer(13)), entry(".2.18", encode.octets(b"\x05" * 16))
    )
    flags = encode.sequence(*(entry(f".7.{index}", encode.boolean(value=True)) for index in (1, 2, 3)))
    return encode.sequence(
        entry(".1", encode.octets(b"\x55" * 16)),
        entry(".2", tcb),
        entry(".3", encode.octets(bytes(2))),
        entry(".4", encode.octets(fmspc)),
        entry(".5", encode.tlv(0x0A, b"\x01")),
        entry(".6", encode.octets(b"\x66" * 16)),
        entry(".7", flags),
    )


def _components(svn: int) -> list[dict[str, int]]:
    return [{"svn": svn} for _ in range(16)]


def _tcb_level(svn: int, status: str, date: str, advisories: Iterable[str] = ()) -> dict[str, Any]:
    tdx = [{"svn": value} for value in (3, 0, 2, *([0] * 13))]
    level: dict[str, Any] = {
        "tcb": {"sgxtcbcomponents": _components(svn), "pcesvn": 13, "tdxtcbcomponents": tdx},
        "tcbDate": date,
        "tcbStatus": status,
    }
    return level | ({"advisoryIDs": list(advisories)} if advisories else {})


@dataclass(frozen=True, slots=True)
class IntelPlatform:
    """One platform with its PCK, quoting enclave and the authorities above them."""

    root: Authority
    platform_ca: Authority
    tcb_signer: Authority
    pck: PrivateKey
    attestation_key: ec.EllipticCurvePrivateKey
    fmspc: bytes = FMSPC
    qe_signer: bytes = QE_SIGNER
    qe_changes: Mapping[int, bytes] = field(default_factory=dict)

    def pck_certificate(self) -> bytes:
        """Return the platform's PCK certificate."""
        request = Request(
            "Intel SGX PCK Certificate",
            public_der(self.pck),
            extensions=(encode.extension(_SGX, _pck_extension(self.fmspc)),),
            serial=PCK_SERIAL,
            usage=0xC0,
        )
        return self.platform_ca.issue(request)

    def _qe(self) -> tuple[bytes, bytes, bytes, bytes]:
        point = self.attestation_key.public_key().public_numbers()
        key = point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
        auth = bytes(range(32))
        report = bytearray(384)
        report[48:64] = bytes.fromhex("1500000000000000e700000000000000")
        report[128:160] = self.qe_signer
        report[256:258] = (2).to_bytes(2, "little")
        report[258:260] = (8).to_bytes(2, "little")
        report[320:352] = hashlib.sha256(key + auth).digest()
        for at, value in self.qe_changes.items():
            report[at : at + len(value)] = value
        return key, auth, bytes(report), _raw(self.pck, bytes(report))

    def quote(self, td: Td) -> bytes:
        """Return a signed quote."""
        head = b"".join(
            [
                td.version.to_bytes(2, "little"),
                (2).to_bytes(2, "little"),
                (0x81).to_bytes(4, "little"),
                bytes(4),
                INTEL_QE,
                bytes(20),
            ]
        )
        signed = head + _body(td)
        key, auth, report, report_signature = self._qe()
        pem = (
            to_pem(self.pck_certificate(), self.platform_ca.certificate, self.root.certificate).encode()
            + b"\0"
        )
        inner = report + report_signature + len(auth).to_bytes(2, "little") + auth
        inner += (5).to_bytes(2, "little") + len(pem).to_bytes(4, "little") + pem
        outer = _raw(self.attestation_key, signed) + key
        outer += (6).to_bytes(2, "little") + len(inner).to_bytes(4, "little") + inner
        return signed + len(outer).to_bytes(4, "little") + outer + td.padding

    def _tcb_info(self, now: datetime, levels: Levels) -> str:
        signer = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        module_level = {"tcb": {"isvsvn": 2}, "tcbDate": "2024-01-01T00:00:00Z", "tcbStatus": "UpToDate"}
        ladder = [_tcb_level(5, levels.status, "2024-01-01T00:00:00Z", levels.advisories)]
        if levels.newer is not None:
            ladder.insert(0, _tcb_level(6, "UpToDate", levels.newer))
        table = {
            "id": "TDX",
            "version": 3,
            "issueDate": _instant(now - timedelta(days=1)),
            "nextUpdate": _instant(now + timedelta(days=29)),
            "fmspc": levels.fmspc.hex().upper(),
            "pceId": "0000",
            "tcbType": 0,
            "tcbEvaluationDataNumber": levels.evaluation,
            "tdxModule": signer,
            "tdxModuleIdentities": [{"id": "TDX_01", **signer, "tcbLevels": [module_level]}],
            "tcbLevels": ladder,
        }
        return json.dumps(table, separators=(",", ":"))

    def _qe_identity(self, now: datetime, levels: Levels) -> str:
        level = {"tcb": {"isvsvn": 4}, "tcbDate": "2024-01-01T00:00:00Z", "tcbStatus": "UpToDate"}
        table = {
            "id": "TD_QE",
            "version": 2,
            "issueDate": _instant(now - timedelta(days=1)),
            "nextUpdate": _instant(now + timedelta(days=29)),
            "tcbEvaluationDataNumber": levels.evaluation,
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11000000000000000000000000000000",
            "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
            "mrsigner": QE_SIGNER.hex().upper(),
            "isvprodid": 2,
            "tcbLevels": [level],
        }
        return json.dumps(table, separators=(",", ":"))

    def collateral(self, now: datetime, levels: Levels | None = None) -> bytes:
        """Return collateral that is current at `now`."""
        said = levels or Levels()
        begin, end = now - timedelta(days=1), now + timedelta(days=29)
        tcb_info, qe_identity = self._tcb_info(now, said), self._qe_identity(now, said)
        signer_chain = to_pem(self.tcb_signer.certificate, self.root.certificate)
        table = {
            "pck_crl_issuer_chain": to_pem(self.platform_ca.certificate, self.root.certificate),
            "root_ca_crl": self.root.revocation_list((), begin, end).hex(),
            "pck_crl": self.platform_ca.revocation_list(said.revoked, begin, end).hex(),
            "tcb_info_issuer_chain": signer_chain,
            "tcb_info": tcb_info,
            "tcb_info_signature": _raw(self.tcb_signer.key, tcb_info.encode()).hex(),
            "qe_identity_issuer_chain": signer_chain,
            "qe_identity": qe_identity,
            "qe_identity_signature": _raw(self.tcb_signer.key, qe_identity.encode()).hex(),
        }
        return json.dumps(table).encode()

    def evidence(
        self, td: Td, now: datetime, levels: Levels | None = None, identity_key: bytes = b""
    ) -> Evidence:
        """Return a quote with collateral."""
        return Evidence(
            Kind.TDX,
            self.quote(td),
            Endorsements(collateral=self.collateral(now, levels)),
            unverified_identity_key=identity_key,
        )


def new_platform() -> IntelPlatform:
    """Return a platform under a new root."""
    top = root("Intel SGX Root CA", _P256, path_length=1)
    signer_key = new_key(_P256)
    signer = top.issue(Request("Intel SGX TCB Signing", public_der(signer_key), usage=0xC0))
    return IntelPlatform(
        root=top,
        platform_ca=top.subordinate("Intel SGX PCK Platform CA"),
        tcb_signer=Authority("Intel SGX TCB Signing", _P256, signer_key, signer),
        pck=new_key(_P256),
        attestation_key=ec.generate_private_key(ec.SECP256R1()),
    )


def with_other_quoting_enclave(platform: IntelPlatform) -> IntelPlatform:
    """Return the platform with a quoting enclave that Intel did not sign."""
    return replace(platform, qe_signer=b"\xee" * 32)
