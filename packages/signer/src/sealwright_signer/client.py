"""The authority's side of the signer protocol: starts a signer process and talks to it.

Runs outside the signer. May never see a private key: the protocol has no way to ask for one.
"""

import asyncio
import binascii
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import cryptography

_BOOT = """import sys
i = sys.argv.index("--listen-fd")
sys.path += sys.argv[1:i]
from sealwright_signer.__main__ import main
sys.exit(main(sys.argv[i:]))"""

_REACH = """import sys
i = sys.argv.index("--")
sys.path += sys.argv[1:i]
from sealwright_signer.remote.__main__ import main
sys.exit(main(sys.argv[i + 1:]))"""

READY = ".ready"
"""What is put behind the name of a socket while a signer on another host can be reached at it."""


class SignerRefused(Exception):
    """The signer refused: `code` is one of the protocol's refusal codes, `message` is safe to show."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


class SignerGone(Exception):
    """The connection ended; what was asked may or may not have happened: `hello` on a new one tells."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Leaves from index `first` on, and a checkpoint that covers them."""

    first: int
    leaves: list[bytes]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Hello:
    """Who the incarnation is; members as in the protocol page."""

    log_id: str
    origin: str
    jwk: dict[str, str]
    vkey: str
    size: int
    acked: int
    checkpoint: str
    pending: list[Batch]
    keys: list[dict[str, Any]]
    policy_digest: str
    isolation: list[dict[str, str]]
    custody: str
    started_at: int


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new staged key, its announcement (JWS), and the index of the announcement's leaf."""

    kid: str
    announcement: str
    ledger_index: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class Process:
    """A running signer. It ends when the thread that launched it ends (PR_SET_PDEATHSIG)."""

    popen: subprocess.Popen[bytes]
    socket_path: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    def wait(self, timeout: float | None = None) -> int:
        """Exit status once it has ended; subprocess.TimeoutExpired when it has not in `timeout` s."""
        return self.popen.wait(timeout)

    def terminate(self, timeout: float = 5.0) -> int:
        """End it, by force after `timeout` seconds, and remove its socket; the exit status."""
        self.popen.terminate()
        try:
            status = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            status = self.popen.wait()
        self.socket_path.unlink(missing_ok=True)
        return status


def command() -> list[str]:
    """Isolated Python (`-I -S`) whose path has two directories: ours and that of `cryptography`."""
    homes = dict.fromkeys(
        str(Path(file).resolve().parent.parent) for file in (__file__, cryptography.__file__)
    )
    return [sys.executable, "-I", "-S", "-c", _BOOT, *homes]


def reach_command(address: str, peer: str, key: Path) -> list[str]:
    """What `launch` starts instead of a signer to have one on another host (docs/remote-signers.md).

    `address` and the raw public key `peer` are the far end's; `key` is the file of this side's channel key.
    """
    homes = command()[5:]
    return [
        *command()[:4],
        _REACH,
        *homes,
        "--",
        "reach",
        "--address",
        address,
        "--peer",
        peer,
        "--key",
        str(key),
    ]


def launch(
    policy: Mapping[str, Any],
    socket_path: Path,
    *,
    log: IO[Any] | int,
    program: Sequence[str] | None = None,
    collector: str = "none",
) -> Process:
    """Start a signer that listens on `socket_path`; it serves as soon as it has started.

    `log` takes its standard error. `program` replaces the interpreter and its paths (drills bring their own).
    `collector` is how it gets evidence of itself, `name` or `name:/path`.
    """
    socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    socket_path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, os.fdopen(os.memfd_create("policy"), "w+b") as document:
        listener.bind(str(socket_path))
        socket_path.chmod(0o600)
        listener.listen(16)
        document.write(json.dumps(policy).encode())
        document.seek(0)
        inherited = listener.fileno(), document.fileno()
        argv = [*(program or command()), "--listen-fd", str(inherited[0]), "--policy-fd", str(inherited[1])]
        argv += ["--collector", collector]
        apart = {"env": dict[str, str](), "cwd": "/", "start_new_session": True, "stdin": subprocess.DEVNULL}
        popen = subprocess.Popen(argv, pass_fds=inherited, stdout=log, stderr=log, **apart)  # type: ignore[call-overload]
    return Process(popen, socket_path)


HEAD = 4  # bytes of a frame's length
Signed = tuple[list[str | dict[str, str]], Batch | None]
Codec = tuple[Callable[[bytes], Any], Callable[[Any], bytes]]


def _dumps(value: object) -> bytes:
    return json.dumps(value).encode()


def _batch(members: Mapping[str, Any]) -> Batch:
    return Batch(members["first"], list(map(binascii.a2b_base64, members["leaves"])), members["checkpoint"])


class _Wire(asyncio.Protocol):
    """Cuts what arrives into frames."""

    def __init__(self, answered: Callable[[bytes], None], gone: asyncio.Future[None]) -> None:
        self._answered, self._gone, self._unread = answered, gone, bytearray()

    def data_received(self, data: bytes) -> None:
        """Hand on every frame that is complete."""
        self._unread += data
        while len(self._unread) >= HEAD:
            end = HEAD + int.from_bytes(self._unread[:HEAD], "big")
            if len(self._unread) < end:
                return
            frame = bytes(self._unread[HEAD:end])
            del self._unread[:end]
            self._answered(frame)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface's
        """Tell those who wait."""
        if not self._gone.done():
            self._gone.set_result(None)


class Connection:
    """Requests may overlap and are matched by id. Every method may raise SignerRefused or SignerGone."""

    def __init__(self, codec: Codec) -> None:
        """Use `open`."""
        self._loads, self._dumps = codec
        self._number = 0
        self._waiting = dict[int | None, asyncio.Future[Any]]()
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gone.add_done_callback(self._fail_waiting)
        self._transport: asyncio.WriteTransport

    @classmethod
    async def open(cls, path: Path, codec: Codec = (json.loads, _dumps)) -> Self:
        """Connect; SignerGone when nobody listens. `codec` is loads and dumps of a faster JSON library."""
        self = cls(codec)
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_unix_connection(
                lambda: _Wire(self._answer, self._gone), str(path)
            )
        except OSError as error:
            raise SignerGone(f"cannot connect: {error.strerror}") from None
        return self

    async def close(self) -> None:
        """End the connection and wait until it has ended."""
        self._transport.abort()
        await self.wait_gone()

    async def wait_gone(self) -> None:
        """Return when the connection has ended, whoever ended it."""
        await asyncio.wait([self._gone])

    def _fail_waiting(self, _gone: asyncio.Future[None]) -> None:
        for left in self._waiting.values():
            if not left.done():
                left.set_exception(SignerGone("the connection ended"))

    def _answer(self, frame: bytes) -> None:
        answer = self._loads(frame)
        number = answer["id"]
        if number is None:  # it could not be read: answers come in order, so it is the oldest
            number = next(iter(self._waiting), None)
        waiting = self._waiting.pop(number, None)
        if waiting is None or waiting.done():  # the caller gave up; the journal keeps what was signed
            return
        if "ok" in answer:
            waiting.set_result(answer["ok"])
        else:
            waiting.set_exception(SignerRefused(**answer["error"]))

    async def request(self, op: str, **members: Any) -> Any:
        """Any operation of the protocol; the members of its answer."""
        if self._gone.done():
            raise SignerGone("the connection has ended")
        self._number += 1
        body = self._dumps({"id": self._number, "op": op, **members})
        waiting = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        self._transport.write(len(body).to_bytes(HEAD, "big") + body)
        return await waiting

    async def _batch(self, op: str, **members: Any) -> Batch:
        return _batch((await self.request(op, **members))["batch"])

    async def hello(self, role: str = "authority") -> Hello:
        """Introduce ourselves; the role `authority` takes it from whoever holds it."""
        answer = await self.request("hello", protocol=1, role=role)
        return Hello(**{**answer, "pending": [_batch(batch) for batch in answer["pending"]]})

    async def evidence(self, nonce: bytes) -> dict[str, str]:
        """Evidence bound to the identity key and `nonce` (16 to 64 bytes)."""
        answer: dict[str, str] = await self.request("evidence", nonce=nonce.hex())
        return answer

    async def release(self, sealed: bytes) -> None:
        """Hand over a secret that is encrypted to the key in its last evidence."""
        await self.request("release", sealed=binascii.b2a_base64(sealed, newline=False).decode())

    async def make_key(
        self, realm: str, alg: str, use_from: int, use_until: int, verify_until: int
    ) -> MadeKey:
        """Make a staged key; times in seconds since 1970."""
        window = {"use_from": use_from, "use_until": use_until, "verify_until": verify_until}
        answer = await self.request("make_key", realm=realm, alg=alg, **window)
        return MadeKey(**{**answer, "batch": _batch(answer["batch"])})

    async def activate(self, kid: str) -> Batch:
        """Let a staged key sign; the private half of the one before is destroyed."""
        return await self._batch("activate", kid=kid)

    async def destroy(self, kid: str, reason: str) -> Batch:
        """Destroy a private half; it is gone when this returns."""
        return await self._batch("destroy", kid=kid, reason=reason)

    async def sign(self, requests: Sequence[Sequence[Any]]) -> Signed:
        """Tokens or `{"refused": code, "message": text}` as ordered; no batch if all were refused."""
        answer = await self.request("sign", requests=requests)
        return answer["results"], _batch(answer["batch"]) if answer["batch"] else None

    async def statement(self, kind: str, digest: str) -> Batch:
        """Enter the hex SHA-256 of something that the authority states."""
        return await self._batch("statement", type=kind, digest=digest)

    async def manifest(self, **members: Any) -> tuple[str, Batch]:
        """Sign a key manifest (members as in the protocol page); the JWS and the batch with its statement."""
        answer = await self.request("manifest", **members)
        return answer["manifest"], _batch(answer["batch"])

    async def ack(self, size: int) -> None:
        """Everything below `size` is durable."""
        await self.request("ack", size=size)

    async def stats(self) -> dict[str, Any]:
        """Counters since the start."""
        answer: dict[str, Any] = await self.request("stats")
        return answer
