"""The rules of the tdx section.

It may never pass a quote whose collateral was not evaluated: without a TCB status there is nothing to accept.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sealwright_attest.checks import Checks
from sealwright_attest.errors import Code
from sealwright_attest.model import Claims, Stage

from .document import Need, TdxRules
from .rules_snp import listed


def registers(
    checks: Checks, found: Mapping[str, str], asked: Mapping[str, tuple[str, ...]], code: Code
) -> None:
    """Write whether measurement registers hold one of their accepted values; a missing register fails."""
    for name, values in asked.items():
        checks.expect(
            Stage.POLICY,
            f"register.{name}",
            code,
            holds=found.get(name) in values,
            found=found.get(name, "not measured"),
            asked=values,
        )


def need_log(claims: Claims, need: Need, checks: Checks) -> None:
    """Write whether a log that must come along did, and led to the registers."""
    if need is Need.REQUIRED:
        found = claims.settings.get("event_log", False)
        checks.expect(
            Stage.POLICY,
            "event_log",
            Code.EVENT_LOG_MISSING,
            holds=found,
            found=found,
            asked="a log that replays",
        )


def _tcb(claims: Claims, rules: TdxRules, checks: Checks) -> None:
    settings = claims.settings
    if "tcb_status" not in settings:
        # The collateral check has failed already, so the evidence cannot be accepted.
        checks.skip(Stage.POLICY, "tcb.status", Code.TCB_STATUS, "not evaluated", "needs valid collateral")
        return
    status = settings["tcb_status"]
    since = settings.get("tcb_outdated_since", "")
    until = datetime.fromisoformat(since) + timedelta(seconds=rules.grace_seconds) if since else None
    checks.expect(
        Stage.POLICY,
        "tcb.status",
        Code.TCB_STATUS,
        holds=status in rules.tcb_status,
        found=status + (f" since {since}" if since else ""),
        asked=rules.tcb_status,
        grace_until=until if rules.grace_seconds else None,
    )
    checks.expect(
        Stage.POLICY,
        "tcb.evaluation",
        Code.COLLATERAL_TOO_OLD,
        holds=settings["tcb_evaluation"] >= rules.min_tcb_evaluation,
        found=settings["tcb_evaluation"],
        asked=f"{rules.min_tcb_evaluation} or newer",
    )
    hits = sorted(set(settings["advisories"]) & set(rules.refused_advisories))
    if rules.refused_advisories:
        checks.expect(
            Stage.POLICY,
            "tcb.advisories",
            Code.ADVISORY_REFUSED,
            holds=not hits,
            found=hits,
            asked="none of those refused",
        )
    if not rules.smt:
        smt = settings["smt"]
        checks.expect(Stage.POLICY, "platform.smt", Code.PLATFORM_INFO, holds=not smt, found=smt, asked="no")


def tdx_rules(claims: Claims, rules: TdxRules, checks: Checks, *, with_log: bool = True) -> None:
    """Write every check of the section."""
    settings = claims.settings
    attributes = settings["td_attributes"]
    checks.expect(
        Stage.POLICY,
        "td.debug",
        Code.DEBUG,
        holds=not attributes["debug"],
        found=attributes["debug"],
        asked="no",
    )
    checks.expect(
        Stage.POLICY,
        "td.sept_ve_disable",
        Code.TD_ATTRIBUTES,
        holds=attributes["sept_ve_disable"],
        found=attributes["sept_ve_disable"],
        asked="yes",
    )
    checks.expect(
        Stage.POLICY,
        "td.migratable",
        Code.MIGRATION,
        holds=not attributes["migratable"],
        found=attributes["migratable"],
        asked="no",
    )
    service = settings["mr_service_td"]
    checks.expect(
        Stage.POLICY,
        "td.mr_service_td",
        Code.SERVICE_TD,
        holds=not service.strip("0") or service in rules.service_tds,
        found=service,
        asked=rules.service_tds or "none",
    )
    _tcb(claims, rules, checks)
    listed(checks, "platform.fmspc", Code.PRODUCT_REFUSED, settings.get("fmspc", ""), rules.fmspcs)
    listed(checks, "platform.ppid", Code.INSTANCE_REFUSED, claims.instance.get("ppid", ""), rules.ppids)
    instance = claims.instance.get("platform_instance", "")
    listed(checks, "platform.instance", Code.INSTANCE_REFUSED, instance, rules.platform_instances)
    listed(checks, "td.mr_seam", Code.CONFIGURATION, settings["mr_seam"], rules.mr_seams)
    listed(checks, "td.mr_config_id", Code.HOST_DATA, settings["mr_config_id"], rules.mr_config_ids)
    listed(checks, "td.mr_owner_config", Code.HOST_DATA, settings["mr_owner_config"], rules.mr_owner_configs)
    registers(checks, claims.measurements, rules.registers, Code.PCR_VALUE)
    if with_log:
        need_log(claims, rules.event_log, checks)
