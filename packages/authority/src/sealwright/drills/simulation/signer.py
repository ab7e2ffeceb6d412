"""The real signer in this process, behind the keys room's port, with copies of its keys for the attacker.

No process, no isolation: a simulation only.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from sealwright.drills.forger import StolenKey, thumbprint
from sealwright.errors import Refused, Unavailable
from sealwright_signer import jws
from sealwright_signer.policy import parse_policy
from sealwright_signer.protocol import Refused as SignerRefused
from sealwright_signer.signer import Signer


class CopyingCustody:
    """ES256 keys of which the attacker gets a copy at birth."""

    kind = "simulation"

    def __init__(self, copies: dict[str, StolenKey]) -> None:
        self._keys: list[ec.EllipticCurvePrivateKey | None] = []
        self._copies = copies

    def generate(self, _alg: str) -> int:
        """Make a key, and copy it."""
        key = ec.generate_private_key(ec.SECP256R1())
        self._keys.append(key)
        kid = thumbprint(key.public_key())
        self._copies[kid] = StolenKey(kid, key)
        return len(self._keys) - 1

    def _key(self, handle: int) -> ec.EllipticCurvePrivateKey:
        key = self._keys[handle]
        if key is None:
            raise KeyError(handle)
        return key

    def sign(self, wanted: Sequence[tuple[int, bytes, bytes]]) -> list[bytes]:
        """The raw JOSE signatures."""
        return [jws.ecdsa_raw(self._key(handle).sign(message, jws.ES256)) for handle, message, _ in wanted]

    def public_jwk(self, handle: int) -> dict[str, str]:
        """The required members of the public JWK."""
        return jws.public_jwk(self._key(handle).public_key())

    def require_there(self) -> None:
        """It always is."""

    def destroy(self, handle: int) -> None:
        """Drop the private half (the attacker keeps its copy)."""
        self._keys[handle] = None


class LocalSigner:
    """`SignerPort` on a signer in this process. Leaves are acknowledged at once."""

    def __init__(
        self, policy: Mapping[str, Any], clock: Callable[[], float], copies: dict[str, StolenKey]
    ) -> None:
        self.leaves: dict[int, bytes] = {}
        self.checkpoint = ""
        self.signer = Signer(parse_policy(json.dumps(policy).encode()), CopyingCustody(copies), clock)
        self.alive = True

    @property
    def log_id(self) -> str:
        """Its log."""
        return self.signer.identity.log_id

    @property
    def keys(self) -> list[tuple[str, str, int]]:
        """What `hello` would list: announcement, state, ledger index."""
        self.signer.tick()
        listed = self.signer.keyring.listed()
        return [(key["announcement"], key["state"], key["ledger_index"]) for key in listed]

    def _ask(self, operation: Callable[..., str], **members: Any) -> dict[str, Any]:
        if not self.alive:
            raise Unavailable("signer_gone", "the signer went away")
        self.signer.tick()
        try:
            answer: dict[str, Any] = msgspec.json.decode(
                operation(**msgspec.json.decode(msgspec.json.encode(members)))
            )
        except SignerRefused as error:
            raise Refused(str(error.code), "the signer refused", error.message) from error
        for batch in (answer.get("batch"), json.loads(self.signer.journal.batch())):
            if batch:
                self._store(batch)
        self.signer.journal.acknowledge(self.signer.journal.size)
        return answer

    def _store(self, batch: dict[str, Any]) -> None:
        leaves = map(binascii.a2b_base64, batch["leaves"])
        self.leaves.update(enumerate(leaves, batch["first"]))
        self.checkpoint = batch["checkpoint"]

    async def make_key(
        self, realm: str, algorithm: str, use_from: int, use_until: int, verify_until: int
    ) -> tuple[str, int]:
        """Make a key."""
        window = {"use_from": use_from, "use_until": use_until, "verify_until": verify_until}
        made = self._ask(self.signer.make_key, realm=realm, alg=algorithm, **window)
        return made["announcement"], made["ledger_index"]

    async def activate(self, kid: str) -> None:
        """Let a key sign."""
        self._ask(self.signer.activate, kid=kid)

    async def destroy(self, kid: str, reason: str) -> None:
        """End a private half."""
        self._ask(self.signer.destroy, kid=kid, reason=reason)

    async def manifest(self, fields: Mapping[str, Any]) -> str:
        """Sign a manifest."""
        signed: str = self._ask(self.signer.manifest, **fields)["manifest"]
        return signed

    async def statement(self, kind: str, digest: str) -> int:
        """Append a statement; returns its index."""
        self._ask(self.signer.statement, type=kind, digest=digest)
        return self.signer.journal.size - 1

    async def sign(
        self, requests: Sequence[Sequence[Any]], records: Sequence[bytes], answered: Callable[[], None]
    ) -> Sequence[tuple[str, int] | dict[str, str]]:
        """Sign tokens."""
        del records  # private records are the authority's; the simulation keeps none
        results = self._ask(self.signer.sign, requests=[list(request) for request in requests])["results"]
        answered()
        return [result if isinstance(result, dict) else (result, int(requests[0][7])) for result in results]
