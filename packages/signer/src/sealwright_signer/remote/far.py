"""The far end, beside the signer: starts it for whoever proves an allowed key, and carries bytes to it.

One signer at a time, for the key that launched it. It ends when its launcher says so, when the channel stays
cut for the grace, and with this process. May never keep a signer for nobody, or serve a key that is not
allowed.
"""

import asyncio
import contextlib
import os
import secrets
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright_signer.client import Process, launch
from sealwright_signer.remote.address import Address, listener
from sealwright_signer.remote.channel import (
    HANDSHAKE,
    ChannelError,
    Stream,
    carry,
    parsed_key,
    read_frame,
    require_peer,
    serving,
    write_frame,
)

MOST_CONNECTIONS = 64
SAID = 2_000  # characters of the signer's last words at the most
LOST = (EOFError, OSError, ssl.SSLError, ChannelError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator decided; `grace` in seconds, `allowed` raw public keys as text."""

    address: Address
    allowed: Sequence[str]
    folder: Path
    collector: str
    grace: float
    modules: Sequence[str] = ()
    """Libraries of PKCS#11 tokens that a policy may name; a policy comes from another host."""


@dataclass(slots=True)
class Running:
    """A signer, who launched it, and how many hold on to it."""

    name: str
    owner: str
    process: Process
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    holders: int = 0
    last_call: asyncio.TimerHandle | None = None


def _require_allowed(policy: Any, modules: Sequence[str]) -> None:
    custody = policy.get("custody") if type(policy) is dict else None
    if type(custody) is not dict:
        raise ChannelError("a policy is needed")
    if "module" in custody and custody["module"] not in modules:
        raise ChannelError("this host does not let its signer load that module: see --module")


class Host:
    """Serves until it is cancelled."""

    def __init__(self, settings: Settings, own: Ed25519PrivateKey) -> None:
        self._settings, self._own = settings, own
        self._running: Running | None = None
        self._changing, self._open = asyncio.Lock(), 0
        self._work = set[asyncio.Task[None]]()

    async def run(self, ready: Callable[[], None]) -> None:
        """Listen, call `ready`, serve."""
        peers = [parsed_key(text) for text in self._settings.allowed]
        context = serving(self._own, peers)
        sock = listener(self._settings.address)
        server = await asyncio.start_server(
            self._connection, sock=sock, ssl=context, ssl_handshake_timeout=HANDSHAKE
        )
        ready()
        try:
            await server.serve_forever()
        finally:
            server.close()
            await self._end()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MOST_CONNECTIONS:
                owner = require_peer(writer, self._settings.allowed)
                async with asyncio.timeout(HANDSHAKE):
                    question = await read_frame(reader)
                await self._answer(owner, question, (reader, writer))
        except LOST as error:
            with contextlib.suppress(*LOST):
                await write_frame(writer, {"error": str(error) or type(error).__name__})
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, owner: str, question: dict[str, Any], stream: Stream) -> None:
        operation = question.get("op")
        if operation == "launch":
            running = await self._launch(owner, question.get("policy"))
            await self._hold(running, stream)
            return
        found = self._running
        if found is None or found.owner != owner or found.name != question.get("signer"):
            raise ChannelError("there is no such signer here any more")
        if operation == "hold":
            await self._hold(found, stream)
        elif operation == "connect":
            inner = await asyncio.open_unix_connection(found.process.socket_path)
            await write_frame(stream[1], {"ok": True})
            await carry(stream, inner)
        else:
            raise ChannelError("no such operation")

    async def _launch(self, owner: str, policy: Any) -> Running:
        _require_allowed(policy, self._settings.modules)
        async with self._changing:
            if self._running is not None:
                if self._running.owner != owner and not self._running.ended.is_set():
                    raise ChannelError("a signer of another authority runs here")
                await self._end()
            folder = self._settings.folder
            log = os.open(folder / "signer.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                process = launch(policy, folder / "signer.sock", log=log, collector=self._settings.collector)
            finally:
                os.close(log)
            self._running = running = Running(secrets.token_hex(16), owner, process)
            watched = os.pidfd_open(process.pid)
            asyncio.get_running_loop().add_reader(watched, self._gone, running, watched)
            return running

    def _gone(self, running: Running, watched: int) -> None:
        asyncio.get_running_loop().remove_reader(watched)
        os.close(watched)
        running.process.wait()
        running.process.socket_path.unlink(missing_ok=True)
        running.ended.set()

    async def _end(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            if running.last_call:
                running.last_call.cancel()
            running.process.popen.terminate()
            await running.ended.wait()

    async def _hold(self, running: Running, stream: Stream) -> None:
        reader, writer = stream
        running.holders += 1
        if running.last_call:
            running.last_call.cancel()
        await write_frame(writer, {"ok": True, "signer": running.name})
        questions = asyncio.ensure_future(self._questions(running, reader, writer))
        ending = asyncio.ensure_future(running.ended.wait())
        try:
            await asyncio.wait([questions, ending], return_when=asyncio.FIRST_COMPLETED)
            if running.ended.is_set():
                await write_frame(writer, {"ended": running.process.wait(), "said": self._last_words()})
        finally:
            for each in (questions, ending):
                each.cancel()
            await asyncio.gather(questions, ending, return_exceptions=True)
            running.holders -= 1
            if not running.holders and not running.ended.is_set():
                loop = asyncio.get_running_loop()
                running.last_call = loop.call_later(self._settings.grace, self._abandoned, running)

    async def _questions(
        self, running: Running, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            operation = (await read_frame(reader)).get("op")
            if operation == "stop":
                running.process.popen.terminate()
            elif operation == "ping":
                await write_frame(writer, {"pong": True})
            else:
                raise ChannelError("no such operation")

    def _abandoned(self, running: Running) -> None:
        if self._running is running and not running.holders:
            sys.stderr.write("nobody holds the signer any more: it is ended\n")
            task = asyncio.ensure_future(self._end())
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    def _last_words(self) -> str:
        lines = (self._settings.folder / "signer.log").read_text(errors="replace").splitlines()
        return lines[-1][:SAID] if lines else ""
