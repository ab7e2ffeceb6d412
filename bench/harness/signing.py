"""A real signer process and a client of it, as the authority has one, without the authority.

It is started exactly as the authority starts it (isolated, policy over a descriptor). Nothing here may reach
into it: what is known of it comes over its socket and from /proc.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519

from harness import procfs
from harness.model import WrongAnswer
from sealwright_signer.client import Batch, Connection, Hello, Process, launch

REALM, AUDIENCE, ISSUER = "bench", "https://api.example/", "https://id.example/bench"
KEY_USE = 3_600  # seconds
LIFETIME = 600  # seconds
IN_FLIGHT = 2  # batches on their way, as many as the authority has
CODEC = (msgspec.json.decode, msgspec.json.encode)
SAMPLED = 4  # tokens of a stretch that are checked


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the signer did in one stretch of time: tokens, seconds by the clock and of its CPU."""

    tokens: int
    seconds: float
    cpu: float

    @property
    def per_core(self) -> float:
        """Tokens per second of the signer's CPU."""
        return self.tokens / self.cpu


@dataclass(frozen=True, slots=True)
class Session:
    """A connection with the authority role, and one active key per algorithm."""

    runner: asyncio.Runner
    connection: Connection
    process: Process
    hello: Hello
    keys: dict[str, dict[str, Any]]
    first: tuple[Batch, ...]

    def request(self, algorithm: str, record: str = "ab" * 32) -> list[Any]:
        """A request for a token; `record` is the hex digest of its private record."""
        kid = self.keys[algorithm]["kid"]
        client = "bench-client"
        return [REALM, kid, "at+jwt", client, client, [AUDIENCE], "mail.read", LIFETIME, record, None]

    def stretch(self, algorithm: str, size: int, seconds: float) -> Stretch:
        """Sign batches of this size for this long, two under way at a time, each acknowledged."""
        requests = [self.request(algorithm)] * size
        results: list[list[str | dict[str, str]]] = []
        started = time.perf_counter()
        before = procfs.cpu_seconds([self.process.pid])[self.process.pid]

        async def sign() -> None:
            while time.perf_counter() - started < seconds:
                signed, batch = await self.connection.sign(requests)
                if batch is None or len(batch.leaves) != size:
                    raise WrongAnswer(f"asked for {size} tokens: {signed[:1]}")
                await self.connection.ack(batch.first + size)
                results.append(signed)

        async def main() -> None:
            await asyncio.gather(*(sign() for _ in range(IN_FLIGHT)))

        self.runner.run(main())
        cpu = procfs.cpu_seconds([self.process.pid])[self.process.pid] - before
        took = time.perf_counter() - started
        self.require_valid(algorithm, [results[at * len(results) // SAMPLED][0] for at in range(SAMPLED)])
        return Stretch(size * len(results), took, cpu)

    def require_valid(self, algorithm: str, tokens: list[str | dict[str, str]]) -> None:
        """The tokens verify under the announced key; raises WrongAnswer where one was refused."""
        for token in tokens:
            if not isinstance(token, str):
                raise WrongAnswer(f"refused: {token}")
            key = jwt.PyJWK(self.keys[algorithm]["jwk"], algorithm)
            jwt.decode(token, key, algorithms=[algorithm], audience=AUDIENCE, issuer=ISSUER)


def policy(algorithms: list[str]) -> dict[str, Any]:
    """One realm that may use these algorithms; the admission key is thrown away, since no manifest is
    asked for.
    """
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    realm = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "token_types": ["at+jwt"],
        "max_lifetime": LIFETIME,
        "algorithms": algorithms,
    }
    return {
        "version": 1,
        "origin_prefix": "127.0.0.1/ledger",
        "authority": "http://127.0.0.1",
        "admission_keys": [jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True)],
        "manifest_floor": 0,
        "manifest_max_life": 60,
        "rollover_lead": 1_800,
        "key_use_max": 21_600,
        "realms": {REALM: realm},
        "custody": {"kind": "memory"},
    }


async def make_key(connection: Connection, algorithm: str) -> tuple[dict[str, Any], list[Batch]]:
    """An active key: the announcement's payload, and the batches that its making entered."""
    now = int(time.time())
    made = await connection.make_key(REALM, algorithm, now, now + KEY_USE, now + KEY_USE + LIFETIME)
    activated = await connection.activate(made.kid)
    payload = jwt.decode(made.announcement, options={"verify_signature": False})
    return payload, [made.batch, activated]


@contextlib.contextmanager
def signer(
    scratch: Path,
    algorithms: list[str],
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
    custody: Mapping[str, Any] | None = None,
    program: Sequence[str] | None = None,
) -> Iterator[Session]:
    """A signer with an active key for each algorithm; it ends on leaving. `loop` makes the client's event
    loop, `custody` keeps the keys elsewhere than in memory, `program` is started instead of the signer.
    """
    with (scratch / "signer.log").open("wb") as log, asyncio.Runner(loop_factory=loop) as runner:
        asked = policy(algorithms) | ({"custody": dict(custody)} if custody else {})
        process = launch(asked, scratch / "signer.sock", log=log, program=program)
        try:
            connection = runner.run(Connection.open(process.socket_path, CODEC))
            hello = runner.run(connection.hello())
            made = {algorithm: runner.run(make_key(connection, algorithm)) for algorithm in algorithms}
            batches = [batch for _, entered in made.values() for batch in entered]
            keys = {algorithm: payload for algorithm, (payload, _) in made.items()}
            yield Session(runner, connection, process, hello, keys, (*hello.pending, *batches))
            runner.run(connection.close())
        finally:
            process.terminate()
