"""Dump all memory of a running signer as root and look for its keys by the fingerprints that it announced.

The strongest dump that a host can make: the kernel's own view of the process, with no filter in between. The
ordinary program is attacked; with the control off, one that leaves its memory ordinary.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sealwright.clock import SystemClock
from sealwright.config import Config, signer_policy
from sealwright.drills.crash_dump.ground import Control, Ground
from sealwright.drills.memory import regions
from sealwright.drills.model import Finding
from sealwright.ledger.fingerprints import FORMAT
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Settings
from sealwright_signer.client import Connection, Process, command, launch

ATTACK = "dump the signer's memory while it signs, as root"
CLEAN, UNREADABLE = "no key in it", "the kernel refuses this user"
BATCHES = 20
_READABLE = """import sys
i = sys.argv.index("--listen-fd")
sys.path += sys.argv[1:i]
from sealwright_signer import __main__, isolation
isolation.BEFORE_KEYS = isolation.BEFORE_KEYS[:2]
sys.exit(__main__.main(sys.argv[i:]))"""


def run(ground: Ground) -> Iterator[Finding]:
    """Start a signer, let it sign, dump it, scan the dump."""
    off = Control.SECRET_MEMORY in ground.flaws
    program = [*command()[:4], _READABLE, *command()[5:]] if off else None
    with (ground.directory / "signer.log").open("ab") as log:
        process = launch(
            signer_policy(Config(), [], 0), ground.directory / "s.sock", log=log, program=program
        )
    try:
        measure, fingerprints = asyncio.run(_use(process, ground.directory))
        observed = _search(process.pid, ground.directory, fingerprints)
    finally:
        process.terminate()
    held = observed in (CLEAN, UNREADABLE)
    reason = "" if held or off else f" ({measure})"
    yield Finding("1-signer-memory", ATTACK, Control.SECRET_MEMORY, CLEAN, observed + reason, held)


async def _use(process: Process, folder: Path) -> tuple[str, Path]:
    """A key of each realm that signs; what the signer says of its memory, and the fingerprints' file."""
    connection = await Connection.open(process.socket_path)
    hello, now = await connection.hello(), int(SystemClock().now())
    salt, entries = "", list[dict[str, Any]]()
    for realm, kind in Config().realms.items():
        made = await connection.make_key(realm, "ES256", now, now + 3_600, now + 7_260)
        await connection.activate(made.kid)
        found = json.loads(made.batch.leaves[-1][2:])["fingerprints"]
        salt, entries = found["salt"], [*entries, *({"key": made.kid} | one for one in found["entries"])]
        request = (realm, made.kid, "at+jwt", "c", "c", list(kind.audiences[:1]), "", 60, "00" * 32, None)
        for _ in range(BATCHES):
            await connection.sign([request] * 8)
    await connection.close()
    file = folder / "announced.json"
    file.write_text(json.dumps({"format": FORMAT, "salt": salt, "entries": entries}), encoding="utf-8")
    secret = next((one for one in hello.isolation if one["measure"] == "secret_memory"), None)
    return (f"{secret['state']}: {secret['reason']}" if secret else "not taken"), file


def _search(pid: int, folder: Path, fingerprints: Path) -> str:
    dump = folder / "signer.memory"
    try:
        with dump.open("wb") as file:
            for region in regions(pid):
                file.write(region)
    except PermissionError:
        return UNREADABLE
    report = Run(Settings(workers=1, credentials=False, fingerprints=(str(fingerprints),))).scan([str(dump)])
    return f"{len(report.findings)} copies of keys" if report.findings else CLEAN
