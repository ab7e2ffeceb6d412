"""The SEV-SNP attestation report, versions 2 to 5: 1184 bytes, little-endian, parsed strictly.

It may never say that a report is genuine; it only says what the bytes claim. Source: AMD 56860, SEV Secure
Nested Paging Firmware ABI, table ATTESTATION_REPORT.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sealwright_attest.errors import Code, Refused
from sealwright_attest.octets import malformed

SIZE: Final = 1184
SIGNED: Final = 0x2A0
VERSIONS: Final = (2, 5)
ECDSA_P384_SHA384: Final = 1

_POLICY_RESERVED_ONE: Final = 1 << 17
_POLICY_DEFINED_BITS: Final = 26
_FAMILY_3: Final = 0x19
_FAMILY_5: Final = 0x1A
_VERSION_WITH_CPUID: Final = 3
_VERSION_WITH_MITIGATIONS: Final = 5

GUEST_BITS: Final[Mapping[str, int]] = {
    "smt": 16,
    "migration": 18,
    "debug": 19,
    "single_socket": 20,
    "cxl": 21,
    "mem_aes_256_xts": 22,
    "rapl_disabled": 23,
    "ciphertext_hiding": 24,
    "page_swap_disabled": 25,
}
PLATFORM_BITS: Final[Mapping[str, int]] = {
    "smt": 0,
    "tsme": 1,
    "ecc": 2,
    "rapl_disabled": 3,
    "ciphertext_hiding": 4,
    "alias_check_complete": 5,
    "tio": 7,
}
SIGNING_KEYS: Final[Mapping[int, str]] = {0: "vcek", 1: "vlek", 7: "none"}


@dataclass(frozen=True, slots=True)
class SnpReport:
    """The fields of a report, as bytes or integers. `product` is empty where the report (version 2) does not
    say.
    """

    raw: bytes
    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    current_tcb: bytes
    platform_info: int
    key_info: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    reported_tcb: bytes
    product: str
    chip_id: bytes
    committed_tcb: bytes
    current_firmware: str
    committed_firmware: str
    launch_tcb: bytes
    launch_mitigations: int | None
    current_mitigations: int | None

    @property
    def signed(self) -> bytes:
        """The bytes under the signature."""
        return self.raw[:SIGNED]

    @property
    def signing_key(self) -> str:
        """Which kind of key signed: vcek, vlek or none."""
        return SIGNING_KEYS[self.key_info >> 2 & 7]

    @property
    def author_key_enabled(self) -> bool:
        """Whether an author key signed the identity block."""
        return bool(self.key_info & 1)

    def guest_bits(self) -> dict[str, bool]:
        """Return the guest policy bits by name."""
        return {name: bool(self.policy >> bit & 1) for name, bit in GUEST_BITS.items()}

    def platform_bits(self) -> dict[str, bool]:
        """Return the platform bits by name."""
        return {name: bool(self.platform_info >> bit & 1) for name, bit in PLATFORM_BITS.items()}


def product_of(family: int, model: int) -> str:
    """Return the product whose key hierarchy serves this processor (family and model with extensions)."""
    if family == _FAMILY_3 and model <= 0x0F:  # noqa: PLR2004
        return "Milan"
    if family == _FAMILY_3 and (0x10 <= model <= 0x1F or 0xA0 <= model <= 0xAF):  # noqa: PLR2004
        return "Genoa"
    if family == _FAMILY_5 and model <= 0x11:  # noqa: PLR2004
        return "Turin"
    raise Refused(Code.VERSION_UNKNOWN, "an unknown processor", f"family {family:#x} model {model:#x}")


def tcb_components(product: str, tcb: bytes) -> dict[str, int]:
    """Return the security versions of a TCB_VERSION; Turin lays them out differently and adds the FMC."""
    if product == "Turin":
        return {"fmc": tcb[0], "bootloader": tcb[1], "tee": tcb[2], "snp": tcb[3], "microcode": tcb[7]}
    return {"bootloader": tcb[0], "tee": tcb[1], "snp": tcb[6], "microcode": tcb[7]}


def _require_form(raw: bytes, version: int) -> None:
    policy = int.from_bytes(raw[0x08:0x10], "little")
    if not VERSIONS[0] <= version <= VERSIONS[1]:
        raise Refused(Code.VERSION_UNKNOWN, "an unknown report version", str(version))
    if int.from_bytes(raw[0x34:0x38], "little") != ECDSA_P384_SHA384:
        raise Refused(Code.VERSION_UNKNOWN, "an unknown report signature algorithm")
    if not policy & _POLICY_RESERVED_ONE or policy >> _POLICY_DEFINED_BITS:
        raise malformed("reserved bits of the guest policy", hex(policy))
    if int.from_bytes(raw[0x48:0x4C], "little") >> 2 & 7 not in SIGNING_KEYS:
        raise Refused(Code.VERSION_UNKNOWN, "an unknown kind of report signing key")


def parse_report(unverified_report: bytes) -> SnpReport:
    """Parse a report.

    Raises:
        Refused: `malformed` or `version-unknown`.
    """
    raw = unverified_report
    if len(raw) != SIZE:
        raise malformed("an SNP report has 1184 bytes", f"{len(raw)}")

    def number(at: int, size: int) -> int:
        return int.from_bytes(raw[at : at + size], "little")

    version = number(0x00, 4)
    _require_form(raw, version)
    with_mitigations = version >= _VERSION_WITH_MITIGATIONS
    return SnpReport(
        raw=raw,
        version=version,
        guest_svn=number(0x04, 4),
        policy=number(0x08, 8),
        family_id=raw[0x10:0x20],
        image_id=raw[0x20:0x30],
        vmpl=number(0x30, 4),
        current_tcb=raw[0x38:0x40],
        platform_info=number(0x40, 8),
        key_info=number(0x48, 4),
        report_data=raw[0x50:0x90],
        measurement=raw[0x90:0xC0],
        host_data=raw[0xC0:0xE0],
        id_key_digest=raw[0xE0:0x110],
        author_key_digest=raw[0x110:0x140],
        report_id=raw[0x140:0x160],
        reported_tcb=raw[0x180:0x188],
        product=product_of(raw[0x188], raw[0x189]) if version >= _VERSION_WITH_CPUID else "",
        chip_id=raw[0x1A0:0x1E0],
        committed_tcb=raw[0x1E0:0x1E8],
        current_firmware=f"{raw[0x1EA]}.{raw[0x1E9]}.{raw[0x1E8]}",
        committed_firmware=f"{raw[0x1EE]}.{raw[0x1ED]}.{raw[0x1EC]}",
        launch_tcb=raw[0x1F0:0x1F8],
        launch_mitigations=number(0x1F8, 8) if with_mitigations else None,
        current_mitigations=number(0x200, 8) if with_mitigations else None,
    )


def signature_numbers(unverified_report: bytes) -> tuple[bytes, bytes]:
    """Return R and S big-endian; each is stored little-endian in 72 bytes of which 48 may be used."""
    field = unverified_report[SIGNED:SIZE]
    r, s, rest = field[:72], field[72:144], field[144:]
    if any(r[48:]) or any(s[48:]) or any(rest):
        raise malformed("the report signature is not zero-extended")
    return r[47::-1], s[47::-1]
