"""Synthetic SEV-SNP: an AMD key hierarchy and reports by it.

It may never use a genuine key hierarchy; the names are AMD's, the keys are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sealwright_attest.keys import Algorithm
from sealwright_attest.model import Endorsements, Evidence, Kind
from sealwright_attest.synthetic import encode
from sealwright_attest.synthetic.authority import (
    BEGIN,
    END,
    Authority,
    Request,
    new_key,
    public_der,
    root,
    sign,
)
from sealwright_attest.verifiers.snp_report import SIGNED, SIZE

PSS: Final = Algorithm.PSS_SHA384_SALT48
_CPUID: Final = {"Milan": (0x19, 0x01), "Genoa": (0x19, 0x11), "Turin": (0x1A, 0x02)}
_AMD: Final = "1.3.6.1.4.1.3704.1."
_LAYOUT: Final = {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
_TURIN_LAYOUT: Final = {"fmc": 0, "bootloader": 1, "tee": 2, "snp": 3, "microcode": 7}
_SPL: Final = {"bootloader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8", "fmc": "3.9"}
TCB: Final = {"bootloader": 4, "tee": 0, "snp": 22, "microcode": 213}
TURIN_TCB: Final = {"fmc": 1, "bootloader": 1, "tee": 1, "snp": 4, "microcode": 71}
DEBUG: Final = 1 << 19
PLAIN_POLICY: Final = 0x30000


def tcb_bytes(product: str, tcb: Mapping[str, int]) -> bytes:
    """Return a TCB_VERSION in the layout of the product."""
    layout = _TURIN_LAYOUT if product == "Turin" else _LAYOUT
    found = bytearray(8)
    for name, value in tcb.items():
        found[layout[name]] = value
    return bytes(found)


@dataclass(frozen=True, slots=True)
class Guest:
    """What a report is to say; every flaw is one field."""

    report_data: bytes = bytes(64)
    measurement: bytes = b"\x11" * 48
    policy: int = PLAIN_POLICY
    vmpl: int = 0
    version: int = 3
    platform_info: int = 0x25
    key_info: int | None = None
    host_data: bytes = bytes(32)
    id_key_digest: bytes = bytes(48)
    reported: Mapping[str, int] | None = None
    committed: Mapping[str, int] | None = None
    chip_id: bytes | None = None
    flip: int | None = None


@dataclass(frozen=True, slots=True)
class AmdPlatform:
    """One chip of one product, with its key hierarchy."""

    product: str
    ark: Authority
    ask: Authority
    asvk: Authority
    vek: ec.EllipticCurvePrivateKey
    chip_id: bytes
    tcb: Mapping[str, int] = field(default_factory=dict)

    def levels(self, tcb: Mapping[str, int] | None = None) -> tuple[bytes, ...]:
        """Return the extensions that name a TCB, by default the chip's."""
        values = self.tcb if tcb is None else tcb
        return tuple(
            encode.extension(_AMD + _SPL[name], encode.integer(value)) for name, value in values.items()
        )

    def certificate(
        self,
        *,
        kind: str = "vcek",
        tcb: Mapping[str, int] | None = None,
        chip_id: bytes | None = None,
        begin: datetime = BEGIN,
        end: datetime = END,
    ) -> bytes:
        """Return the chip's VCEK or a provider's VLEK certificate, with serial number 0 as AMD's have."""
        extensions = [encode.extension(_AMD + "1", encode.integer(0))]
        extensions.append(encode.extension(_AMD + "2", encode.tlv(0x16, self.product.encode())))
        extensions += self.levels(tcb)
        if kind == "vcek":
            identity = self.chip_id if chip_id is None else chip_id
            extensions.append(
                encode.extension(_AMD + "4", identity[:8] if self.product == "Turin" else identity)
            )
        else:
            extensions.append(encode.extension(_AMD + "5", encode.tlv(0x16, b"CN=synthetic.example")))
        request = Request(
            f"SEV-{kind.upper()}",
            public_der(self.vek),
            begin=begin,
            end=end,
            extensions=tuple(extensions),
            serial=0,
            usage=0,
        )
        return (self.ask if kind == "vcek" else self.asvk).issue(request)

    def report(self, guest: Guest, kind: str = "vcek") -> bytes:
        """Return a report signed by the chip's key."""
        raw = bytearray(SIZE)
        key_info = guest.key_info if guest.key_info is not None else {"vcek": 0, "vlek": 4}[kind]
        reported = tcb_bytes(self.product, guest.reported or self.tcb)
        committed = tcb_bytes(self.product, guest.committed or self.tcb)
        fields = [
            (0x00, guest.version.to_bytes(4, "little")),
            (0x08, guest.policy.to_bytes(8, "little")),
            (0x30, guest.vmpl.to_bytes(4, "little")),
            (0x34, (1).to_bytes(4, "little")),
            (0x38, committed),
            (0x40, guest.platform_info.to_bytes(8, "little")),
            (0x48, key_info.to_bytes(4, "little")),
            (0x50, guest.report_data),
            (0x90, guest.measurement),
            (0xC0, guest.host_data),
            (0xE0, guest.id_key_digest),
            (0x140, b"\x22" * 32),
            (0x180, reported),
            (0x1A0, self.chip_id if guest.chip_id is None else guest.chip_id),
            (0x1E0, committed),
            (0x1F0, committed),
        ]
        if guest.version >= 3:  # noqa: PLR2004
            fields.append((0x188, bytes(_CPUID[self.product])))
        for at, value in fields:
            raw[at : at + len(value)] = value
        r, s = decode_dss_signature(sign(self.vek, Algorithm.ECDSA_SHA384, bytes(raw[:SIGNED])))
        raw[SIGNED : SIGNED + 72] = r.to_bytes(72, "little")
        raw[SIGNED + 72 : SIGNED + 144] = s.to_bytes(72, "little")
        if guest.flip is not None:
            raw[guest.flip] ^= 1
        return bytes(raw)

    def evidence(self, guest: Guest, identity_key: bytes = b"", release_key: bytes = b"") -> Evidence:
        """Return a report with the chip's VCEK."""
        return Evidence(
            Kind.SEV_SNP,
            self.report(guest),
            Endorsements(certificates=(self.certificate(),)),
            b"",
            identity_key,
            release_key,
        )


def new_platform(product: str = "Genoa") -> AmdPlatform:
    """Return a chip of this product under a new root."""
    ark = root(f"ARK-{product}", PSS)
    vek = new_key(Algorithm.ECDSA_SHA384)
    chip = bytes(range(1, 65)) if product != "Turin" else bytes(range(1, 9)).ljust(64, b"\0")
    return AmdPlatform(
        product=product,
        ark=ark,
        ask=ark.subordinate(f"SEV-{product}"),
        asvk=ark.subordinate(f"SEV-VLEK-{product}"),
        vek=vek if isinstance(vek, ec.EllipticCurvePrivateKey) else ec.generate_private_key(ec.SECP384R1()),
        chip_id=chip,
        tcb=TURIN_TCB if product == "Turin" else TCB,
    )
