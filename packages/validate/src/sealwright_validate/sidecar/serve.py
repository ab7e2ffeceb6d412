"""Runs the sidecar until it is told to stop.

May never start without keys being asked for, and never stop without what waits to be reported being sent or
spooled.
"""

import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Final

from sealwright_validate.sidecar.service import Service
from sealwright_validate.sidecar.settings import Settings
from sealwright_validate.sidecar.wire import Connection

_BACKLOG: Final = 1024
_LOG: Final = logging.getLogger("sealwright_validate")


async def serve(settings: Settings) -> None:
    """Listen and answer until SIGINT or SIGTERM."""
    service = Service(settings)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if settings.path:
        server = await loop.create_unix_server(
            lambda: Connection(service.handle), settings.path, backlog=_BACKLOG
        )
        where = f"unix:{settings.path}"
    else:
        server = await loop.create_server(
            lambda: Connection(service.handle), settings.host, settings.port, backlog=_BACKLOG
        )
        where = "{}:{}".format(*server.sockets[0].getsockname()[:2])
    sys.stdout.write(f"sealwright-validate listens on {where} for {', '.join(sorted(settings.policies))}\n")
    sys.stdout.flush()
    starting = loop.run_in_executor(None, service.validator.start)
    await stopped.wait()
    server.close()
    await starting
    await asyncio.to_thread(service.validator.close)
    _LOG.info("stopped")


def run(settings: Settings) -> int:
    """Serve; returns the exit status."""
    if settings.path:
        Path(settings.path).unlink(missing_ok=True)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    asyncio.run(serve(settings))
    return 0
