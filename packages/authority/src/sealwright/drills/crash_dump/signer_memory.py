"""Dump all memory of a running signer as root and look for its keys by the fingerprints that it announced;
then let one die as a fault would, and see that the kernel writes no core.

The first is the strongest dump that a host can make: the kernel's own view, with no filter in between. The
ordinary program is attacked; with a control off, one that does without that measure. Where secret
memory is impossible the verdict is that the control did not hold, with the reason and with what is left: root
did get the keys.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
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
CRASH = "let a signer die by SIGABRT while it signs"
CLEAN, UNREADABLE = "no key in it", "the kernel refuses this user"
NO_CORE, CORE = "no core", "the kernel wrote a core"
BATCHES = 20
_READABLE = """import sys
i = sys.argv.index("--listen-fd")
sys.path += sys.argv[1:i]
from sealwright_signer import __main__, isolation
isolation.BEFORE_KEYS = isolation.BEFORE_KEYS[:2]
sys.exit(__main__.main(sys.argv[i:]))"""
_DUMPABLE = """import os, resource, sys
i = sys.argv.index("--listen-fd")
sys.path += sys.argv[2:i]
os.chdir(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
from sealwright_signer import __main__, isolation
isolation.BEFORE_KEYS, isolation.WITH_KEYS = isolation.BEFORE_KEYS[:2], isolation.WITH_KEYS[:1]
sys.exit(__main__.main(sys.argv[i:]))"""
Measures = dict[str, dict[str, str]]


def run(ground: Ground) -> Iterator[Finding]:
    """Start a signer, let it sign, dump it, scan the dump."""
    off = Control.SECRET_MEMORY in ground.flaws
    process = _started(ground, [*command()[:4], _READABLE, *command()[5:]] if off else None)
    try:
        measures, fingerprints = asyncio.run(_use(process, ground.directory))
        observed = _search(process.pid, ground.directory, fingerprints)
    finally:
        process.terminate()
    secret = measures.get("secret_memory", {"state": "not taken", "reason": ""})
    if observed == UNREADABLE:
        told = (
            f"not shown here: only root is let read it (secret_memory {secret['state']}: {secret['reason']})"
        )
        yield Finding("1-signer-memory", ATTACK, None, "shown as root", told, held=not off)
        return
    held = observed == CLEAN
    reason = "" if held or off else f" ({secret['state']}: {secret['reason']})"
    yield Finding("1-signer-memory", ATTACK, Control.SECRET_MEMORY, CLEAN, observed + reason, held)
    if not held and not off:
        yield Finding(
            "1-signer-rest", "ask what is left of it here", None, "told", _rest(measures), held=True
        )


def crash(ground: Ground) -> Iterator[Finding]:
    """Start a signer, let it sign, kill it as a fault would."""
    off = Control.NO_CORE in ground.flaws
    dumpable = [*command()[:4], _DUMPABLE, str(ground.directory), *command()[5:]]
    process = _started(ground, dumpable if off else None)
    try:
        asyncio.run(_use(process, ground.directory))
        os.kill(process.pid, signal.SIGABRT)
        _, status = os.waitpid(process.pid, 0)
        process.popen.returncode = os.waitstatus_to_exitcode(status)  # waited for here, to see the flag
    finally:
        process.terminate()
    observed = CORE if os.WCOREDUMP(status) else NO_CORE
    yield Finding("1-signer-crash", CRASH, Control.NO_CORE, NO_CORE, observed, observed == NO_CORE)


def _started(ground: Ground, program: list[str] | None) -> Process:
    with (ground.directory / "signer.log").open("ab") as log:
        policy = signer_policy(Config(), [], 0)
        return launch(policy, ground.directory / "s.sock", log=log, program=program)


def _rest(measures: Measures) -> str:
    """The measures by their state, in the order in which they were taken."""
    states = dict.fromkeys(one["state"] for one in measures.values())
    named = {state: [name for name, one in measures.items() if one["state"] == state] for state in states}
    return "; ".join(f"{state}: {', '.join(names)}" for state, names in named.items())


async def _use(process: Process, folder: Path) -> tuple[Measures, Path]:
    """A key of each realm that signs; the signer's measures by name, and the fingerprints' file."""
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
    return {one["measure"]: one for one in hello.isolation}, file


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
