"""The root of trust: which keys may admit signers, pinned once and rotated as TUF rotates its root.

Bytes in, trusted object out; the time is an argument.

- The first root is the pinned one; it must carry a threshold of its own signatures.
- Version N+1 must be signed by the threshold of version N's root keys and of its own.
- Versions follow each other without a gap and never go back.
- Signatures by one key count once. Unknown keys count nothing; a known key's false signature refuses the
  document.
- Expiry is checked where the root is used, not where it is replaced: an expired root may still name its
  successor.

May never accept a root on first sight.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sealwright_validate.documents import DocumentKey, document_key, integer, objects, require_signature
from sealwright_validate.encoding import Members, decode_base64url, decode_json_object
from sealwright_validate.errors import Reason, Refused

ROOT_TYPE: Final = "sealwright-root+jwt"
MAX_ROTATIONS: Final = 64  # roots that one update follows; a longer chain needs another update
_MAX_SIGNATURES: Final = 16


@dataclass(frozen=True, slots=True)
class Role:
    """Keys of which `threshold` must sign."""

    keys: Mapping[str, DocumentKey]
    threshold: int


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """A verified root. `document` is what was verified, for the state file."""

    version: int
    expires_at: int
    root: Role
    admission: Role
    document: bytes


def pinned_root(document: bytes | str | Members) -> TrustedRoot:
    """The root that the relying party pinned; it must at least be signed by itself."""
    if isinstance(document, Mapping):
        document = json.dumps(dict(document))
    raw = document.encode() if isinstance(document, str) else document
    signed = _read(raw)
    _require_threshold(signed, signed.trusted_if_signed.root)
    return signed.trusted_if_signed


def advance_root(current: TrustedRoot, unverified: bytes) -> TrustedRoot:
    """The root of the next version, signed by the threshold of the current and of its own keys."""
    signed = _read(unverified)
    candidate = signed.trusted_if_signed
    if candidate.version != current.version + 1:
        raise Refused(
            Reason.ROOT_NOT_TRUSTED, f"root version {candidate.version} does not follow {current.version}"
        )
    _require_threshold(signed, current.root)
    _require_threshold(signed, candidate.root)
    return candidate


def require_unexpired_root(root: TrustedRoot, now: float) -> None:
    """Refuse to build on a root whose time is over."""
    if now >= root.expires_at:
        raise Refused(Reason.ROOT_EXPIRED, f"root version {root.version} has expired")


@dataclass(frozen=True, slots=True)
class _SignedRoot:
    trusted_if_signed: TrustedRoot
    payload: str
    signatures: tuple[tuple[str, str], ...]


def _read(unverified: bytes) -> _SignedRoot:
    try:
        return _parse(unverified)
    except Refused as refusal:
        raise Refused(Reason.ROOT_NOT_TRUSTED, refusal.detail) from None


def _parse(unverified: bytes) -> _SignedRoot:
    general = decode_json_object(unverified)
    payload = general.get("payload")
    if general.keys() != {"payload", "signatures"} or not isinstance(payload, str):
        raise Refused(Reason.ROOT_NOT_TRUSTED, "no JWS in general JSON serialisation")
    signatures = tuple(_signature(entry) for entry in objects(general, "signatures"))
    if not 0 < len(signatures) <= _MAX_SIGNATURES:
        raise Refused(Reason.ROOT_NOT_TRUSTED, "no signatures, or too many")
    members = decode_json_object(decode_base64url(payload))
    root = TrustedRoot(
        version=integer(members, "version"),
        expires_at=integer(members, "expires_at"),
        root=_role(members, "root"),
        admission=_role(members, "admission"),
        document=unverified,
    )
    if root.version < 1 or integer(members, "issued_at") >= root.expires_at:
        raise Refused(Reason.ROOT_NOT_TRUSTED, "version or times out of order")
    return _SignedRoot(root, payload, signatures)


def _signature(entry: Members) -> tuple[str, str]:
    protected, signature = entry.get("protected"), entry.get("signature")
    if entry.keys() != {"protected", "signature"} or not isinstance(protected, str):
        raise Refused(Reason.ROOT_NOT_TRUSTED, "a signature holds other members than protected and signature")
    if not isinstance(signature, str):
        raise Refused(Reason.ROOT_NOT_TRUSTED, "a signature is no text")
    return protected, signature


def _role(members: Members, name: str) -> Role:
    roles: Any = members.get("roles")
    role = roles.get(name) if isinstance(roles, dict) else None
    if not isinstance(role, dict):
        raise Refused(Reason.ROOT_NOT_TRUSTED, f"role {name} is missing")
    listed = [document_key(jwk) for jwk in objects(role, "keys")]
    keys = {key.kid: key for key in listed}
    threshold = integer(role, "threshold")
    if len(keys) != len(listed) or not 1 <= threshold <= len(keys):
        raise Refused(Reason.ROOT_NOT_TRUSTED, f"role {name}: a key twice, or a threshold out of range")
    return Role(keys, threshold)


def _require_threshold(signed: _SignedRoot, role: Role) -> None:
    signers = set()
    for protected, signature in signed.signatures:
        try:
            signers.add(require_signature(protected, signed.payload, signature, ROOT_TYPE, role.keys))
        except Refused as refusal:
            if refusal.reason is not Reason.UNKNOWN_KEY:
                raise Refused(Reason.ROOT_NOT_TRUSTED, refusal.detail) from None
    if len(signers) < role.threshold:
        raise Refused(Reason.ROOT_NOT_TRUSTED, f"{len(signers)} of {role.threshold} needed signatures")
