"""The rules of the sev_snp section.

It may never compare a TCB as one number: each component has its own floor, for reported, committed and launch
TCB, because a host can lower what is reported and only the committed one cannot be rolled back.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sealwright_attest.checks import Checks
from sealwright_attest.errors import Code
from sealwright_attest.model import Claims, Stage

from .document import SnpRules, TcbFloor


def listed(checks: Checks, name: str, code: Code, found: str, allowed: Iterable[object]) -> None:
    """Write whether a value is on a list; an empty list does not limit and writes nothing."""
    values = [str(one) for one in allowed]
    if values:
        checks.expect(Stage.POLICY, name, code, holds=found in values, found=found or "(none)", asked=values)


def bits(
    checks: Checks, prefix: str, code: Code, found: Mapping[str, bool], asked: Mapping[str, bool]
) -> None:
    """Write whether named bits have the values asked for."""
    for name, value in asked.items():
        checks.expect(
            Stage.POLICY,
            f"{prefix}.{name}",
            code,
            holds=found.get(name) is value,
            found=found.get(name, False),
            asked=value,
        )


def _floors(tcb: Mapping[str, Mapping[str, int]], floor: TcbFloor, checks: Checks) -> None:
    asked = {"reported": floor.reported, "committed": floor.committed, "launch": floor.launch}
    for kind, components in asked.items():
        for component, least in components.items():
            found = tcb[kind].get(component)
            checks.expect(
                Stage.POLICY,
                f"tcb.{kind}.{component}",
                Code.TCB_FLOOR,
                holds=found is not None and found >= least,
                found="not on this product" if found is None else found,
                asked=f"{least} or newer",
                grace_until=floor.grace.until() if floor.grace else None,
            )


def _author(claims: Claims, rules: SnpRules, checks: Checks) -> None:
    settings = claims.settings
    author = settings["author_key_digest"] if settings["author_key_enabled"] else ""
    listed(checks, "report.author_key", Code.IMAGE_SIGNER_UNKNOWN, author, rules.author_keys)
    pinned = bool(rules.author_keys) and author in rules.author_keys
    checks.expect(
        Stage.POLICY,
        "guest.migration",
        Code.MIGRATION,
        holds=not settings["guest"]["migration"] or rules.migration or pinned,
        found=settings["guest"]["migration"],
        asked="no migration agent" if not rules.migration else "any",
    )


def snp_rules(claims: Claims, rules: SnpRules, checks: Checks) -> None:
    """Write every check of the section."""
    settings: Mapping[str, Any] = claims.settings
    listed(checks, "report.product", Code.PRODUCT_REFUSED, claims.product, rules.products)
    listed(
        checks, "report.signing_key", Code.SIGNING_KEY_REFUSED, settings["signing_key"], rules.signing_keys
    )
    if settings["signing_key"] == "vlek" or rules.providers:
        listed(checks, "endorsement.provider", Code.PROVIDER_REFUSED, settings["provider"], rules.providers)
    listed(checks, "report.chip_id", Code.INSTANCE_REFUSED, claims.instance["chip_id"], rules.chip_ids)
    checks.expect(
        Stage.POLICY,
        "report.version",
        Code.REPORT_VERSION_REFUSED,
        holds=settings["report_version"] >= rules.min_report_version,
        found=settings["report_version"],
        asked=f"{rules.min_report_version} or newer",
    )
    checks.expect(
        Stage.POLICY,
        "guest.debug",
        Code.DEBUG,
        holds=not settings["guest"]["debug"] or rules.debug,
        found=settings["guest"]["debug"],
        asked="any" if rules.debug else "no",
    )
    _author(claims, rules, checks)
    listed(checks, "report.vmpl", Code.VMPL, str(settings["vmpl"]), rules.vmpl)
    checks.expect(
        Stage.POLICY,
        "report.guest_svn",
        Code.TCB_FLOOR,
        holds=settings["guest_svn"] >= rules.min_guest_svn,
        found=settings["guest_svn"],
        asked=f"{rules.min_guest_svn} or newer",
    )
    bits(checks, "guest", Code.GUEST_POLICY, settings["guest"], rules.guest)
    bits(checks, "platform", Code.PLATFORM_INFO, settings["platform"], rules.platform)
    listed(checks, "report.host_data", Code.HOST_DATA, settings["host_data"], rules.host_data)
    listed(checks, "report.family_id", Code.CONFIGURATION, settings["family_id"], rules.family_ids)
    listed(checks, "report.image_id", Code.CONFIGURATION, settings["image_id"], rules.image_ids)
    floor = rules.tcb.get(claims.product)
    if floor is not None:
        _floors(settings["tcb"], floor, checks)
