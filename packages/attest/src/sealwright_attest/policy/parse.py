"""Turns a TOML or JSON document into a Policy, strictly.

It may never fall back to a default when something is misspelt, and never accept a rule that cannot protect: a
PCR that the attester can reset is refused here.
"""

import hashlib
import json
import re
import tomllib
from typing import Any, Final

from sealwright_attest.errors import Code, Misconfigured, Refused
from sealwright_attest.model import EvidenceLevel, Kind
from sealwright_attest.octets import strict_object
from sealwright_attest.x509 import parse_certificate, split_pem

from .document import (
    BUILT_IN,
    SCHEMA,
    AllowedMeasurement,
    AzureRules,
    Grace,
    Measurements,
    Need,
    NitroRules,
    Policy,
    Release,
    RevokedMeasurement,
    SnpRules,
    TcbFloor,
    TdxRules,
    TpmRules,
)
from .release import parse_release
from .table import Table

TCB_COMPONENTS: Final = ("fmc", "bootloader", "tee", "snp", "microcode")
GUEST_BITS: Final = (
    "smt", "single_socket", "cxl", "mem_aes_256_xts", "rapl_disabled", "ciphertext_hiding",
    "page_swap_disabled",
)  # fmt: skip
PLATFORM_BITS: Final = (
    "smt", "tsme", "ecc", "rapl_disabled", "ciphertext_hiding", "alias_check_complete", "tio",
)  # fmt: skip
CONFIGURATION: Final = ("secure-boot", "tpm-enabled", "tpm-persisted", "console-enabled")
TDX_REGISTERS: Final = ("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3")
# Anyone at locality 0 may reset these (TCG PC Client Platform TPM Profile, table of PCR attributes), so a
# value in them proves nothing about the boot.
RESETTABLE: Final = frozenset({16, 23})
MAX_PCR: Final = 23
MAX_NITRO_PCR: Final = 31
DIGEST_SIZES: Final = (32, 48, 64)

WARNABLE: Final = (
    Code.PRODUCT_REFUSED, Code.SIGNING_KEY_REFUSED, Code.PROVIDER_REFUSED, Code.INSTANCE_REFUSED,
    Code.REPORT_VERSION_REFUSED, Code.GUEST_POLICY, Code.PLATFORM_INFO, Code.TCB_STATUS, Code.TCB_FLOOR,
    Code.COLLATERAL_TOO_OLD, Code.ADVISORY_REFUSED, Code.MEASUREMENT_UNKNOWN, Code.IMAGE_SIGNER_UNKNOWN,
    Code.HOST_DATA, Code.CONFIGURATION, Code.PCR_VALUE, Code.EVENT_LOG_MISSING,
)  # fmt: skip


def _grace(table: Table) -> Grace | None:
    if "since" not in table and "grace_seconds" not in table:
        return None
    return Grace(table.moment("since"), table.whole("grace_seconds", 0))


def _measurements(table: Table) -> Measurements:
    allow, revoked = [], []
    for one in table.tables("allow"):
        digest = one.digest(one.take("digest"), "digest", DIGEST_SIZES)
        allow.append(AllowedMeasurement(digest, one.text("label", "")))
        one.finish()
    for one in table.tables("revoked"):
        digest = one.digest(one.take("digest"), "digest", DIGEST_SIZES)
        revoked.append(RevokedMeasurement(digest, one.text("reason"), _grace(one)))
        one.finish()
    rules = Measurements(
        any=table.flag("any", default=False),
        allow=tuple(allow),
        signers=table.digests("signers", DIGEST_SIZES),
        revoked=tuple(revoked),
    )
    table.finish()
    return rules


def _floor(table: Table) -> TcbFloor:
    def components(name: str) -> dict[str, int]:
        inner = table.table(name)
        found = {one: inner.whole(one, 0) for one in TCB_COMPONENTS if one in inner}
        inner.finish()
        return found

    floor = TcbFloor(components("reported"), components("committed"), components("launch"), _grace(table))
    table.finish()
    return floor


def _snp(table: Table) -> SnpRules:
    base = SnpRules()
    tcb = table.table("tcb")
    rules = SnpRules(
        products=table.texts("products", base.products, base.products),
        signing_keys=table.texts("signing_keys", base.signing_keys, ("vcek", "vlek")),
        providers=table.texts("providers"),
        chip_ids=table.digests("chip_ids", (64,)),
        vmpl=table.wholes("vmpl", base.vmpl),
        debug=table.flag("debug", default=False),
        migration=table.flag("migration", default=False),
        min_report_version=table.whole("min_report_version", base.min_report_version),
        min_guest_svn=table.whole("min_guest_svn", 0),
        guest=table.flags("guest", GUEST_BITS),
        platform=table.flags("platform", PLATFORM_BITS),
        host_data=table.digests("host_data", (32,)),
        family_ids=table.digests("family_ids", (16,)),
        image_ids=table.digests("image_ids", (16,)),
        author_keys=table.digests("author_keys", (48,)),
        crl=table.choice("crl", Need, Need.OPTIONAL),
        tcb={product: _floor(tcb.table(product)) for product in base.products if product in tcb},
    )
    tcb.finish()
    table.finish()
    return rules


def _registers(table: Table, known: tuple[str, ...], sizes: tuple[int, ...]) -> dict[str, tuple[str, ...]]:
    found = {name: table.digests(name, sizes) for name in known if name in table}
    table.finish()
    return found


def _pcrs(table: Table, where: str, highest: int, size: int) -> dict[str, tuple[str, ...]]:
    if highest == MAX_PCR:
        for index in RESETTABLE:
            if f"pcr{index}" in table:
                raise Misconfigured(f"policy: {where} reads pcr{index}, which the attester can reset at will")
    return _registers(table, tuple(f"pcr{index}" for index in range(highest + 1)), (size,))


def _tdx(table: Table) -> TdxRules:
    statuses = (
        "UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
        "OutOfDate", "OutOfDateConfigurationNeeded",
    )  # fmt: skip
    rules = TdxRules(
        tcb_status=table.texts("tcb_status", ("UpToDate",), statuses),
        grace_seconds=table.whole("grace_seconds", 0),
        min_tcb_evaluation=table.whole("min_tcb_evaluation", 0),
        refused_advisories=table.texts("refused_advisories"),
        debug=table.flag("debug", default=False),
        smt=table.flag("smt", default=True),
        service_tds=table.digests("service_tds", (48,)),
        fmspcs=table.digests("fmspcs", (6,)),
        ppids=table.digests("ppids", (16,)),
        platform_instances=table.digests("platform_instances", (16,)),
        mr_seams=table.digests("mr_seams", (48,)),
        mr_config_ids=table.digests("mr_config_ids", (48,)),
        mr_owner_configs=table.digests("mr_owner_configs", (48,)),
        registers=_registers(table.table("registers"), TDX_REGISTERS, (48,)),
        event_log=table.choice("event_log", Need, Need.OPTIONAL),
    )
    if rules.debug:
        raise Misconfigured("policy: tdx.debug cannot be allowed: the quote verifier refuses debug TDs")
    table.finish()
    return rules


def _roots(table: Table, name: str) -> dict[str, str]:
    found = {}
    for pem in table.texts(name):
        try:
            for der in split_pem(pem.encode()):
                parse_certificate(der)
                found[hashlib.sha256(der).hexdigest()] = pem
        except Refused as refusal:
            raise table.wrong(name, "holds something that is not a certificate in PEM") from refusal
    return found


def _tpm(table: Table) -> TpmRules:
    rules = TpmRules(
        ak=table.texts("ak", TpmRules().ak, TpmRules().ak),
        enrolled=table.digests("enrolled", (34, 50, 66)),
        roots=_roots(table, "roots"),
        hardware_roots=_roots(table, "hardware_roots"),
        pcrs=_pcrs(table.table("pcrs"), "tpm2.pcrs", MAX_PCR, 32),
        event_log=table.choice("event_log", Need, Need.OPTIONAL),
        activated=_activated(table),
    )
    table.finish()
    return rules


def _activated(table: Table) -> dict[str, str]:
    found = {}
    for one in table.tables("activated"):
        name = one.digest(one.take("ak"), "ak", (34, 50, 66))
        found[name] = one.text("certificates")
        try:
            chain = [parse_certificate(der) for der in split_pem(found[name].encode())]
        except Refused as refusal:
            raise one.wrong("certificates", "holds something that is not a certificate in PEM") from refusal
        if not chain:
            raise one.wrong("certificates", "holds no certificate in PEM")
        one.finish()
    return found


def _azure(table: Table) -> AzureRules:
    base = AzureRules()
    rules = AzureRules(
        configuration={**base.configuration, **table.flags("configuration", CONFIGURATION)},
        vm_ids=tuple(one.upper() for one in table.texts("vm_ids")),
        pcrs=_pcrs(table.table("pcrs"), "azure.pcrs", MAX_PCR, 32),
    )
    table.finish()
    return rules


def _nitro(table: Table) -> NitroRules:
    rules = NitroRules(
        debug=table.flag("debug", default=False),
        module_ids=table.texts("module_ids"),
        pcrs=_pcrs(table.table("pcrs"), "nitro.pcrs", MAX_NITRO_PCR, 48),
    )
    table.finish()
    return rules


def _release(table: Table) -> Release | None:
    if not table.names():
        return None
    release = Release(table.texts("authorities"), table.text("document"))
    table.finish()
    parse_release(release.document.encode())
    return release


def _require_choices(policy: Policy) -> Policy:
    """Refuse an empty list where it would read as "nothing is allowed" and could act as "anything is"."""
    for name, values in (
        ("platforms", policy.platforms),
        ("sev_snp.products", policy.snp.products),
        ("sev_snp.signing_keys", policy.snp.signing_keys),
        ("sev_snp.vmpl", policy.snp.vmpl),
        ("tdx.tcb_status", policy.tdx.tcb_status),
        ("tpm2.ak", policy.tpm.ak),
    ):
        if not values:
            raise Misconfigured(f"policy: {name} must not be empty")
    return policy


def policy_from_table(values: dict[str, Any]) -> Policy:
    """Return the policy of a parsed document.

    Raises:
        Misconfigured: with the place and what is wrong there.
    """
    table = Table(values, "document")
    if table.whole("schema", 0) != SCHEMA:
        raise Misconfigured(f"policy: schema must be {SCHEMA}")
    policy = Policy(
        name=table.text("name"),
        revision=table.text("revision"),
        platforms=tuple(Kind(one) for one in table.texts("platforms", (), [kind.value for kind in Kind])),
        level=table.choice("level", EvidenceLevel, EvidenceLevel.HARDWARE),
        nonce=table.choice("nonce", Need, Need.REQUIRED),
        binding=table.choice("binding", Need, Need.REQUIRED),
        max_age_seconds=table.whole("max_age_seconds", 300),
        warn_only=tuple(Code(one) for one in table.texts("warn_only", (), WARNABLE)),
        measurements=_measurements(table.table("measurements")),
        snp=_snp(table.table("sev_snp")),
        tdx=_tdx(table.table("tdx")),
        azure=_azure(table.table("azure")),
        nitro=_nitro(table.table("nitro")),
        tpm=_tpm(table.table("tpm2")),
        release=_release(table.table("release")),
    )
    table.finish()
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", policy.name):
        raise Misconfigured("policy: name is 1 to 64 of A-Z a-z 0-9 . _ -")
    if policy.level is EvidenceLevel.NONE:
        raise Misconfigured("policy: level none asks for nothing; write simulated if that is what you mean")
    return _require_choices(policy)


def parse_policy(document: bytes) -> Policy:
    """Return the policy of a TOML or JSON document; a bare Secure Key Release document is taken as one too.

    A bare release document gets the built-in rules, and its own authorities are the ones stood in for.

    Raises:
        Misconfigured: with the place and what is wrong there.
    """
    if not document.lstrip().startswith(b"{"):
        try:
            return policy_from_table(tomllib.loads(document.decode("utf-8")))
        except (ValueError, RecursionError) as err:
            raise Misconfigured(f"policy: not TOML: {err}") from err
    try:
        values = strict_object(document)
    except Refused as refusal:
        raise Misconfigured(f"policy: {refusal.public} ({refusal.detail})") from refusal
    if "anyOf" not in values:
        return policy_from_table(values)
    branches = parse_release(document)
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    release = Release(tuple(dict.fromkeys(one.authority for one in branches)), canonical)
    return Policy(
        name="secure-key-release",
        revision="1.0.0",
        platforms=BUILT_IN.platforms,
        level=BUILT_IN.level,
        nonce=BUILT_IN.nonce,
        binding=BUILT_IN.binding,
        max_age_seconds=0,
        measurements=BUILT_IN.measurements,
        snp=BUILT_IN.snp,
        release=release,
    )
