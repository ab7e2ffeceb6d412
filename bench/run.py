"""The benchmark: runs the parts and prints one table of everything, with machine, date, command and load
average.

`--quick` only shows that everything runs and answers rightly; its figures mean little. The exit status is 0
when every part ran, whatever the figures; with `--require-floors` only when every floor was met.
"""

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness import machine
from harness.model import NotMeasured, Outcome, Part, Setting
from harness.report import PartReport, RunReport, as_json, markdown
from parts import PARTS

OUT = Path(__file__).resolve().parent / "out"


def progress() -> Callable[[str], None]:
    """A function that tells on the terminal what is being done, with the seconds since the start."""
    started = time.monotonic()

    def say(text: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - started:5.0f} s] {text}\n")
        sys.stderr.flush()

    return say


def run_part(part: Part, quick: bool, say: Callable[[str], None]) -> PartReport:  # noqa: FBT001 - a flag
    """Run one part in a scratch directory of its own; what is absent here becomes a note, anything else is an
    error.
    """
    say(f"--- {part.name}: {part.title}")
    before, started = machine.load_average(), time.monotonic()
    with tempfile.TemporaryDirectory(dir=OUT, prefix=f"{part.name}-") as scratch:
        try:
            outcome = part.run(Setting(quick, Path(scratch), lambda text: say(f"{part.name}: {text}")))
        except NotMeasured as reason:
            say(f"{part.name}: NOT MEASURED: {reason}")
            outcome = Outcome((), notes=(f"NOT MEASURED: {reason}",))
    return PartReport(part, outcome, time.monotonic() - started, before, machine.load_average())


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__)
    names = [part.name for part in PARTS]
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}"
    )
    parser.add_argument(
        "--quick", action="store_true", help="only show that everything runs; figures mean little"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures as JSON")
    parser.add_argument("--markdown", type=Path, metavar="OUT", help="write the tables as Markdown")
    parser.add_argument("--require-floors", action="store_true", help="fail unless every floor was met")
    return parser.parse_args()


def main() -> int:
    """Run what was asked for."""
    asked = arguments()
    OUT.mkdir(exist_ok=True)
    say, started = progress(), time.monotonic()
    with tempfile.TemporaryDirectory(dir=OUT, prefix="machine-") as scratch:
        facts = machine.facts(Path(scratch))
    chosen = [part for part in PARTS if not asked.only or part.name in asked.only]
    reports = [run_part(part, asked.quick, say) for part in chosen]
    command = shlex.join(["python", "bench/run.py", *sys.argv[1:]])
    report = RunReport(command, machine.today(), facts, time.monotonic() - started, reports)
    text = markdown(report)
    sys.stdout.write(text)
    if asked.markdown:
        asked.markdown.write_text(text)
    if asked.json:
        asked.json.write_text(json.dumps(as_json(report), indent=1) + "\n")
    floors = [floor for part in reports for floor in part.outcome.floors]
    return 1 if asked.require_floors and any(floor.verdict != "met" for floor in floors) else 0


if __name__ == "__main__":
    sys.exit(main())
