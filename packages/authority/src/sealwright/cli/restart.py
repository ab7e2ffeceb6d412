"""`sealwright restart`: asks the running `sealwright up` to replace its parts one after another."""

from __future__ import annotations

import os
import signal

from sealwright.cli.options import Apply, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console
from sealwright.errors import Unavailable


def command(*, apply: Apply = False, config: ConfigFile = None, state: StateDirectory = None) -> None:
    """Replace every signer, then the authority, while requests go on: those that come meanwhile wait.

    A signer's keys die with it: its successor makes new ones, and the old ones stay published until their
    last token has expired.
    """
    file = configured(config, state).state.path / "run" / "up.pid"
    try:
        pid = int(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        text = f"nothing runs on {file.parent.parent}; start it with `sealwright up`"
        raise Unavailable("not_running", text) from error
    if not apply:
        console().print(f"replace the signers, then the authority, of process {pid}")
        console().print("nothing was changed; add --apply to do it")
        return
    try:
        os.kill(pid, signal.SIGUSR2)
    except OSError as error:
        raise Unavailable("not_running", f"process {pid} cannot be reached: {error.strerror}") from error
    console().print(f"asked process {pid}; it tells in {file.parent.parent}/log/up.jsonl what it does")
