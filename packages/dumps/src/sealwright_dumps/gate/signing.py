"""Signatures of the gate over manifests, and of people over approvals. Ed25519 over canonical JSON.

May never do: sign anything but these two statements, each under its own prefix.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sealwright_dumps.errors import Misconfigured, Refused

_MANIFEST = b"sealwright-dump-manifest/1\x00"
_APPROVAL = b"sealwright-dump-approval/1\x00"


def canonical(body: Any) -> bytes:
    """The one serialisation that is signed: sorted members, no spaces, ASCII."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def digest(manifest: Any) -> str:
    """SHA-256 of a manifest's canonical form."""
    return hashlib.sha256(canonical(manifest)).hexdigest()


def make_key(path: Path) -> str:
    """Make a key file that must not exist; its public key in base64."""
    key = Ed25519PrivateKey.generate()
    raw = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise Misconfigured("key-exists", f"{path} exists already") from error
    except OSError as error:
        raise Misconfigured("key-unwritable", f"{path} cannot be made: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
    return public_text(key)


def public_text(key: Ed25519PrivateKey) -> str:
    """A key's public half in base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read a key file that nobody else can read. Raises Misconfigured."""
    try:
        if path.stat().st_mode & 0o077:
            raise Misconfigured("key-readable", "the key file must be readable by its owner only")
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise Misconfigured("key-unreadable", "the key file cannot be read", str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Misconfigured("key-unreadable", "the key file holds no Ed25519 key")
    return key


def sign_manifest(key: Ed25519PrivateKey, manifest: Any) -> str:
    """The gate's signature over a manifest, in base64."""
    return base64.b64encode(key.sign(_MANIFEST + canonical(manifest))).decode()


def sign_approval(key: Ed25519PrivateKey, manifest_sha256: str) -> str:
    """A person's signature over a manifest's digest, in base64."""
    return base64.b64encode(key.sign(_APPROVAL + manifest_sha256.encode())).decode()


def require_manifest_signature(public_key: str, manifest: Any, signature: str) -> None:
    """Raises Refused when the gate did not sign this manifest."""
    _require(public_key, _MANIFEST + canonical(manifest), signature, "manifest-signature")


def require_approval_signature(public_key: str, manifest_sha256: str, signature: str) -> None:
    """Raises Refused when this person did not sign this digest."""
    _require(public_key, _APPROVAL + manifest_sha256.encode(), signature, "approval-signature")


def _require(public_key: str, message: bytes, signature: str, code: str) -> None:
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError) as error:
        raise Refused(code, "a signature does not verify") from error
