"""Issuing over HTTP, ours beside node oidc-provider and Authlib, all on this machine in interleaved rounds.

Every server stays up for the whole part and idles while another is measured. It may not compare servers that
do not do the same: a JWT access token per request, to a client that authenticated with its secret.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import ours
from harness import machine, peers
from harness.load import CONNECTIONS, Load, Target, measure, memory
from harness.model import Cell, Floor, NotMeasured, Outcome, Part, Setting, Table, WrongAnswer, median, spread
from harness.procfs import Memory
from harness.rounds import interleave, paired_ratio
from harness.wrk import wrk_program

FLOOR = 2.0
ELLIPTIC = "ES256"
PEER, OTHER_PEER, OURS = "oidc-provider", "Authlib on FastAPI", "Sealwright"
MEBIBYTE = 1024**2
SHOWN_CORES = 0.005  # what would round to 0.01
COLUMNS = (
    "server",
    "tokens/s",
    "lowest to highest",
    "p50 ms",
    "p99 ms",
    "cores",
    "tokens per CPU second",
    "cores by process",
    "samples valid",
)


@dataclass(slots=True)
class Field:
    """The servers that run, what could not be started, and what each held in RAM before any load."""

    targets: dict[str, Target] = field(default_factory=dict)
    rest: dict[str, dict[str, Memory]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    running: ours.Running | None = None

    def add(self, name: str, target: Target) -> None:
        """Take a server in; what it holds now is what it holds at rest."""
        self.targets[name], self.rest[name] = target, memory(target)


def named(server: str, processes: int) -> str:
    """The name of one case."""
    return f"{server}, {processes} {'process' if processes == 1 else 'processes'}"


def start_peers(stack: contextlib.ExitStack, started: Field, setting: Setting) -> None:
    """Start every peer that can be started here."""
    processes = (1,) if setting.quick else (1, 2)
    try:
        started.notes.append(f"{peers.install_oidc_provider()}; its in-memory adapter, JWT access tokens.")
        for count in processes:
            started.add(named(PEER, count), stack.enter_context(peers.oidc_provider(setting.scratch, count)))
    except NotMeasured as reason:
        started.notes.append(f"NOT MEASURED: {PEER}: {reason}")
    for count in processes:
        started.add(named(OTHER_PEER, count), stack.enter_context(peers.authlib(setting.scratch, count)))


def start_ours(stack: contextlib.ExitStack, started: Field, setting: Setting) -> None:
    """Start Sealwright."""
    try:
        started.running = stack.enter_context(ours.sealwright(setting.scratch))
    except NotMeasured as reason:
        started.notes.append(f"NOT MEASURED: {OURS}: {reason}")
        return
    for algorithm, target in started.running.targets.items():
        started.targets[f"{OURS}, {algorithm}"] = target
        if algorithm == ELLIPTIC:
            started.targets[f"{OURS}, {ELLIPTIC}, no request twice"] = replace(target, vary=True)
    started.rest[f"{OURS}, {ELLIPTIC}"] = memory(started.running.targets[ELLIPTIC])


def row(name: str, loads: list[Load]) -> tuple[Cell, ...]:
    """One server's line: medians over the rounds."""
    rates = spread([load.rate for load in loads])
    roles = {role: median([load.cores.get(role, 0.0) for load in loads]) for role in loads[0].cores}
    return (
        name,
        rates.median,
        f"{rates.low:,.0f} to {rates.high:,.0f}",
        median([load.p50 for load in loads]),
        median([load.p99 for load in loads]),
        median([sum(load.cores.values()) for load in loads]),
        median([load.per_cpu_second for load in loads]),
        ", ".join(f"{role} {cores:.2f}" for role, cores in roles.items() if cores >= SHOWN_CORES),
        sum(load.samples for load in loads),
    )


def memory_rows(found: Field, loads: Mapping[str, list[Load]]) -> tuple[tuple[Cell, ...], ...]:
    """RAM of every process of every server, at rest and at the end of its last load."""
    rows: list[tuple[Cell, ...]] = []
    for name, rest in found.rest.items():
        for role, before in rest.items():
            after = loads[name][-1].memory.get(role)
            figures = (before.rss, before.pss, after.rss if after else None, after.pss if after else None)
            rows.append((name, role, *(None if each is None else each / MEBIBYTE for each in figures)))
    return tuple(rows)


def best_ratio(loads: Mapping[str, list[Load]], ours: str, peer: str) -> float | None:
    """Ours by the better of the peer's cases, per round; None where either was not measured."""
    theirs = [found for name, found in loads.items() if name.startswith(peer)]
    if ours not in loads or not theirs:
        return None
    best = max(theirs, key=lambda found: median([load.rate for load in found]))
    return paired_ratio([load.rate for load in loads[ours]], [load.rate for load in best])


def require_ledgered(running: ours.Running, answered: int) -> str:
    """No token was answered that is not in the ledger; says so."""
    found = running.fsck()
    if found["tokens"] < answered:
        raise WrongAnswer(f"{answered} tokens were answered, the ledger has {found['tokens']}")
    return (
        f"After the load the ledger was sound: {found['tokens']:,} tokens for {answered:,} counted answers."
    )


def run(setting: Setting) -> Outcome:
    """Measure every server that can be started here."""
    wrk_program()
    rounds, seconds = (1, 2) if setting.quick else (4, 5)
    found, answered = Field(), 0
    with contextlib.ExitStack() as stack:
        start_peers(stack, found, setting)
        start_ours(stack, found, setting)
        for name, target in found.targets.items():
            setting.say(f"warming up: {name}")
            load = measure(target, 1 if setting.quick else 4)
            answered += load.requests if name.startswith(OURS) else 0
        cases: dict[str, Callable[[], Load | tuple[float, float]]] = {
            name: partial(measure, target, seconds) for name, target in found.targets.items()
        }
        cases["the limit"] = partial(machine.openssl_speed, "ecdsap256", 1 if setting.quick else 2)
        measured = interleave(cases, rounds, setting.say)
        loads = {name: [each for each in measured[name] if isinstance(each, Load)] for name in found.targets}
        if found.running:
            answered += sum(load.requests for name in loads if name.startswith(OURS) for load in loads[name])
            found.notes.append(require_ledgered(found.running, answered))
    limits = [each for each in measured["the limit"] if isinstance(each, tuple)]
    signs, verifies = (median([limit[at] for limit in limits]) for at in (0, 1))
    title = f"Token endpoint, {ELLIPTIC} unless named, client_secret_basic, {CONNECTIONS} connections"
    sizes = ("server", "process", "RSS at rest", "PSS at rest", "RSS under load", "PSS under load")
    return Outcome(
        (
            Table(title, COLUMNS, tuple(row(*pair) for pair in loads.items())),
            Table(
                "The limit: openssl speed ecdsap256, one core",
                ("signs/s", "verifies/s"),
                ((signs, verifies),),
            ),
            Table("Memory, MiB", sizes, memory_rows(found, loads)),
        ),
        (
            Floor(
                f"issuing over HTTP by the better of {PEER}",
                FLOOR,
                best_ratio(loads, f"{OURS}, {ELLIPTIC}", PEER),
            ),
        ),
        (
            *found.notes,
            "The load generator runs on the same cores and takes its part of them; it is not counted.",
        ),
    )


PART = Part("issue", "Issuing over HTTP", run)
