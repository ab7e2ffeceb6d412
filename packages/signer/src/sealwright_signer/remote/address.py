"""Where the far end of a channel listens: `tls://host:port`, or `vsock://cid:port` in a virtual machine.

TLS is spoken on both. May never look up or open anything that the address does not name.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from sealwright_signer.remote.channel import ChannelError

CONNECT = 10.0  # seconds
ANY = "any"
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}  # seconds, seconds, times


@dataclass(frozen=True, slots=True)
class Address:
    """A checked address; for vsock `host` is the decimal context id, or `any` to listen on."""

    kind: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}"


def parsed_address(unverified: str) -> Address:
    """The address; ChannelError when it is none."""
    wrong = ChannelError(f"{unverified[:80]!r} is no address: tls://host:port or vsock://cid:port")
    try:
        parts = urlsplit(unverified)
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        raise wrong from None
    bare = not (parts.path or parts.query or parts.fragment or parts.username is not None)
    if parts.scheme not in ("tls", "vsock") or not (host and port and bare):
        raise wrong
    if parts.scheme == "vsock" and host != ANY and not (host.isascii() and host.isdigit()):
        raise wrong
    return Address(parts.scheme, host, port)


def _vsock() -> socket.socket:
    if not hasattr(socket, "AF_VSOCK"):
        raise ChannelError("this platform has no vsock")
    return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)


def listener(address: Address) -> socket.socket:
    """A listening socket; ChannelError with the reason."""
    try:
        if address.kind == "tls":
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            return socket.create_server((address.host, address.port), family=family, backlog=64)
        with _closing_on_error(_vsock()) as sock:
            sock.bind((socket.VMADDR_CID_ANY if address.host == ANY else int(address.host), address.port))
            sock.listen(64)
            return sock
    except OSError as error:
        raise ChannelError(f"cannot listen on {address}: {error.strerror or error}") from None


@contextlib.contextmanager
def _closing_on_error(sock: socket.socket) -> Iterator[socket.socket]:
    with contextlib.ExitStack() as stack:
        stack.callback(sock.close)
        yield sock
        stack.pop_all()


async def connected(address: Address) -> socket.socket:
    """A connected socket; ChannelError with the reason."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT):
            if address.kind == "vsock":
                made, place = _vsock(), (int(address.host), address.port)
            else:
                found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
                made, place = socket.socket(found[0][0], socket.SOCK_STREAM), found[0][4]  # type: ignore[assignment] # as the family has it
            with _closing_on_error(made) as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, place)
                if address.kind == "tls":
                    _keep_alive(sock)
                return sock
    except TimeoutError:
        raise ChannelError(f"cannot reach {address}: no answer in {CONNECT:.0f} s") from None
    except (OSError, ValueError) as error:
        raise ChannelError(f"cannot reach {address}: {getattr(error, 'strerror', None) or error}") from None


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
