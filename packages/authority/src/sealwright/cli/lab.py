"""`sealwright lab`: a generated world with attacks hidden in it, and how well the catalogue finds them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from sealwright.cli.options import AsJson
from sealwright.cli.output import write_json
from sealwright.errors import Misconfigured
from sealwright.files import writing

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

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
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

    truth = read_truth(folder)
    engine = DuckEngine(folder)
    scores = compare(engine.tables(), truth)
    engine.close()
    if as_json:
        write_json([{**asdict(one), "precision": one.precision, "recall": one.recall} for one in scores])
    else:
        sys.stdout.write(as_markdown(scores))


BEGINS, ENDS = "<!-- lab: written by `sealwright lab report` -->\n", "<!-- /lab -->\n"


@app.command()
def report(
    *,
    seed: Seed = 558,
    events: Annotated[int, typer.Option("--events", help="Genuine uses of tokens.", min=1_000)] = 1_000_000,
    write: Annotated[
        Path | None, typer.Option("--write", help="Markdown file whose table is to be written anew.")
    ] = None,
) -> None:
    """Generate a world, score it, and print (or write) the table of docs/detection.md."""
    _require_extra()
    from sealwright.detection.engine import DuckEngine
    from sealwright.detection.lab.generate import generate as make
    from sealwright.detection.lab.generate import read_truth
    from sealwright.detection.lab.score import as_markdown
    from sealwright.detection.lab.score import score as compare
    from sealwright.detection.lab.traffic import Plan

    before = _text_around(write) if write is not None else None
    with TemporaryDirectory(prefix="sealwright-lab-") as folder:
        make(Path(folder), Plan(seed=seed, events=events))
        engine = DuckEngine(Path(folder))
        table = as_markdown(compare(engine.tables(), read_truth(Path(folder))))
        engine.close()
    told = f"Seed {seed}, {events:,} genuine uses:\n\n{table}"
    if write is None or before is None:
        sys.stdout.write(told)
        return
    head, tail = before
    with writing(write):
        write.write_text(f"{head}{BEGINS}{told}{ENDS}{tail}", encoding="utf-8")
    sys.stdout.write(f"{write}: written anew with seed {seed}\n")


def _text_around(file: Path) -> tuple[str, str]:
    """What comes before and after the table. Raises `Misconfigured` where there is no place for it."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured("unreadable_file", f"cannot read {file}: {error.strerror}") from error
    head, begins, rest = text.partition(BEGINS)
    _, ends, tail = rest.partition(ENDS)
    if not begins or not ends:
        raise Misconfigured("no_table", f"{file} has no place marked for the table")
    return head, tail


def _require_extra() -> None:
    try:
        import ibis  # noqa: F401 - only asked for
    except ImportError as error:
        raise Misconfigured("extra_absent", "install sealwright[detect] for this command") from error
