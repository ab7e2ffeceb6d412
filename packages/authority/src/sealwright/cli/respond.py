"""`sealwright respond`: what an incident commander asks and does."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sealwright.clock import SystemClock
from sealwright.errors import Misconfigured

app = typer.Typer(no_args_is_help=True, help=__doc__)


class Form(StrEnum):
    """How a scope is written."""

    CSV = "csv"
    JSON = "json"
    HTML = "html"


@app.callback()
def respond() -> None:
    """Keep `scope` a command of its own, also while it is the only one."""


@app.command()
def scope(
    lake: Annotated[Path, typer.Argument(help="Folder of the detection lake.", show_default=False)],
    *,
    key: Annotated[str | None, typer.Option("--key", help="Key id to ask about.")] = None,
    client: Annotated[str | None, typer.Option("--client", help="Client to ask about.")] = None,
    since: Annotated[float, typer.Option("--since", help="From when, unix seconds.")] = 0.0,
    until: Annotated[float | None, typer.Option("--until", help="Until when; now by default.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only what this tenant may be told.")] = None,
    form: Annotated[Form, typer.Option("--format", help="How to write it.")] = Form.JSON,
) -> None:
    """Which tenants and subjects forgeries did touch, which they could have, and what evidence is missing."""
    try:
        from sealwright.detection.engine import DuckEngine
        from sealwright.response.affected import Question, of_tenant
        from sealwright.response.report import as_csv, as_html, as_json
        from sealwright.response.scope import scope as answer
    except ImportError as error:
        raise Misconfigured("extra_absent", "install sealwright[detect] for this command") from error
    if not lake.is_dir():
        raise Misconfigured("no_lake", f"{lake} is no folder")
    engine = DuckEngine(lake)
    question = Question(kid=key, client_id=client, since=since, until=until or SystemClock().now())
    found = answer(engine.tables(), question, _say)
    engine.close()
    told = of_tenant(found, tenant) if tenant else found
    sys.stdout.write({Form.CSV: as_csv, Form.JSON: as_json, Form.HTML: as_html}[form](told) + "\n")


def _say(step: str) -> None:
    sys.stderr.write(f"{step} ...\n")
    sys.stderr.flush()
