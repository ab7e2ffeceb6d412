"""Where private token keys live. The server is given one custody and cannot tell, or be told, to use another.

A custody may never return a private half, write it, or keep it after `destroy`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sealwright_signer.custody.memory import MemoryCustody
from sealwright_signer.protocol import Misconfigured


class CustodyLost(Exception):
    """What keeps the keys is gone for this incarnation, which ends and says why. Nothing was signed."""


Wanted = tuple[Any, bytes, bytes]  # a handle, a message, and the message's SHA-256


class Custody(Protocol):
    """Makes, uses and destroys private keys; a handle is whatever the custody likes."""

    @property
    def kind(self) -> str:
        """What `hello` shows."""
        ...

    def generate(self, alg: str) -> Any:
        """Make a key for ES256, EdDSA, RS256 or PS256 and return its handle."""
        ...

    def sign(self, wanted: Sequence[Wanted]) -> list[bytes]:
        """The raw JOSE signature (RFC 7518 section 3) of each message by its handle's key: all, or none.

        The SHA-256 of a message comes with it, since the ledger needs it too. KeyError for a dead handle;
        Refused when it failed this once; CustodyLost when for good.
        """
        ...

    def public_jwk(self, handle: Any) -> dict[str, str]:
        """The required members of the public JWK."""
        ...

    def require_there(self) -> None:
        """CustodyLost when what keeps the keys is gone; asked every second."""
        ...

    def destroy(self, handle: Any) -> None:
        """The private half is gone when this returns; the handle is dead."""
        ...


def for_policy(custody: Mapping[str, Any], algorithms: Sequence[str] = ()) -> Custody:
    """The custody that a policy's `custody` member names; Misconfigured when there is none of that name, or
    it cannot make keys for these algorithms.
    """
    if custody == {"kind": "memory"}:
        return MemoryCustody()
    if custody.get("kind") == "pkcs11":
        from sealwright_signer.custody import pkcs11

        return pkcs11.start(custody, algorithms)
    raise Misconfigured(f"custody {custody.get('kind')!r} is not known, or has members that it does not take")
