"""Carries out a drill in a sandbox that is removed afterwards, whatever happens."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from sealwright.drills.model import DrillResult, Finding, Place, StepResult
from sealwright.drills.sandbox import Sandbox
from sealwright.errors import SealwrightError

_SILENT = logging.NullHandler()
Run = Callable[[Any], Iterator[Finding]]
Watch = Callable[[StepResult], None]


def carry_out(
    name: str,
    steps: Sequence[Run],
    disabled: Collection[str],
    watch: Watch | None = None,
    place: Callable[[Path, Collection[str]], Place] = Sandbox,
) -> DrillResult:
    """Run every step of a drill, or up to one that cannot be carried out.

    Args:
        name: of the drill.
        steps: in order.
        disabled: controls to switch off in the sandbox.
        watch: told of each outcome as it is known.
        place: makes the place where it is carried out.
    """
    results: list[StepResult] = []

    def keep(finding: Finding, began: float) -> None:
        result = StepResult(finding, time.monotonic() - began)
        results.append(result)
        if watch:
            watch(result)

    for package in ("sealwright", "sealwright_validate"):  # what they log of an attack is the drill's to tell
        logging.getLogger(package).addHandler(_SILENT)
    directory = Path(tempfile.mkdtemp(prefix="sealwright-drill-"))
    sandbox = place(directory, disabled)
    try:
        began = time.monotonic()
        sandbox.start()
        for step in steps:
            for finding in step(sandbox):
                keep(finding, began)
                began = time.monotonic()
    except SealwrightError as error:
        # A drill that gets stuck has proved nothing: it did not hold.
        stuck = Finding(
            "stuck", "carry the drill out", None, "every step carried out", str(error), held=False
        )
        keep(stuck, began)
    finally:
        sandbox.stop()
        sandbox.remove()
    return DrillResult(name, results)
