"""Builds a witness and runs it until SIGTERM or SIGINT. It shares no state with an authority."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sealwright.clock import Clock, SystemClock
from sealwright.errors import Misconfigured
from sealwright.files import make_private_directory
from sealwright.ledger.follow import Follower, fetch_from
from sealwright.store.witness import FileWitnessStore
from sealwright.supervisor.lock import StateLock
from sealwright.wiring.servers import HttpServer, bind_tcp
from sealwright.witness.book import REFRESH, FollowedLogs
from sealwright.witness.http import application
from sealwright.witness.service import Witness
from sealwright.witness.signing import open_cosigners
from sealwright_validate.keyset import LogKey

log = logging.getLogger(__name__)
MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class WitnessSettings:
    """What one witness does. `follow` holds URLs with the root document that is pinned for each."""

    directory: Path
    name: str
    logs: Mapping[str, LogKey]
    follow: tuple[tuple[str, Path], ...]
    listen: tuple[str, int] = ("127.0.0.1", 8430)
    stale_after: float = 300.0


def address(listen: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`.

    Raises:
        Misconfigured: `bad_address`.
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port[:6]) <= MAX_PORT:
        raise Misconfigured("bad_address", f"{listen!r}: HOST:PORT is expected, a port from 1 to {MAX_PORT}")
    return host.strip("[]"), int(port)


def build(settings: WitnessSettings, clock: Clock | None = None) -> tuple[Witness, FollowedLogs]:
    """The witness and its logs; keys are made where there are none.

    Raises:
        Misconfigured: a file cannot be used.
    """
    clock = clock or SystemClock()
    cosigners = open_cosigners(settings.directory, settings.name)
    followers = [Follower(fetch_from(url), _pinned(root)) for url, root in settings.follow]
    book = FollowedLogs(settings.logs, followers, clock)
    store = FileWitnessStore(settings.directory / "logs", [cosigner.key for cosigner in cosigners])
    return Witness(cosigners, book, store, clock, settings.stale_after), book


def _pinned(root: Path) -> bytes:
    try:
        return root.read_bytes()
    except OSError as error:
        raise Misconfigured("no_root", f"the root document {root} cannot be read") from error


def serve(settings: WitnessSettings, witness: Witness, book: FollowedLogs) -> None:
    """Answer until told to stop. One process at a time: two would each cosign a tree of their own.

    Raises:
        Misconfigured: another process serves this state, or the address cannot be listened on.
    """
    run = settings.directory / "run"
    make_private_directory(run)
    with StateLock(run / "witness.pid"):
        try:
            listener = bind_tcp(*settings.listen)
        except Misconfigured as error:
            host, port = settings.listen
            raise Misconfigured(
                error.code, f"cannot listen on {host}:{port}; set another with --listen"
            ) from error
        asyncio.run(_serve(HttpServer(application(witness), listener), witness, book))


async def _serve(server: HttpServer, witness: Witness, book: FollowedLogs) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    watching = loop.create_task(_watch(witness, book))
    try:
        await server.run()
    finally:
        watching.cancel()


async def _watch(witness: Witness, book: FollowedLogs) -> None:
    """Read the log lists now and then, and say which logs went quiet."""
    told: set[str] = set()
    while True:
        await asyncio.to_thread(book.refresh)
        standings = await asyncio.to_thread(witness.standings)
        stale = {standing.origin for standing in standings if standing.stale}
        for origin in stale - told:
            log.error("a log has shown no new head", extra={"facts": {"origin": origin}})
        told = stale
        await asyncio.sleep(REFRESH)
