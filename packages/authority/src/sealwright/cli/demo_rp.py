"""`sealwright demo-rp`: one of the two demo mail APIs, as `sealwright up` starts it."""

from __future__ import annotations

from sealwright.cli.options import Effective, Parent
from sealwright.config import load_effective
from sealwright.demo.serve import Guard, serve_mail
from sealwright.logs import own_log, write_json_logs
from sealwright.supervisor.parent import end_with_parent


def command(guard: Guard, effective: Effective, parent: Parent) -> None:
    """Run a demo mail API until SIGTERM: `guarded` by sealwright_validate, or its `ordinary` twin."""
    end_with_parent(parent)
    config = load_effective(effective)
    name = f"demo-{guard}"
    write_json_logs(name, config.log.level, own_log(config.state.path / "log" / f"{name}.jsonl"))
    serve_mail(config, guard)
