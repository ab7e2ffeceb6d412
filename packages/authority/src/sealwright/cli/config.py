"""`sealwright config`: what would run, and whether it may."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from sealwright.cli.options import AsJson, ConfigFile
from sealwright.cli.output import write_json
from sealwright.config import Config, environment, load, require_files
from sealwright.config.durations import spoken
from sealwright.config.shape import is_duration, is_section, members

app = typer.Typer(no_args_is_help=True)
ConfigArgument = Annotated[Path | None, typer.Argument(help="TOML file, as with --config.")]


@app.command()
def check(file: ConfigArgument = None, *, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Say whether a configuration may run, and print what would."""
    settled, source = load(file or config, environment())
    require_files(settled)
    if as_json:
        write_json(
            {
                "may_run": True,
                "file": source.file and str(source.file),
                "variables": source.variables,
                "config": settled,
            }
        )
        return
    sys.stdout.write(as_toml(settled))
    where = str(source.file) if source.file else "the defaults"
    changed = f", changed by {', '.join(source.variables)}" if source.variables else ""
    sys.stderr.write(f"may run: {where}{changed}\n")


@app.command()
def show(file: ConfigArgument = None, *, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print the configuration that would run, every value of it, as TOML."""
    settled, _ = load(file or config, environment())
    if as_json:
        write_json(settled)
        return
    sys.stdout.write(as_toml(settled))


def as_toml(config: Config) -> str:
    """The configuration as a TOML file that reads back as itself; durations with their unit."""
    sections = []
    for name, kind in members(Config).items():
        value = getattr(config, name)
        if is_section(kind):
            sections.append(_section(name, value))
        else:
            sections += [_section(f"{name}.{key}", inner) for key, inner in value.items()]
    return "\n".join(sections)


def _section(title: str, value: msgspec.Struct) -> str:
    lines = [f"[{title}]"]
    for name, kind in members(type(value)).items():
        lines.append(f"{name} = {_toml(getattr(value, name), duration=is_duration(kind))}")
    return "\n".join(lines) + "\n"


def _toml(value: object, *, duration: bool) -> str:
    # Texts, numbers, booleans and flat lists are the same in JSON and TOML, but for one character.
    plain = spoken(value) if duration and isinstance(value, int) else value
    return msgspec.json.encode(plain).decode().replace("\x7f", "\\u007f")
