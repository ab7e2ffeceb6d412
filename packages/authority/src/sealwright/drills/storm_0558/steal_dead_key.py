"""Step 1, theft: take a consumer key that has stopped signing out of the signer's memory. Its private half
is gone.

The search is shown to work first: while the key signs, root finds it (this sandbox's signer does without the
memory that hides it). Without root the attacker cannot even look.
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec

from sealwright.drills.forger import from_b64u
from sealwright.drills.memory import count_scalar, find_scalar
from sealwright.drills.model import Control, Finding
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.steps import active_key, rotate
from sealwright.errors import Unavailable
from sealwright.keys.model import Key

ATTACK = "search the signer's memory for a consumer key that has stopped signing"
GONE = "no copy in memory"
UNREADABLE = "the kernel refuses this user"


def run(sandbox: Sandbox) -> Iterator[Finding]:
    """Find the key while it lives, let it retire from signing, look again."""
    for _ in range(20):
        sandbox.token("consumer")
    key = active_key(sandbox, "consumer")
    pid = _pid(sandbox)
    try:
        scalar = find_scalar(pid, _public(key))
    except PermissionError:
        rotate(sandbox)
        yield Finding("1-theft", ATTACK, None, UNREADABLE, UNREADABLE, held=True)
        return
    yield Finding(
        "1-theft-search-works",
        "the same search while the key still signs, as root",
        None,
        "found",
        "found" if scalar is not None else "not found",
        held=scalar is not None,
    )
    rotate(sandbox)
    copies = count_scalar(pid, scalar) if scalar is not None else -1
    observed = GONE if copies == 0 else f"{copies} copies in memory"
    control = Control.PRIVATE_HALF_DESTROYED
    yield Finding("1-theft", ATTACK, control, GONE, observed, held=copies == 0)


def _pid(sandbox: Sandbox) -> int:
    if sandbox.signer is None:
        raise Unavailable("no_signer", "the sandbox has no signer")
    return sandbox.signer.pid


def _public(key: Key) -> ec.EllipticCurvePublicKey:
    x, y = (int.from_bytes(from_b64u(key.jwk[name]), "big") for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
