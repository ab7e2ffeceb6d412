"""`sealwright detections`: the catalogue, and Sigma rules made from it. Needs nothing that runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from sealwright.cli.options import AsJson
from sealwright.cli.output import console, table, write_json
from sealwright.detection import sigma as sigma_rules
from sealwright.detection.catalogue.attack import TECHNIQUES
from sealwright.detection.catalogue.entries import BY_CODE, CATALOGUE
from sealwright.errors import Misconfigured
from sealwright.files import writing

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command("list")
def list_detections(*, as_json: AsJson = False) -> None:
    """List every detection: its code, severity, how it is decided, and MITRE ATT&CK techniques."""
    if as_json:
        write_json([msgspec.to_builtins(one) for one in CATALOGUE])
        return
    shown = table("code", "title", "severity", "how", "confidence", "ATT&CK")
    for one in CATALOGUE:
        shown.add_row(one.code, one.title, one.severity, one.how, str(one.confidence), ", ".join(one.attack))
    console().print(shown)


@app.command()
def show(
    code: Annotated[str, typer.Argument(help="As in an alarm.", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Show what an alarm of this code means, and what to do about it."""
    one = BY_CODE.get(code)
    if one is None:
        raise Misconfigured("unknown_detection", f"no detection has the code {code}; see `detections list`")
    if as_json:
        write_json(msgspec.to_builtins(one))
        return
    facts: dict[str, Any] = {
        "severity": one.severity,
        "how": one.how,
        "confidence": f"{one.confidence} of 100 such findings, taken alone, are what they look like",
        "ATT&CK": ", ".join(f"{uid} {TECHNIQUES[uid]}" for uid in one.attack),
        "means": one.means,
        "do": one.do,
    }
    width = max(map(len, facts))
    lines = [f"{one.code}: {one.title}", *(f"  {name:<{width}}  {fact}" for name, fact in facts.items())]
    sys.stdout.write("\n".join(lines) + "\n")


@app.command()
def sigma(
    folder: Annotated[Path, typer.Argument(help="Where the rules go, one file each.", show_default=False)],
) -> None:
    """Write a Sigma rule for every detection, over our alarm events."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in sigma_rules.rules():
            (folder / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{folder}: {len(CATALOGUE)} rules\n")
