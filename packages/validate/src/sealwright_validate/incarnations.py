"""The signers that a manifest lists: each with its log, its identity key and how it was appraised.

May never accept a log id that is not the digest of its identity key: the id is what places in tokens refer
to.
"""

from base64 import b32encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sealwright_validate.documents import document_key, objects, text
from sealwright_validate.encoding import Members, decode_base64url
from sealwright_validate.errors import Reason, Refused
from sealwright_validate.keyset import Evidence, LogKey

MAX_LINK: Final = 512  # characters
# The DER of SubjectPublicKeyInfo of an Ed25519 key, up to its 32 bytes (RFC 8410 §4).
_SPKI: Final = bytes.fromhex("302a300506032b6570032100")


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One run of one signer, as the manifest lists it."""

    evidence: Evidence
    log: LogKey
    link: str | None = None
    """Where the evidence can be had, to appraise it again; nothing is fetched from there by itself."""


def log_id_of(public: bytes) -> str:
    """The first 10 bytes of the SHA-256 of the SubjectPublicKeyInfo, in lower-case base32 (ledger.md)."""
    return b32encode(sha256(_SPKI + public).digest()[:10]).decode("ascii").lower()


def listed_incarnations(members: Members) -> dict[str, Incarnation]:
    """The incarnations of a manifest by their log id."""
    found: dict[str, Incarnation] = {}
    for entry in objects(members, "incarnations"):
        log_id, public = text(entry, "id"), identity_key(entry)
        if log_id != log_id_of(public) or log_id in found:
            raise Refused(Reason.MANIFEST_INCONSISTENT, f"log {log_id} is not its key's, or listed twice")
        log = LogKey(text(entry, "origin"), public)
        found[log_id] = Incarnation(evidence_of(entry), log, _link(entry))
    return found


def _link(entry: Members) -> str | None:
    """The member `link`, which manifests from before it existed lack."""
    if "link" not in entry:
        return None
    link = text(entry, "link")
    usable = link.startswith(("https://", "http://")) and link.isascii() and link.isprintable()
    if not usable or " " in link or len(link) > MAX_LINK:
        raise Refused(Reason.MANIFEST_MALFORMED, "the link of an incarnation is no address")
    return link


def identity_key(entry: Members) -> bytes:
    """The 32 bytes of the Ed25519 key in `jwk`."""
    try:
        document_key(entry.get("jwk"))
    except Refused as refusal:
        raise Refused(Reason.MANIFEST_MALFORMED, refusal.detail) from None
    return decode_base64url(entry["jwk"]["x"])


def evidence_of(entry: Members) -> Evidence:
    """The evidence level of a member `evidence`."""
    try:
        return Evidence(text(entry, "evidence"))
    except ValueError:
        raise Refused(Reason.MANIFEST_MALFORMED, "unknown evidence level") from None
