"""The sandbox's signer: the ordinary one with a shared clock, a custody that leaks, and the flaws asked for.

The leaking custody exists here only; the signer's own program has no way to select it. Needs the standard
library, `cryptography` and `sealwright_signer`, nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import sealwright_signer.__main__ as program
from sealwright.drills.clockwork import SandboxClock
from sealwright_signer import isolation, jws
from sealwright_signer import signer as operations

READABLE = tuple(m for m in isolation.BEFORE_KEYS if m.__name__ not in ("secret_memory", "no_debugger"))
SPARED = 2
"""The first keys are not handed out: the drill looks for one of them in memory."""


class LeakingCustody:
    """Makes ES256 keys in memory and gives a copy to the attacker. Drills only."""

    kind = "drill"

    def __init__(self, leak: BinaryIO, *, keeps: bool) -> None:
        self._leak = leak
        self._keeps = keeps
        self._keys: dict[int, ec.EllipticCurvePrivateKey | None] = {}
        self._kept: list[Any] = []

    def generate(self, _alg: str) -> int:
        """Make a key; all but the first are handed to the attacker."""
        key = ec.generate_private_key(ec.SECP256R1())
        handle = len(self._keys)
        self._keys[handle] = key
        if handle >= SPARED:
            self._leak.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            self._leak.flush()
        return handle

    def sign(self, wanted: Sequence[tuple[int, bytes, bytes]]) -> list[bytes]:
        """The raw JOSE signatures."""
        return [self._signed(handle, message) for handle, message, _ in wanted]

    def _signed(self, handle: int, message: bytes) -> bytes:
        key = self._keys[handle]
        if key is None:
            raise KeyError(handle)
        return jws.ecdsa_raw(key.sign(message, jws.ES256))

    def public_jwk(self, handle: int) -> dict[str, str]:
        """The required members of the public JWK."""
        key = self._keys[handle]
        if key is None:
            raise KeyError(handle)
        return jws.public_jwk(key.public_key())

    def require_there(self) -> None:
        """It always is."""

    def destroy(self, handle: int) -> None:
        """Drop the private half, unless that control is switched off."""
        if self._keeps:
            self._kept.append(self._keys[handle])
        self._keys[handle] = None


def _without_policy() -> None:
    """A signer that signs whatever it is asked for, for as long as it is asked."""
    real = vars(operations)["claims"]

    def lenient(realm: Any, request: list[Any]) -> tuple[str, str, bytes]:
        within = [*request[:7], min(request[7], realm.max_lifetime), *request[8:]]
        head, tail, record = real(realm, within)
        return head, tail, record

    vars(operations)["claims"] = lenient


def main() -> int:
    """`<clock file> <leak file> <flaws>` and then the signer's own arguments."""
    clock_file, leak_file, flaws = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
    clock = SandboxClock(Path(clock_file))
    leak = Path(leak_file).open("ab")  # noqa: SIM115 - open for as long as the process lives
    vars(program)["wall"] = clock.now
    vars(isolation)["BEFORE_KEYS"] = READABLE  # so that the drill can show that its search works
    if "signer-policy" in flaws:
        _without_policy()

    def custody(_policy: object) -> LeakingCustody:
        return LeakingCustody(leak, keeps="private-half-destroyed" in flaws)

    return program.main(sys.argv[4:], custody=custody)
