"""Fingerprints are made of a key without one more copy of it being left, and come with its announcement."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sealwright_signer import fingerprint
from sealwright_signer.custody.memory import MemoryCustody
from sealwright_signer.identity import Identity
from sealwright_signer.keyring import Keyring
from sealwright_signer.policy import parse_policy

CHILD = """import sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sealwright_signer import fingerprint
lines = []
while (line := sys.stdin.readline()).strip():
    lines.append(line)
key = load_pem_private_key("".join(lines).encode(), None)
fingerprint.of(load_pem_private_key(sys.argv[1].encode(), None), bytes(32))
del lines, line
junk = [bytes(size) for size in range(600) for _ in range(60)]  # over what loading left behind
del junk
for step in ("before", "after"):
    print(step, flush=True)
    sys.stdin.readline()
    if step == "before":
        print(len(fingerprint.of(key, bytes(32))), flush=True)"""


def pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "ascii")


def secrets_of(key: Any) -> list[bytes]:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return [key.private_bytes_raw()]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return [key.private_numbers().private_value.to_bytes(32, "little")]
    numbers, found = key.private_numbers(), list[bytes]()
    for prime in (numbers.p, numbers.q):
        square = pow(2, 2048, prime)
        found += [prime.to_bytes(128, "little"), square.to_bytes(128, "little")]
        # as Python's ints have them; a division works on numbers shifted until the divisor fills its digits
        found += [digits(value) for value in (prime, square, prime << 26, square << 26)]
    return found


def digits(value: int) -> bytes:
    """The 30-bit digits of a Python int."""
    count = (value.bit_length() + 29) // 30
    return b"".join((value >> 30 * n & (1 << 30) - 1).to_bytes(4, "little") for n in range(count))


def copies(pid: int, secrets: list[bytes]) -> int:
    """How often a half of a secret stands in what can be written of a process, in either byte order."""
    halves = [half for raw in secrets for half in (raw[: len(raw) // 2], raw[len(raw) // 2 :])]
    count = 0
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            edges, rights = line.split()[:2]
            if rights.startswith("rw"):
                begin, end = (int(edge, 16) for edge in edges.split("-"))
                memory.seek(begin)
                data = memory.read(end - begin)
                count += sum(data.count(half) + data.count(half[::-1]) for half in halves)
    return count


KEYS: dict[str, Callable[[], Any]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("alg", KEYS)
def test_making_fingerprints_leaves_no_further_copy(alg: str) -> None:
    key = KEYS[alg]()
    program = [sys.executable, "-c", CHILD, pem(KEYS[alg]())]
    with subprocess.Popen(
        program,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env={"PYTHONMALLOC": "malloc"},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(pem(key) + "\n")
        assert child.stdout.readline() == "before\n"
        before = copies(child.pid, secrets_of(key))
        child.stdin.write("\n")
        assert int(child.stdout.readline()) == (8 if alg == "RS256" else 1)
        assert child.stdout.readline() == "after\n"
        after = copies(child.pid, secrets_of(key))
        child.stdin.write("\n")
    assert 0 < after <= before


def test_an_announcement_carries_fingerprints_under_one_salt(policy: dict[str, Any]) -> None:
    rules = parse_policy(json.dumps(policy).encode())
    ring = Keyring(rules, MemoryCustody(), Identity())
    leaves = []
    for alg in ("ES256", "EdDSA", "RS256"):
        wanted = {"realm": "enterprise", "alg": alg, "use_from": 1_000, "use_until": 2_000}
        leaves.append(json.loads(ring.make({**wanted, "verify_until": 6_000}, 1_000, 0)[1][2:]))
    found = [leaf["fingerprints"] for leaf in leaves]
    assert len({one["salt"] for one in found}) == 1
    assert [[entry["name"] for entry in one["entries"]] for one in found] == [
        ["ec-d"],
        ["ed25519-seed"],
        ["rsa-p", "rsa-q", "rsa-d", "rsa-dp", "rsa-dq", "rsa-qi", "rsa-rr-p", "rsa-rr-q"],
    ]


def test_a_mark_tells_three_bytes_and_no_more() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    (entry,) = fingerprint.of(key, bytes(32))
    (mark,) = entry["marks"]
    seed = key.private_bytes_raw()
    assert bytes.fromhex(mark["tag"]) == seed[mark["at"] : mark["at"] + 3]
    assert set(mark) == {"at", "window", "tag", "mac"}
    assert fingerprint.of(key, b"\x01" * 32)[0]["marks"][0]["mac"] != mark["mac"]
