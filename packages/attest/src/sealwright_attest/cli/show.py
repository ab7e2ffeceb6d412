"""Prints results, explanations, diagnoses and differences as plain text.

It may never shorten a failed check, and never print control characters that came with evidence.
"""

from collections.abc import Iterable, Sequence

from sealwright_attest.doctor import Diagnosis
from sealwright_attest.model import AttestationResult, Check, EvidenceLevel, Outcome, Verdict
from sealwright_attest.policy.diff import RuleChange, VerdictChange
from sealwright_attest.record import moment

_MARKS = {
    Outcome.PASSED: "ok",
    Outcome.FAILED: "FAILED",
    Outcome.WARNED: "warning",
    Outcome.SKIPPED: "skipped",
}
_WIDTH = 72
_NAME_WIDTH = 28


def clean(text: str) -> str:
    """Return a text with everything that a terminal would act on replaced."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _short(text: str) -> str:
    text = clean(text)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}\N{HORIZONTAL ELLIPSIS}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows under a head, in columns that are as wide as they need."""
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([shown[0], "  ".join("-" * width for width in widths), *shown[1:]]) + "\n"


def _failures(checks: Iterable[Check]) -> str:
    lines = []
    for one in checks:
        lines.append(f"{clean(one.field)}: {one.code}")
        lines.append(f"    found  {clean(one.found)}")
        lines.append(f"    asked  {clean(one.asked)}")
        lines.append(f"    fix    {one.fix}")
        if one.grace_until is not None:
            lines.append(f"    grace  until {moment(one.grace_until)}, for those admitted earlier")
    return "\n".join(lines) + "\n"


def _head(result: AttestationResult, *, dry_run: bool) -> str:
    would = {
        Verdict.ACCEPTED: "would be ACCEPTED",
        Verdict.GRACE: "would be refused (in grace)",
        Verdict.REFUSED: "would be REFUSED",
    }
    verdict = f"{would[result.verdict]} (dry run)" if dry_run else result.verdict.value.upper()
    level = result.level.value
    if result.level is EvidenceLevel.SIMULATED:
        level += " - simulated: this proves nothing about the machine"
    rows = [
        ("kind", result.kind.value),
        ("product", result.claims.product),
        ("verdict", verdict),
        ("evidence level", level),
        ("policy", f"{result.policy_name}  {result.policy_hash}"),
        ("evaluated at", moment(result.evaluated_at) or ""),
        ("evidence sha256", result.evidence_hash),
    ]
    return "".join(f"{name:<16} {clean(value)}\n" for name, value in rows)


def show_result(result: AttestationResult, *, dry_run: bool = False) -> str:
    """Return a result as a table of its checks, followed by what failed and how to fix it."""
    rows = [
        (
            _MARKS[one.outcome],
            one.stage.value,
            clean(one.field),
            "" if one.outcome is Outcome.PASSED else one.code.value,
            _short(one.found),
            _short(one.asked),
        )
        for one in result.checks
    ]
    text = _head(result, dry_run=dry_run) + "\n"
    text += table(("", "stage", "field", "code", "found", "asked"), rows)
    failed = [one for one in result.checks if one.outcome in {Outcome.FAILED, Outcome.WARNED}]
    if failed:
        text += "\n" + _failures(failed)
    if result.shadow is not None:
        text += f"\nshadow policy {result.shadow.policy_name}: {result.shadow.verdict.value}\n"
        text += _failures(result.shadow.failed) if result.shadow.failed else ""
    return text


def show_rows(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values, in full."""
    pairs = [(clean(name), clean(value)) for name, value in rows]
    width = min(max(len(name) for name, _ in pairs), _NAME_WIDTH)
    return "".join(f"{name:<{width}}  {value}\n" for name, value in pairs)


def show_diagnosis(found: Diagnosis) -> str:
    """Return what a machine offers."""
    best = found.kind.value if found.kind else "none: only simulated evidence is possible here"
    text = f"best evidence   {best}\nevidence level  {found.level.value}\n"
    text += f"cpu flags       {' '.join(found.cpu_flags) or '(none of sev, sev_es, sev_snp, tdx_guest)'}\n\n"
    rows = [
        (
            one.collector,
            one.kind.value,
            "usable" if one.usable else "no access" if one.present else "absent",
            one.path,
            one.note,
        )
        for one in found.probes
    ]
    return text + table(("collector", "kind", "state", "path", "what it gives"), rows)


def show_diff(rules: Sequence[RuleChange], verdicts: Sequence[VerdictChange]) -> str:
    """Return the difference of two policies."""
    if not rules:
        return "the policies ask for the same\n"
    text = table(
        ("rule", "before", "after"),
        [(one.rule, _short(str(one.before)), _short(str(one.after))) for one in rules],
    )
    for one in verdicts:
        text += f"\n{one.name}: {one.before.value} -> {one.after.value}\n"
        text += "".join(
            f"    no longer fails: {check.field} ({check.code})\n" for check in one.no_longer_failing
        )
        text += "".join(f"    now fails:       {check.field} ({check.code})\n" for check in one.newly_failing)
    return text
