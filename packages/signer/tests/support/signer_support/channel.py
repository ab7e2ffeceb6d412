"""A far end on loopback, and what may stand between it and the near end: it records, cuts and changes."""

import asyncio
import contextlib
import os
import select
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sealwright_signer.remote.channel import key_text, open_key
from signer_support.ports import reserved_port

START = 60.0
"""Seconds; far beyond what a start takes."""


def key_of(folder: Path) -> str:
    """The raw public key of the channel key in a folder, which is made when there is none."""
    return key_text(open_key(folder / "channel.pem").public_key())


@dataclass(frozen=True, slots=True)
class Far:
    """A running far end."""

    process: subprocess.Popen[bytes]
    port: int
    key: str
    folder: Path

    def stop(self) -> None:
        """End it in order; its signer ends with it."""
        self.process.terminate()
        self.process.wait(START)
        if self.process.stdout:
            self.process.stdout.close()


def start_far(
    folder: Path,
    allowed: list[str],
    grace: float = 60.0,
    listen: str = "tls://127.0.0.1",
    port: int | None = None,
) -> Far:
    """A far end, on a free port if none is named; `folder` has a short path, for a socket is in it."""
    words = [sys.executable, "-I", "-m", "sealwright_signer.remote", "serve"]
    allow = [word for key in allowed for word in ("--allow", key)]
    process = subprocess.Popen(
        [
            *words,
            "--listen",
            f"{listen}:{port or reserved_port()}",
            *allow,
            "--state",
            str(folder),
            "--grace",
            str(grace),
        ],
        env={"PATH": os.defpath},
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    ready, _, _ = select.select([process.stdout], [], [], START)
    said = process.stdout.readline().decode() if ready else ""
    assert said.startswith("serving "), said
    address, _, key = said.removeprefix("serving ").strip().partition("#")
    return Far(process, int(address.rpartition(":")[2]), key, folder)


@dataclass(slots=True)
class Between:
    """Carries bytes to a port and back, as somebody on the network could."""

    target: int
    port: int = 0
    sent: list[bytes] = field(default_factory=list)
    """What each connection sent towards the far end."""
    answers_left: int | None = None
    """Bytes of answers that still pass before everything is cut; None: all."""
    flip_next: bool = False
    refusing: bool = False
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Cut every connection, and let no new one through."""
        self.refusing = True
        for writer in list(self.writers):
            writer.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if self.refusing:
            writer.transport.abort()
            return
        onward = await asyncio.open_connection("127.0.0.1", self.target)
        self.sent.append(b"")
        mine = {writer, onward[1]}
        self.writers |= mine
        place = len(self.sent) - 1
        flows = [self._asked(reader, onward[1], place), self._answered(onward[0], writer)]
        with contextlib.suppress(OSError):
            await asyncio.wait(map(asyncio.ensure_future, flows), return_when=asyncio.FIRST_COMPLETED)
        for each in mine:
            each.transport.abort()
        self.writers -= mine

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: int) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                self.sent[place] += data
                writer.write(data)
                await writer.drain()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.flip_next:
                    self.flip_next, data = False, data[:-1] + bytes([data[-1] ^ 1])
                if self.answers_left is not None:
                    passing = data[: self.answers_left]
                    self.answers_left -= len(passing)
                    writer.write(passing)
                    await writer.drain()
                    if not self.answers_left:
                        self.cut()
                        return
                    continue
                writer.write(data)
                await writer.drain()


@contextlib.asynccontextmanager
async def between(target: int) -> AsyncIterator[Between]:
    """Somebody on the network in front of a port."""
    made = Between(target)
    server = await asyncio.start_server(made.carry, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.cut()
        server.close()


def require_vsock_loopback() -> None:
    """Skip, saying so, unless this kernel carries vsock to itself (module vsock_loopback)."""
    try:
        with socket.socket(socket.AF_VSOCK) as listener, socket.socket(socket.AF_VSOCK) as caller:
            listener.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
            listener.listen(1)
            caller.settimeout(3)
            caller.connect((1, listener.getsockname()[1]))
    except (OSError, AttributeError) as error:
        pytest.skip(
            f"NO VSOCK LOOPBACK IN THIS KERNEL ({error}): modprobe vsock_loopback; vsock was not tried"
        )
