"""The near end, beside the authority: has the far end start a signer, and serves its socket here.

Started as a signer is started (a listening Unix socket, a policy), so that nobody else needs to know that the
signer is elsewhere. It ends when the signer has ended, or cannot be reached for the patience. May never
answer for a signer.
"""

import asyncio
import contextlib
import json
import signal
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright_signer.client import READY
from sealwright_signer.remote.address import Address, connected
from sealwright_signer.remote.channel import (
    ANSWER,
    HANDSHAKE,
    ChannelError,
    Stream,
    calling,
    carry,
    key_text,
    parsed_key,
    read_frame,
    require_peer,
    write_frame,
)

PING, SILENCE, PAUSE, FAREWELL = 3.0, 10.0, 0.5, 3.0  # seconds
LOST = (EOFError, OSError, ssl.SSLError, TimeoutError)


class SignerEnded(Exception):
    """The signer over there has ended; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Far:
    """Where the far end is, the key that it must prove, and ours."""

    address: Address
    peer: str
    own: Ed25519PrivateKey
    patience: float = 30.0
    """Seconds that a channel may stay cut."""

    async def call(self, question: dict[str, Any]) -> tuple[Stream, dict[str, Any]]:
        """A new connection and the answer to its first frame.

        ChannelError when the far end refuses, or is not who it should be; any of LOST when it is not there.
        """
        sock = await connected(self.address)
        reader, writer = await asyncio.open_connection(
            sock=sock,
            ssl=calling(self.own, parsed_key(self.peer)),
            server_hostname="sealwright",
            ssl_handshake_timeout=HANDSHAKE,
        )
        try:
            require_peer(writer, [self.peer])
            await write_frame(writer, question)
            async with asyncio.timeout(ANSWER):
                answer = await read_frame(reader)
            _require_ok(answer, self.address)
        except BaseException:
            writer.transport.abort()
            raise
        return (reader, writer), answer


async def _ping(writer: asyncio.StreamWriter) -> None:
    while True:
        await write_frame(writer, {"op": "ping"})
        await asyncio.sleep(PING)


def _require_ok(answer: dict[str, Any], address: Address) -> None:
    if "ok" not in answer:
        raise ChannelError(f"{address} refuses: {str(answer.get('error'))[:200]}")


class Near:
    """One signer over there, as a socket here."""

    def __init__(self, far: Far, listener: socket.socket) -> None:
        self._far, self._listener, self._name = far, listener, ""
        self._carried = set[asyncio.Task[None]]()

    async def run(self, policy: dict[str, Any]) -> None:
        """Serve until the signer ends (SignerEnded), is out of reach (ChannelError), or this is cancelled."""
        held, answer = await self._far.call({"op": "launch", "policy": policy})
        self._name = answer["signer"]
        server = await asyncio.start_unix_server(self._accepted, sock=self._listener)
        try:
            self._say(reachable=True)
            while True:
                try:
                    await self._hold(held)
                except LOST:
                    sys.stderr.write("the channel to the signer is cut\n")
                for task in self._carried:
                    task.cancel()
                held = await self._again()
        except asyncio.CancelledError:
            with contextlib.suppress(*LOST, ChannelError):
                async with asyncio.timeout(FAREWELL):
                    await write_frame(held[1], {"op": "stop"})
                    while "ended" not in await read_frame(held[0]):
                        pass
            raise
        finally:
            self._say(reachable=False)
            server.close()
            held[1].transport.abort()

    def _say(self, *, reachable: bool) -> None:
        ready = Path(self._listener.getsockname() + READY)
        if reachable:
            ready.touch()
        else:
            ready.unlink(missing_ok=True)

    async def _hold(self, held: Stream) -> None:
        """Return never: the end of the signer, and silence, are exceptions."""
        pinging = asyncio.ensure_future(_ping(held[1]))
        try:
            while True:
                async with asyncio.timeout(SILENCE):
                    frame = await read_frame(held[0])
                if "ended" in frame:
                    raise SignerEnded(f"it ended over there ({frame['ended']}): {frame.get('said')}")
        finally:
            pinging.cancel()
            await asyncio.gather(pinging, return_exceptions=True)

    async def _again(self) -> Stream:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._far.patience
        while True:
            try:
                held, _ = await self._far.call({"op": "hold", "signer": self._name})
            except LOST as error:
                reason = str(error) or type(error).__name__
            except ChannelError as error:
                if "cannot reach" not in str(error):
                    raise
                reason = str(error)
            else:
                sys.stderr.write("the channel to the signer is back\n")
                return held
            if loop.time() > until:
                raise ChannelError(f"the signer was out of reach for {self._far.patience:.0f} s: {reason}")
            await asyncio.sleep(PAUSE)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._carried.add(task)
            task.add_done_callback(self._carried.discard)
        try:
            outer, _ = await self._far.call({"op": "connect", "signer": self._name})
            await carry((reader, writer), outer)
        except (*LOST, ChannelError) as error:
            sys.stderr.write(f"a connection was not carried: {error}\n")
        finally:
            writer.transport.abort()


async def reach(far: Far, listener: socket.socket, policy_text: bytes) -> str:
    """Run until the end; why it ended, empty when it was asked to."""
    try:
        policy = json.loads(policy_text)
        near = asyncio.ensure_future(Near(far, listener).run(policy))
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, near.cancel)
        await near
    except asyncio.CancelledError:
        return ""
    except SignerEnded as ended:
        return str(ended)
    except ChannelError as error:
        return str(error)
    except LOST as error:
        key = key_text(far.own.public_key())
        text = f"{far.address} is not the host with the key {far.peer}, or does not allow ours, {key}"
        return f"{text} ({error})"
    return "it ended unasked"
