"""Issuing while keys rotate, and while signers and authority are replaced, beside quiet in the same run.

One load for all three; a request that fails during any of them is told, not tried again.
"""

import json
import subprocess
import time
from collections.abc import Callable

import ours
from harness.latency import CONNECTIONS, Clients, Span
from harness.model import Cell, Floor, Outcome, Part, Setting, Table, WrongAnswer

FURTHER = '[keys]\nuse = "300s"\nlead = "{0}s"\n[manifest]\nlife = "{0}s"\n[signers]\ncount = 2\n'
LEAD, QUICK_LEAD = 10, 5
UNDER_WAY = 3.0
"""Seconds after which whatever began before is answered; what is slowest must not be left out."""
PATIENCE = 120.0
AIM = 2.0


def until(holds: Callable[[], bool], what: str) -> None:
    """Return when it holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise WrongAnswer(f"{what} did not happen within {PATIENCE:.0f} s")
        time.sleep(0.1)


def apply(running: ours.Running, *words: str) -> None:
    """Run one of our commands that changes something."""
    command = [str(ours.PROGRAM), *words, "--config", str(running.config), "--apply"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise WrongAnswer(f"{' '.join(words)}: {ran.stderr[-500:]}")


def active(running: ours.Running) -> set[str]:
    """Ids of the keys that sign now."""
    return {key["kid"] for key in ours.tell(running.config, "keys", "list") if key["state"] == "active"}


def ups(running: ours.Running) -> int:
    """How often a part came up so far."""
    lines = (running.config.parent / "state" / "log" / "up.jsonl").read_text().splitlines()
    return sum(json.loads(line)["message"] == "up" for line in lines)


def timed(clients: Clients, work: Callable[[], None]) -> Span:
    """What was answered while something was done."""
    start = time.monotonic()
    work()
    end = time.monotonic()
    time.sleep(UNDER_WAY)
    return clients.span(start, end)


def rotate(running: ours.Running) -> None:
    """Every active key has its successor, and is used no more."""
    before = active(running)
    apply(running, "keys", "rotate")
    until(lambda: not before & active(running), "the rotation")


def restart(running: ours.Running) -> None:
    """Both signers and the authority are new."""
    wanted = ups(running) + 3
    apply(running, "restart")
    until(lambda: ups(running) >= wanted, "the rolling restart")


def row(name: str, span: Span) -> tuple[Cell, ...]:
    """One stretch's line."""
    shares = [span.percentile(share) for share in (0.5, 0.99, 1.0)]
    return (name, len(span.milliseconds), span.failures, *shares)


def run(setting: Setting) -> Outcome:
    """Quiet, a rotation, quiet again, a rolling restart."""
    quiet_seconds = 1.0 if setting.quick else 10.0
    further = FURTHER.format(QUICK_LEAD if setting.quick else LEAD)
    with ours.sealwright(setting.scratch, further) as running, Clients(running.targets["ES256"]) as clients:
        time.sleep(1.0)
        setting.say("quiet")
        quiet = timed(clients, lambda: time.sleep(quiet_seconds))
        setting.say("rotation")
        rotation = timed(clients, lambda: rotate(running))
        time.sleep(1.0)
        setting.say("rolling restart")
        rolling = timed(clients, lambda: restart(running))
    spans = {"quiet": quiet, "rotation": rotation, "rolling restart": rolling}
    columns = ("while", "requests", "failed", "p50 ms", "p99 ms", "max ms")
    title = f"Token endpoint, ES256, two signers, {CONNECTIONS} connections that are kept"
    return Outcome(
        (Table(title, columns, tuple(row(*pair) for pair in spans.items())),),
        tuple(
            Floor(
                f"{AIM:.0f} x quiet p99 by the p99 of a {name}",
                1.0,
                AIM * quiet.percentile(0.99) / span.percentile(0.99) if not span.failures else 0.0,
            )
            for name, span in (("rotation", rotation), ("rolling restart", rolling))
        ),
        (
            "A floor is 0 where a request failed. The clients run on the same cores as the servers.",
            *(f"A request failed: {why}" for why in clients.reasons()),
        ),
    )


PART = Part("rollover", "Issuing during a rotation and a rolling restart", run)
