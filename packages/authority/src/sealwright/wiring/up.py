"""Puts the supervisor's process together: root of trust, admission, signers, the authority and the demo as
children.

Holds the admission key while it runs, so it reads from no network: it keeps the authority's listening socket
over restarts and never accepts from it (ADR 0015). May never hand a key to a child.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from sealwright.admin.service import Auditor
from sealwright.admission.keeper import PolicyKeeper
from sealwright.admission.trust import RootOfTrust, open_root_of_trust
from sealwright.clock import Clock, SystemClock
from sealwright.config import (
    Config,
    child_environment,
    environment,
    signer_policy,
    write_effective,
)
from sealwright.demo.clients import Credentials, register_demo_clients
from sealwright.errors import Misconfigured, Unavailable
from sealwright.files import make_private_directory
from sealwright.logs import write_json_logs
from sealwright.store.admin import SqlApprovalStore, SqlAuditStore
from sealwright.store.admission import SqlAdmissionStore
from sealwright.store.clients import SqlClientStore
from sealwright.store.db import open_state
from sealwright.store.keys import SqlKeyStore
from sealwright.store.standing import SqlStandingStore
from sealwright.supervisor.child import HttpChild
from sealwright.supervisor.lock import StateLock
from sealwright.supervisor.model import Address, Program
from sealwright.supervisor.ports import Part, Reporter, SignerLauncher
from sealwright.supervisor.service import Supervisor
from sealwright.supervisor.signer_process import ClientSignerLauncher
from sealwright.supervisor.signers import SignerPart, SignersFile
from sealwright.wiring import startcheck
from sealwright.wiring.admission import admitting
from sealwright_signer.client import reach_command
from sealwright_signer.remote.channel import open_key

EFFECTIVE = "config.json"
CHANNEL_KEY = "channel/channel.pem"
DIRECTORIES = ("run", "log", "ledger")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is ready before anything starts."""

    root: RootOfTrust
    made: list[Credentials]
    """Demo clients whose secrets were made now."""


OnReady = Callable[[Prepared], None]


def supervise(
    config: Config,
    reporter: Reporter,
    stop: threading.Event,
    on_ready: OnReady,
    launcher: SignerLauncher | None = None,
    recheck: Callable[[], int] = lambda: 0,
    rolls: Callable[[], int] = lambda: 0,
) -> None:
    """Run everything until `stop` is set. Call it on the main thread: signers end with the thread that made
    them.

    Args:
        config: a configuration that may run.
        reporter: who is told what happens.
        stop: set it to end everything in order.
        on_ready: called once when everything serves.
        launcher: starts signers; the ordinary ones when None.
        recheck: how often people asked so far that every signer prove itself now.
        rolls: how often they asked for a rolling restart of signers and authority.

    Raises:
        Misconfigured: the state cannot be served, a port is taken, another supervisor runs.
        Unavailable: a part did not start.
    """
    state, clock = config.state.path, SystemClock()
    make_private_directory(state)
    for name in DIRECTORIES:
        make_private_directory(state / name)
    with StateLock(state / "run" / "up.pid"):
        write_json_logs("up", config.log.level, state / "log" / "up.jsonl")
        try:
            parts, prepared, keeper = _assemble(config, clock, launcher, recheck)
            rolling = [part.name for part in parts if part.name.startswith(("signer-", "authority"))]
            supervisor = Supervisor(parts, reporter, time.monotonic, _spare(config), rolls, rolling)
            if keeper is not None:
                supervisor.beside(keeper.look)
            supervisor.run(stop, lambda: on_ready(prepared))
        finally:
            for name in (EFFECTIVE, "signers.json"):
                (state / "run" / name).unlink(missing_ok=True)


def _assemble(
    config: Config, clock: Clock, launcher: SignerLauncher | None, recheck: Callable[[], int]
) -> tuple[list[Part], Prepared, PolicyKeeper | None]:
    state = config.state.path
    engine = open_state(state)
    if SqlAdmissionStore(engine).ever() and not (state / "trust" / "root.json").is_file():
        raise Misconfigured(
            "root_lost",
            f"{state / 'trust'} is gone, and validators have pinned its root: restore it from a backup. "
            "To give every relying party a new root instead, start with a new state directory.",
        )
    newest = SqlKeyStore(engine).latest_manifest()
    startcheck.require_plausible_clock(clock.now(), newest.issued_at if newest else 0)
    root = open_root_of_trust(state / "trust", clock.now())
    made = (
        register_demo_clients(config, SqlClientStore(engine), state / "demo") if config.demo.enabled else []
    )
    auditor = Auditor(SqlAuditStore(engine), clock)
    stores = SqlAdmissionStore(engine), SqlStandingStore(engine), SqlApprovalStore(engine)
    admitter, keeper = admitting(config, root, stores, partial(_write_down, auditor), clock)
    admitter.close_left_over()
    write_effective(config, state / "run" / EFFECTIVE)
    policy = _policy_maker(config, root, SqlKeyStore(engine))
    file = SignersFile(state / "run" / "signers.json")
    asked = recheck if keeper is None else lambda: recheck() + keeper.changes
    signers: list[Part] = [
        SignerPart(
            slot, start, policy, admitter, file, state / "log" / f"signer-{slot}.log", time.monotonic, asked
        )
        for slot, start in enumerate(_launchers(config, launcher))
    ]
    return [*signers, *_programs(config, state)], Prepared(root, made), keeper


def _write_down(auditor: Auditor, action: str, subject: str, details: dict[str, Any]) -> None:
    auditor.write("system:supervisor", action, subject, details)


def _launchers(config: Config, launcher: SignerLauncher | None) -> list[SignerLauncher]:
    """What starts each signer: those here first, then those on other hosts."""
    run, logs = (config.state.path / name for name in ("run", "log"))
    here = launcher or ClientSignerLauncher(run, logs, collector=config.admission.collector)
    key = config.state.path / CHANNEL_KEY
    if config.signers.remote:
        open_key(key)  # two near ends that start together must not make it both
    parted = [text.partition("#") for text in config.signers.remote]
    programs = [reach_command(address, peer, key) for address, _, peer in parted]
    elsewhere = [ClientSignerLauncher(run, logs, program, elsewhere=True) for program in programs]
    return [*[here] * config.signers.count, *elsewhere]


def _spare(config: Config) -> list[str]:
    """The signers elsewhere, where there is one here: a host that is away keeps nothing from starting."""
    count = config.signers.count
    return [f"signer-{count + place}" for place in range(len(config.signers.remote))] if count else []


def _policy_maker(config: Config, root: RootOfTrust, keys: SqlKeyStore) -> Callable[[], dict[str, Any]]:
    """Every incarnation gets the floor of its own start: it never signs a manifest that was superseded
    before.
    """

    def make() -> dict[str, Any]:
        try:
            latest = keys.latest_manifest()
        except SQLAlchemyError as error:
            text = "the state database cannot be read now"
            raise Unavailable("store_unavailable", text, str(error)) from error
        return signer_policy(config, root.admission_keys, latest.version if latest else 0)

    return make


def _programs(config: Config, state: Path) -> Sequence[Part]:
    effective = ("--effective", str(state / "run" / EFFECTIVE))
    passed_on = child_environment(environment())
    listening = Address(config.server.host, config.server.port, "server.port")
    programs = [
        Program(
            "authority",
            ("authority", *effective),
            state / "log" / "authority.jsonl",
            listening,
            "/manifest",
            held=True,
        )
    ]
    if config.demo.enabled:
        ports = {"guarded": config.demo.guarded_port, "ordinary": config.demo.ordinary_port}
        programs += [
            Program(
                f"demo-{guard}",
                ("demo-rp", guard, *effective),
                state / "log" / f"demo-{guard}.jsonl",
                Address("127.0.0.1", port, f"demo.{guard}_port"),
                "/healthz",
            )
            for guard, port in ports.items()
        ]
    return [HttpChild(program, passed_on) for program in programs]
