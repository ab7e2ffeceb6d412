"""Identifiers and secrets that the authority makes.

Randomness comes from the operating system through `secrets`. Nothing here may derive a secret from another.
"""

from __future__ import annotations

import hashlib
import secrets

SECRET_BYTES = 32


def new_client_secret() -> str:
    """A client secret with 256 bits of entropy, base64url (43 characters)."""
    return secrets.token_urlsafe(SECRET_BYTES)


def secret_digest(secret: str) -> bytes:
    """SHA-256 of a client secret. A plain digest is enough: the secret has 256 random bits, nothing to
    guess.
    """
    return hashlib.sha256(secret.encode()).digest()


def new_id(prefix: str) -> str:
    """A short random identifier: `prefix` and 16 hexadecimal characters (64 bits)."""
    return f"{prefix}-{secrets.token_hex(8)}"
