"""The drills by name, and how one is run from the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence

from rich.console import Console

from sealwright.drills import crash_dump, golden_issuer, lying_ledger, rogue_signer, stale_trust, storm_0558
from sealwright.drills.model import Drill, DrillResult
from sealwright.drills.runner import carry_out
from sealwright.drills.timeline import Timeline
from sealwright.errors import Misconfigured

_KNOWN = {
    drill.name: drill
    for drill in (
        storm_0558.DRILL,
        rogue_signer.DRILL,
        crash_dump.DRILL,
        golden_issuer.DRILL,
        stale_trust.DRILL,
        lying_ledger.DRILL,
    )
}
DRILLS = {name: drill.shows for name, drill in _KNOWN.items()}


def require_controls(drill: Drill, disabled: Collection[str]) -> None:
    """Refuse a control that the drill does not have: one that ran with everything on would then mislead.

    Raises:
        Misconfigured: `unknown_control`.
    """
    known = [str(control) for control in drill.controls]
    for name in disabled:
        if name not in known:
            raise Misconfigured("unknown_control", f"no control {name}; there are: {', '.join(known)}")


def run(name: str, *, as_json: bool, disabled: Collection[str] = ()) -> int:
    """Carry a drill out. Returns the exit status: 0 only if every control held."""
    drill = _KNOWN[name]
    require_controls(drill, disabled)
    if as_json:
        result = carry_out(name, drill.steps, disabled, place=drill.place)
        sys.stdout.write(json.dumps(describe(result), indent=2) + "\n")
    else:
        timeline = Timeline(Console(), drill, disabled)
        result = carry_out(name, drill.steps, disabled, timeline.show, drill.place)
        timeline.close(result)
    return 0 if result.held else 1


def run_all(*, as_json: bool) -> int:
    """Carry every drill out, one after the other, and sum them up. Returns 0 only if every one held."""
    results: list[DrillResult] = []
    console = Console()
    for name, drill in _KNOWN.items():
        timeline = None if as_json else Timeline(console, drill, ())
        results.append(carry_out(name, drill.steps, (), timeline.show if timeline else None, drill.place))
        if timeline:
            timeline.close(results[-1])
    held = all(result.held for result in results)
    if as_json:
        told = {"held": held, "drills": [describe(result) for result in results]}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        sum_up(console, results)
    return 0 if held else 1


def sum_up(console: Console, results: Sequence[DrillResult]) -> None:
    """One line for each drill: whether it held, how many outcomes it had, and which did not hold."""
    console.print()
    for result in results:
        failed = [step.finding.step for step in result.steps if not step.finding.held]
        mark = "[green]held[/green]        " if result.held else "[red]did not hold[/red]"
        told = f"{len(result.steps):3} outcomes in {result.seconds:5.1f} s" + ("" if result.held else ": ")
        console.print(f"{mark}  {result.drill:14} {told}{', '.join(failed)}", highlight=False)


def describe(result: DrillResult) -> dict[str, object]:
    """The result as plain values. `seconds` is how long a step, and how long the whole, took."""
    return {
        "drill": result.drill,
        "held": result.held,
        "seconds": round(result.seconds, 3),
        "steps": [
            {
                "id": step.finding.step,
                "attack": step.finding.attack,
                "control": step.finding.control,
                "expected": step.finding.expected,
                "observed": step.finding.observed,
                "held": step.finding.held,
                "seconds": round(step.seconds, 3),
            }
            for step in result.steps
        ],
    }
