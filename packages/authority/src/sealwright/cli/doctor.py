"""`sealwright doctor`: what isolates a signer here, found out by really starting one, and what this host is
like.

The signer that it starts is thrown away; it is never admitted, and no state is touched.
"""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import typer

from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, table, write_json
from sealwright.config import Config, signer_policy
from sealwright.errors import SealwrightError
from sealwright.supervisor.host import Verdict, host_facts, memory_shortage
from sealwright.supervisor.signer_process import ClientSignerLauncher
from sealwright_attest.doctor import Diagnosis, diagnose

STATES = {"on": "[green]on[/]", "off": "[red]off[/]", "impossible": "[yellow]impossible[/]"}
VERDICTS = {Verdict.GOOD: "[green]good[/]", Verdict.WEAK: "[yellow]weak[/]", Verdict.INFO: "[dim]info[/]"}


def command(*, config: ConfigFile = None, state: StateDirectory = None, as_json: AsJson = False) -> None:
    """Show how well this host can isolate a signer: each measure on, off or impossible, with the reason.

    Exit status 1 when a signer cannot be started, or a measure that is possible here is off.
    """
    settled = configured(config, state)
    signer = examine_signer(settled)
    facts = host_facts(settled.state.path)
    machine = diagnose(Path("/"))
    if as_json:
        seen = [msgspec.to_builtins(fact) for fact in facts]
        write_json({"signer": signer, "collectors": msgspec.to_builtins(machine.probes), "host": seen})
    else:
        _print(signer, facts)
        _print_collectors(machine)
    off = any(measure["state"] == "off" for measure in signer["isolation"])
    raise typer.Exit(1 if signer["error"] or off or memory_shortage() else 0)


def examine_signer(config: Config) -> dict[str, Any]:
    """Start a signer with this configuration's policy, ask what protects it, end it."""
    found: dict[str, Any] = {
        "started": False,
        "error": None,
        "evidence": None,
        "custody": None,
        "isolation": [],
        "note": "",
    }
    with tempfile.TemporaryDirectory(prefix="sealwright-") as folder:
        policy = signer_policy(config, [], 0)
        if "label" in policy["custody"]:  # never that of a signer which may be running: its keys are its own
            policy["custody"]["label"] = f"sealwright doctor {secrets.token_hex(8)}"
        launcher = ClientSignerLauncher(Path(folder), Path(folder), collector=config.admission.collector)
        try:
            process = launcher.launch(0, policy)
            try:
                _, evidence = process.introduce(secrets.token_bytes(32))
                described = process.describe()
            finally:
                process.stop()
        except SealwrightError as error:
            return found | {"error": error.public}
    return found | {"started": True, "evidence": evidence.kind} | described


def _print_collectors(machine: Diagnosis) -> None:
    to = console()
    to.print(f"\nEvidence: {machine.kind or 'no TEE'} here, worth {machine.level} at the most\n")
    shown = table("collector", "reads", "there", "may we", "what")
    for probe in machine.probes:
        marks = ("yes" if found else "no" for found in (probe.present, probe.usable))
        shown.add_row(probe.collector, probe.path, *marks, probe.note)
    to.print(shown)


def _print(signer: dict[str, Any], facts: list[Any]) -> None:
    to = console()
    if signer["error"]:
        to.print(f"[red]a signer cannot be started:[/] {signer['error']}")
    else:
        to.print(
            f"A signer was started and ended: custody {signer['custody']}, evidence {signer['evidence']}"
            f"{' (' + signer['note'] + ')' if signer['note'] else ''}.\n"
        )
        shown = table("measure", "state", "reason")
        for measure in signer["isolation"]:
            shown.add_row(
                measure["measure"], STATES.get(measure["state"], measure["state"]), measure["reason"]
            )
        to.print(shown)
        if not signer["isolation"]:
            to.print("[yellow]it names no measure of isolation[/]")
    to.print("\nThis host\n")
    shown = table("fact", "found", "", "why")
    for fact in facts:
        shown.add_row(fact.name, fact.found, VERDICTS[fact.verdict], fact.reason)
    to.print(shown)
