"""Runs one authority process until it is told to stop.

The process holds no private key: it never opens `trust/*.key`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from sealwright.clock import Clock, SystemClock
from sealwright.config import Config
from sealwright.errors import SealwrightError, Unavailable
from sealwright.logs import keep_small
from sealwright.wiring import startcheck
from sealwright.wiring.admin import admin_app
from sealwright.wiring.authority import Authority
from sealwright.wiring.keeping import Keeping
from sealwright.wiring.policy import state_policy
from sealwright.wiring.servers import HttpServer, bind_tcp, bind_unix
from sealwright.wiring.vouched import set_baseline

log = logging.getLogger(__name__)
CHECK_AGAIN = 60.0
"""Seconds until the check of the ledger is tried again, where cold storage did not answer."""
TICK = 1.0
"""Seconds between looks at what is due for keys and manifest."""


def serve(config: Config, listener: int | None = None) -> None:
    """Serve the public routes on `config.server` and the admin routes on `run/admin.sock` until SIGTERM or
    SIGINT.

    Raises:
        Misconfigured: port in use, state that cannot be served.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(run(config, SystemClock(), listener=listener))


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # not on every platform; asyncio's own loop is slower, not different
        return None
    return uvloop.new_event_loop


async def run(config: Config, clock: Clock, tick: float = TICK, *, listener: int | None = None) -> None:
    """The same within an event loop; `tick` is how often (seconds) keys are looked after, `listener` the
    descriptor of a socket that listens already and outlives this process.
    """
    state = config.state.path
    server = config.server
    public_socket = bind_tcp(server.host, server.port) if listener is None else socket.socket(fileno=listener)
    admin_socket = bind_unix(state / "run" / "admin.sock")
    authority = Authority.build(config, clock)
    small = _checked(authority, state / "ledger", clock)
    public = HttpServer(authority.public_app(config, clock), public_socket, authority.token_endpoint())
    admin = HttpServer(admin_app(authority, config, clock), admin_socket)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    authority.publisher.start()
    background = [
        loop.create_task(work, name=name)
        for name, work in _background(authority, stopping, config, clock, tick, check=not small).items()
    ]
    servers = [loop.create_task(server.run()) for server in (public, admin)]
    log.info("authority serving", extra={"facts": {"url": config.server.url}})
    try:
        await _until_stopped(stopping, [*background, *servers])
    finally:
        await _let_go(authority, public)
        public.stop()
        admin.stop()
        await asyncio.gather(*servers, return_exceptions=True)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await asyncio.to_thread(authority.publisher.stop)
        (state / "run" / "admin.sock").unlink(missing_ok=True)
    log.info("authority stopped")


async def _let_go(authority: Authority, public: HttpServer) -> None:
    """Send those away who wait for news: the servers would wait for them until their patience is over."""
    authority.manifests.close()
    authority.alarms.close()
    authority.answers.transmitter.wake()
    await public.drain()


def _checked(authority: Authority, ledger: Path, clock: Clock) -> bool:
    """See `startcheck.before_serving`; then which leaves were there before is written down."""
    stores = authority.stores
    newest = stores.keys.latest_manifest()
    small = startcheck.before_serving(stores.ledger, newest, ledger, clock.now(), authority.files.cold)
    set_baseline(authority.auditor, stores.audit, stores.ledger)
    return small


def _background(
    authority: Authority, stopping: asyncio.Event, config: Config, clock: Clock, tick: float, *, check: bool
) -> dict[str, Coroutine[Any, Any, None]]:
    return (
        {
            "signers": authority.signers.run(),
            "detector": authority.detector.run(),
            "key watch": authority.keywatch.run(),
            "audit trail": authority.trail.run(),
            "keys": _tick(authority.keys.tick, "keys not up to date", stopping, tick),
            "policy": state_policy(authority, config, stopping),
            "logs": _tick(keep_small, "log not moved aside", stopping, tick),
            "retention": Keeping(config, clock, authority.stores, authority.auditor).run(),
            "log list": _tick(authority.lists.keep, "log list not up to date", stopping, tick),
        }
        | authority.answers.background()
        | ({"transport": authority.transport.run()} if authority.transport is not None else {})
        | ({"start check": _check(authority, config, stopping)} if check else {})
    )


async def _check(authority: Authority, config: Config, stopping: asyncio.Event) -> None:
    ledger = config.state.path / "ledger"
    while not stopping.is_set():
        try:
            await asyncio.to_thread(
                startcheck.require_sound, authority.stores.ledger, ledger, authority.files.cold
            )
        except Unavailable as error:
            log.warning("the ledger is not checked yet", extra={"facts": {"detail": str(error)}})
            await asyncio.sleep(CHECK_AGAIN)
        else:
            await stopping.wait()


async def _until_stopped(stopping: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Return when asked to stop; raise when a part ended by itself, so that the supervisor starts us anew."""
    stop = asyncio.get_running_loop().create_task(stopping.wait())
    done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
    if stop not in done:
        stop.cancel()
        for task in done:
            task.result()


async def _tick(
    work: Callable[[], Awaitable[object]], failed: str, stopping: asyncio.Event, interval: float
) -> None:
    while not stopping.is_set():
        try:
            await work()
        except (SealwrightError, OSError) as error:
            log.warning(failed, extra={"facts": {"detail": str(error)}})
        await asyncio.sleep(interval)
