"""A private half that was destroyed is gone: root reads all memory of the process and finds no form of it.

The test learns the secret the way a thief would, from the live process and the public key alone, so that it
leaves no copy behind itself and proves each time that its search can find the key while it is there. For that
it runs a signer without secret memory, in which nobody could search.
"""

import asyncio
import hashlib
import json
import os
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sealwright_signer import clock, jws
from sealwright_signer.client import Connection, Process, command, launch

READABLE = """import sys
i = sys.argv.index("--listen-fd")
sys.path += sys.argv[1:i]
from sealwright_signer import __main__, isolation
isolation.BEFORE_KEYS = isolation.BEFORE_KEYS[:2]
sys.exit(__main__.main(sys.argv[i:]))"""
pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: another process's memory cannot be read"),
]


def memory_of(pid: int) -> bytes:
    """Everything readable in the process."""
    parts = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if match and "[v" not in line:
                begin, end = (int(edge, 16) for edge in match.groups())
                memory.seek(begin)
                try:
                    parts.append(memory.read(end - begin))
                except OSError:
                    continue
    return b"".join(parts)


def chunks(memory: bytes, size: int) -> Iterator[bytes]:
    """Contents of glibc heap chunks of this size that could be a secret; their headers stand before them."""
    # one or two steps larger where the heap had nothing nearer; the low bit: the previous chunk is in use
    for header in (size + room + used for room in (16, 32, 48) for used in (0, 1)):
        at, sought = -1, struct.pack("<Q", header)
        while (at := memory.find(sought, at + 1)) >= 0:
            content = memory[at + 8 : at + 8 + size]
            if len(content) == size and len(set(content)) > min(size // 3, 40):  # random bytes have 30 of 32
                yield content


def ed25519_secrets(memory: bytes, jwk: dict[str, str]) -> list[bytes]:
    for seed in chunks(memory, 32):
        key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        if jws.public_jwk(key.public_key())["x"] == jwk["x"]:
            digest = hashlib.sha512(seed).digest()
            return [seed, seed[::-1], digest[:32], digest[32:]]
    return []


def p256_secrets(memory: bytes, jwk: dict[str, str]) -> list[bytes]:
    for limbs in chunks(memory, 32):
        d = int.from_bytes(limbs, "little")
        if 0 < d < 2**256 - 2**224:
            key = ec.derive_private_key(d, ec.SECP256R1())
            if jws.public_jwk(key.public_key())["x"] == jwk["x"]:
                return [limbs, limbs[::-1]]
    return []


def rsa_secrets(memory: bytes, jwk: dict[str, str]) -> list[bytes]:
    n, e = (int.from_bytes(jws.unb64u(jwk[name]), "big") for name in "ne")
    for limbs in chunks(memory, 128):
        p = int.from_bytes(limbs, "little")
        if p > 1 and n % p == 0:
            q = n // p
            d = pow(e, -1, (p - 1) * (q - 1))
            numbers = [(p, 128), (q, 128), (d, 256), (d % (p - 1), 128), (d % (q - 1), 128)]
            numbers += [(pow(q, -1, p), 128), (pow(p, -1, q), 128)]
            both = [
                (number.to_bytes(size, "little"), number.to_bytes(size, "big")) for number, size in numbers
            ]
            return [form for pair in both for form in pair]
    return []


SECRETS = {"EdDSA": ed25519_secrets, "ES256": p256_secrets, "RS256": rsa_secrets}


def found(memory: bytes, secrets: list[bytes]) -> int:
    """Copies of any secret, of its first or of its second half."""
    halves = [half for secret in secrets for half in (secret[: len(secret) // 2], secret[len(secret) // 2 :])]
    return sum(memory.count(half) for half in halves)


def launched(policy: dict[str, Any], folder: Path) -> Process:
    program = [*command()[:4], READABLE, *command()[5:]]
    return launch(policy, folder / "run" / "signer", log=sys.stderr.fileno(), program=program)


async def seen_alive(connection: Connection, request: Any, pid: int, alg: str, jwk: dict[str, str]) -> Any:
    """The forms of a live key, found by its public half: the search that must find nothing later works."""
    for _ in range(5):  # memory that changes while it is read may show a live key in pieces only
        memory = memory_of(pid)
        secrets = SECRETS[alg](memory, jwk)
        if found(memory, secrets) > 0:
            return secrets
        await connection.sign([request] * 60)
    raise AssertionError("the search is blind")


@pytest.mark.slow
@pytest.mark.parametrize("alg", SECRETS)
@pytest.mark.parametrize("end", ["destroyed", "superseded", "window_over"])
def test_nothing_of_a_private_half_is_left_when_it_has_ended(
    policy: dict[str, Any], tmp_path: Path, alg: str, end: str
) -> None:
    policy["rollover_lead"] = 0
    process = launched(policy, tmp_path)

    async def main() -> None:
        connection = await Connection.open(process.socket_path)
        await connection.hello()
        now = int(clock.wall())
        until = now + (6 if end == "window_over" else 600)
        made = await connection.make_key("enterprise", alg, now, until, until + 3_600)
        await connection.activate(made.kid)
        request = (
            "enterprise",
            made.kid,
            "at+jwt",
            "c",
            "c",
            ["https://mail.example"],
            "",
            9,
            "00" * 32,
            None,
        )
        await connection.sign([request] * 60)
        jwk = json.loads(jws.unb64u(made.announcement.split(".")[1]))["jwk"]
        secrets = await seen_alive(connection, request, process.pid, alg, jwk)
        if end == "destroyed":
            await connection.destroy(made.kid, "test")
        elif end == "superseded":
            after = await connection.make_key("enterprise", alg, int(clock.wall()) + 1, until, until + 3_600)
            await asyncio.sleep(1.5)
            await connection.activate(after.kid)
        else:
            await asyncio.sleep(until - clock.wall() + 1.5)
        assert found(memory_of(process.pid), secrets) == 0
        await connection.close()

    try:
        asyncio.run(main())
    finally:
        process.terminate()
