"""Options that several commands share, and the configuration that they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sealwright.config import Config, environment, load

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file; SEALWRIGHT_CONFIG names one as well.")
]
StateDirectory = Annotated[
    Path | None, typer.Option("--state", help="State directory instead of the configured one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Apply = Annotated[bool, typer.Option("--apply", help="Do it; without this the plan is printed only.")]
Effective = Annotated[Path, typer.Option("--effective", help="The configuration that `up` wrote.")]
Parent = Annotated[int, typer.Option("--parent", help="Process id of the supervisor.")]


def configured(file: Path | None, state: Path | None, **changes: object) -> Config:
    """The configuration with what the command line changes. Keys of `changes` have `__` for a dot; None is no
    change.

    Raises:
        Misconfigured: it may not run.
    """
    options = {name.replace("__", "."): value for name, value in changes.items() if value is not None}
    if state is not None:
        options["state.directory"] = str(state)
    return load(file, environment(), options)[0]
