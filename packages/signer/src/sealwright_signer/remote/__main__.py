"""`sealwright-signer-host`: lets an authority on another host have a signer here.

`serve` is that host's program; `key` prints the raw public key by which the other side knows this one;
`reach` is started by the authority's supervisor. May never read its environment.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright_signer import __version__
from sealwright_signer.kernel import prctl
from sealwright_signer.remote.address import parsed_address
from sealwright_signer.remote.channel import ChannelError, key_text, open_key, parsed_key

EX_CONFIG, EX_UNAVAILABLE = 78, 69  # sysexits.h


def _own_key(folder: Path) -> Ed25519PrivateKey:
    try:
        return open_key(folder / "channel.pem")
    except OSError as error:
        raise ChannelError(f"cannot use the folder {folder}: {error.strerror}") from error


def _key(options: argparse.Namespace) -> int:
    sys.stdout.write(key_text(_own_key(options.state).public_key()) + "\n")
    return 0


def _serve(options: argparse.Namespace) -> int:
    from sealwright_signer.remote.far import Host, Settings

    for text in options.allow:
        parsed_key(text)
    address, folder = parsed_address(options.listen), options.state.resolve()
    own = _own_key(folder)
    settings = Settings(address, options.allow, folder, options.collector, options.grace, options.module)

    def ready() -> None:
        sys.stdout.write(f"serving {address}#{key_text(own.public_key())}\n")
        sys.stdout.flush()

    async def run() -> None:
        serving = asyncio.ensure_future(Host(settings, own).run(ready))
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, serving.cancel)
        try:
            await serving
        except asyncio.CancelledError:
            return

    asyncio.run(run())
    return 0


def _reach(options: argparse.Namespace) -> int:
    from sealwright_signer.remote.near import Far, reach

    prctl(1, signal.SIGTERM)  # ends with the supervisor, and tells the far end so
    far = Far(parsed_address(options.address), options.peer, open_key(options.key), options.patience)
    parsed_key(far.peer)
    with os.fdopen(options.policy_fd, "rb") as source:
        policy = source.read()
    why = asyncio.run(reach(far, socket.socket(fileno=options.listen_fd), policy))
    if why:
        sys.stderr.write(f"remote signer: {why}\n")
    return EX_UNAVAILABLE if why else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("sealwright-signer-host", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    key = commands.add_parser("key", help="print this host's raw public key, and make it when there is none")
    key.set_defaults(run=_key)
    serve = commands.add_parser("serve", help="serve an authority on another host")
    serve.set_defaults(run=_serve)
    serve.add_argument("--listen", required=True, help="tls://host:port or vsock://any:port")
    serve.add_argument("--allow", required=True, action="append", help="raw public key of an authority")
    serve.add_argument("--collector", default="none", help="how evidence is collected: name or name:/path")
    serve.add_argument("--grace", type=float, default=60.0, help="seconds that a signer outlives its channel")
    serve.add_argument(
        "--module", action="append", default=[], help="PKCS#11 library that custody may use (none by default)"
    )
    for command in (key, serve):
        command.add_argument("--state", type=Path, required=True, help="a folder of this program's own")
    reach = commands.add_parser("reach", help="have a signer over there (started by the supervisor)")
    reach.set_defaults(run=_reach)
    for name in ("--address", "--peer"):
        reach.add_argument(name, required=True)
    reach.add_argument("--key", type=Path, required=True)
    reach.add_argument("--patience", type=float, default=30.0, help="seconds that the channel may stay cut")
    for name in ("--listen-fd", "--policy-fd"):
        reach.add_argument(name, type=int, required=True)
    reach.add_argument("--collector", help="not used: the far end knows how evidence is collected there")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    options = _parser().parse_args(argv)
    try:
        status: int = options.run(options)
    except ChannelError as error:
        sys.stderr.write(f"{error}\n")
        return EX_CONFIG
    return status


if __name__ == "__main__":
    sys.exit(main())
