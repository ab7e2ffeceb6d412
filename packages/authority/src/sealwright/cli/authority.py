"""`sealwright authority`: the process that serves the network, as `sealwright up` starts it."""

from __future__ import annotations

from typing import Annotated

import typer

from sealwright.cli.options import Effective, Parent
from sealwright.config import load_effective
from sealwright.logs import own_log, write_json_logs
from sealwright.supervisor.parent import end_with_parent


def command(
    effective: Effective,
    parent: Parent,
    listen_fd: Annotated[int | None, typer.Option("--listen-fd", help="A socket that listens.")] = None,
) -> None:
    """Run the authority until SIGTERM. Started by `sealwright up`, which admits its signers."""
    end_with_parent(parent)
    config = load_effective(effective)
    write_json_logs("authority", config.log.level, own_log(config.state.path / "log" / "authority.jsonl"))
    from sealwright.wiring import serve

    serve(config, listen_fd)
