"""Issuing over HTTP, ours beside node oidc-provider and Authlib, all on this machine in interleaved rounds.

Every server stays up for the whole part and idles while another is measured. It may not compare servers that
do not do the same: an ES256 JWT access token per request, to a client that authenticated with its secret.
"""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial

from harness import machine, peers
from harness.load import CONNECTIONS, Load, Target, measure, wrk_program
from harness.model import Cell, Floor, NotMeasured, Outcome, Part, Setting, Table, median, spread
from harness.rounds import interleave, paired_ratio

FLOOR = 2.0
OPENSSL_SECONDS = 2
PEER = "oidc-provider"
OURS = "Sealwright"
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


def start(
    stack: contextlib.ExitStack,
    servers: Mapping[str, Callable[[], contextlib.AbstractContextManager[Target]]],
) -> tuple[dict[str, Target], list[str]]:
    """Start every server; the second value says which could not be started, and why."""
    targets, notes = {}, []
    for name, server in servers.items():
        try:
            targets[name] = stack.enter_context(server())
        except NotMeasured as reason:
            notes.append(f"NOT MEASURED: {name}: {reason}")
    return targets, notes


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
        ", ".join(f"{role} {cores:.2f}" for role, cores in roles.items() if cores >= 0.005),  # noqa: PLR2004 - shown as 0.01
        sum(load.samples for load in loads),
    )


def best_ratio(found: Mapping[str, list[Load]], ours: str, peer: str) -> float | None:
    """Ours by the better of the peer's cases, per round; None where either was not measured."""
    theirs = [loads for name, loads in found.items() if name.startswith(peer)]
    if ours not in found or not theirs:
        return None
    best = max(theirs, key=lambda loads: median([load.rate for load in loads]))
    return paired_ratio([load.rate for load in found[ours]], [load.rate for load in best])


def named(server: str, processes: int) -> str:
    """The name of one case."""
    return f"{server}, {processes} {'process' if processes == 1 else 'processes'}"


def servers(
    setting: Setting,
) -> tuple[dict[str, Callable[[], contextlib.AbstractContextManager[Target]]], list[str]]:
    """What can be started here, by name, and notes about what cannot or how it runs."""
    found: dict[str, Callable[[], contextlib.AbstractContextManager[Target]]] = {}
    notes = []
    processes = (1,) if setting.quick else (1, 2)
    try:
        notes.append(
            f"{peers.install_oidc_provider()}, NODE_ENV=production, its in-memory adapter, JWT access tokens."
        )
        for count in processes:
            found[named(PEER, count)] = partial(peers.oidc_provider, setting.scratch, count)
    except NotMeasured as reason:
        notes.append(f"NOT MEASURED: {PEER}: {reason}")
    for count in processes:
        found[named("Authlib on FastAPI", count)] = partial(peers.authlib, setting.scratch, count)
    notes.append(f"NOT MEASURED: {OURS}: it does not serve yet.")
    return found, notes


def run(setting: Setting) -> Outcome:
    """Measure every server that can be started here."""
    wrk_program()
    rounds, seconds = (1, 2) if setting.quick else (3, 6)
    startable, notes = servers(setting)
    limits: list[tuple[float, float]] = []
    with contextlib.ExitStack() as stack:
        targets, missing = start(stack, startable)
        for name, target in targets.items():
            setting.say(f"warming up: {name}")
            measure(target, 1 if setting.quick else 3)

        def limit() -> None:
            limits.append(machine.openssl_speed("ecdsap256", 1 if setting.quick else OPENSSL_SECONDS))

        cases: dict[str, Callable[[], Load | None]] = {
            name: partial(measure, target, seconds) for name, target in targets.items()
        }
        found = interleave({**cases, "openssl speed": limit}, rounds, setting.say)
    loads = {name: [load for load in found[name] if load] for name in targets}
    return Outcome(
        (
            Table(
                f"Token endpoint, ES256, client_secret_basic, {CONNECTIONS} connections",
                COLUMNS,
                tuple(row(*pair) for pair in loads.items()),
            ),
            Table(
                "The limit: openssl speed ecdsap256, one core",
                ("signs/s", "verifies/s"),
                ((median([signs for signs, _ in limits]), median([verifies for _, verifies in limits])),),
            ),
        ),
        (Floor(f"issuing over HTTP by the better of {PEER}", FLOOR, best_ratio(loads, OURS, PEER)),),
        (*notes, *missing, "wrk runs on the same cores and takes its part of them; it is not counted."),
    )


PART = Part("issue", "Issuing over HTTP", run)
