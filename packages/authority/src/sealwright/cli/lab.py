"""`sealwright lab`: a generated world with attacks hidden in it, and how well the catalogue finds them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.options import AsJson
from sealwright.cli.output import write_json
from sealwright.errors import Misconfigured

app = typer.Typer(no_args_is_help=True, help=__doc__)

Folder = Annotated[Path, typer.Argument(help="Folder of the generated world.", show_default=False)]
Seed = Annotated[int, typer.Option("--seed", help="Everything follows from it.")]


@app.command()
def generate(
    folder: Folder,
    *,
    seed: Seed = 558,
    events: Annotated[int, typer.Option("--events", help="Genuine uses of tokens.", min=1_000)] = 1_000_000,
) -> None:
    """Write a new world: tenants, people, apps, day and night, and hidden attacks."""
    _require_extra()
    from sealwright.detection.lab.generate import generate as make
    from sealwright.detection.lab.traffic import Plan

    if folder.exists() and any(folder.iterdir()):
        raise Misconfigured("folder_not_empty", f"{folder} is not empty; name a new folder")
    truth = make(folder, Plan(seed=seed, events=events))
    hidden = sum(len(subjects) for subjects in truth.values())
    sys.stdout.write(f"{folder}: {events} genuine uses, {hidden} things to find, seed {seed}\n")


@app.command()
def score(folder: Folder, *, as_json: AsJson = False) -> None:
    """Run every detection over the world's last day and compare with the truth."""
    _require_extra()
    from sealwright.detection.engine import DuckEngine
    from sealwright.detection.lab.generate import read_truth
    from sealwright.detection.lab.score import as_markdown
    from sealwright.detection.lab.score import score as compare

    engine = DuckEngine(folder)
    scores = compare(engine.tables(), read_truth(folder))
    engine.close()
    if as_json:
        write_json([{**asdict(one), "precision": one.precision, "recall": one.recall} for one in scores])
    else:
        sys.stdout.write(as_markdown(scores))


def _require_extra() -> None:
    try:
        import ibis  # noqa: F401 - only asked for
    except ImportError as error:
        raise Misconfigured("extra_absent", "install sealwright[detect] for this command") from error
