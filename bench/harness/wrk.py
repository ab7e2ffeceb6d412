"""Runs wrk, which puts an HTTP server under load.

May hand back counts only when every answer was what it should be.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from harness.model import NotMeasured, WrongAnswer

SCRIPT = Path(__file__).with_name("wrk.lua")


def wrk_program() -> str:
    """Where wrk is; raises NotMeasured where it is not installed."""
    if program := shutil.which("wrk"):
        return program
    raise NotMeasured("wrk is not installed (Debian package wrk)")


def run_wrk(url: str, connections: int, seconds: int, **environment: str) -> dict[str, int]:
    """Load `url` for this long and return what bench/harness/wrk.lua wrote; `environment` tells that script
    what to send. Raises WrongAnswer on any failed request.
    """
    command = [wrk_program(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    ran = subprocess.run(
        [*command, "-s", str(SCRIPT), url],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in ran.stdout.splitlines() if line.startswith("BENCH ")]
    found: dict[str, int] = json.loads(lines[0].removeprefix("BENCH "))
    if found["refused"] or found["broken"] or not found["requests"]:
        raise WrongAnswer(f"{url}: {found}")
    return found
