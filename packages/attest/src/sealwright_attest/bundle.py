"""The evidence bundle: one JSON document that carries evidence, endorsements, log and claimed binding.

It may never verify anything; it turns bytes into an `Evidence`, or refuses.
Source: docs/formats/attestation-evidence.md.
"""

import base64
import json
from typing import Any, Final

from .errors import Code, Refused
from .model import Endorsements, Evidence, Kind
from .octets import b64, malformed, strict_object

FORMAT: Final = "sealwright-evidence/1"
MAX_BUNDLE: Final = 4 * 1024 * 1024
MAX_BODY: Final = 256 * 1024
MAX_EVENT_LOG: Final = 1024 * 1024
MAX_CERTIFICATES: Final = 16
MAX_CRLS: Final = 4
MAX_IDENTITY_KEY: Final = 1024
RELEASE_KEY: Final = 32

_MEMBERS: Final = {"format", "kind", "evidence", "endorsements", "event_log", "binding"}


def _only(table: dict[str, Any], known: set[str], where: str) -> dict[str, Any]:
    unknown = sorted(set(table) - known)
    if unknown:
        raise malformed(f"{where} has unknown members", ", ".join(unknown)[:200])
    return table


def _object(value: object, known: set[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise malformed(f"{where} is not an object")
    return _only(value, known, where)


def _list(value: object, where: str, limit: int) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > limit:
        raise malformed(f"{where} is not a list of at most {limit}")
    return tuple(b64(item, where) for item in value)


def _endorsements(value: object) -> Endorsements:
    table = _object(value, {"certificates", "crls", "collateral"}, "endorsements")
    return Endorsements(
        certificates=_list(table.get("certificates", []), "certificates", MAX_CERTIFICATES),
        crls=_list(table.get("crls", []), "crls", MAX_CRLS),
        collateral=b64(table["collateral"], "collateral") if "collateral" in table else None,
    )


def _require_sizes(evidence: Evidence) -> Evidence:
    for name, size, limit in (
        ("evidence", len(evidence.unverified_body), MAX_BODY),
        ("event_log", len(evidence.unverified_event_log), MAX_EVENT_LOG),
        ("identity_key", len(evidence.unverified_identity_key), MAX_IDENTITY_KEY),
        ("certificates", len(evidence.endorsements.certificates), MAX_CERTIFICATES),
        ("crls", len(evidence.endorsements.crls), MAX_CRLS),
        ("collateral", len(evidence.endorsements.collateral or b""), MAX_BODY),
    ):
        if size > limit:
            raise Refused(Code.TOO_LARGE, f"{name} is too large", f"{size} > {limit}")
    if evidence.unverified_release_key and len(evidence.unverified_release_key) != RELEASE_KEY:
        raise malformed("a release key has 32 bytes")
    if evidence.unverified_release_key and not evidence.unverified_identity_key:
        raise malformed("a release key without an identity key")
    return evidence


def require_sizes(evidence: Evidence) -> Evidence:
    """Return the evidence, or refuse parts that are larger than any genuine ones.

    Raises:
        Refused: `too-large` or `malformed`.
    """
    return _require_sizes(evidence)


def parse_bundle(unverified_bundle: bytes) -> Evidence:
    """Parse an evidence bundle.

    Raises:
        Refused: `malformed`, `too-large`, `version-unknown` or `kind-mismatch`.
    """
    table = strict_object(unverified_bundle, MAX_BUNDLE)
    if table.get("format") != FORMAT:
        raise Refused(Code.VERSION_UNKNOWN, f"not a {FORMAT} document")
    _only(table, _MEMBERS, "the bundle")
    name = table.get("kind")
    if name not in set(Kind):
        raise Refused(Code.KIND_MISMATCH, "an unknown kind of evidence", str(name)[:80])
    binding = _object(table.get("binding", {}), {"identity_key", "release_key"}, "binding")
    if not all(binding.values()):
        raise malformed("a binding with an empty key")
    return _require_sizes(
        Evidence(
            kind=Kind(name),
            unverified_body=b64(table.get("evidence"), "evidence"),
            endorsements=_endorsements(table.get("endorsements", {})),
            unverified_event_log=b64(table.get("event_log", ""), "event_log"),
            unverified_identity_key=b64(binding.get("identity_key", ""), "identity_key"),
            unverified_release_key=b64(binding.get("release_key", ""), "release_key"),
        )
    )


def serialize_bundle(evidence: Evidence) -> bytes:
    """Return the bundle of this evidence; `parse_bundle` of it gives the same evidence back."""

    def armour(data: bytes) -> str:
        return base64.b64encode(data).decode()

    endorsements: dict[str, Any] = {}
    if evidence.endorsements.certificates:
        endorsements["certificates"] = [armour(one) for one in evidence.endorsements.certificates]
    if evidence.endorsements.crls:
        endorsements["crls"] = [armour(one) for one in evidence.endorsements.crls]
    if evidence.endorsements.collateral is not None:
        endorsements["collateral"] = armour(evidence.endorsements.collateral)
    binding = {
        name: armour(data)
        for name, data in (
            ("identity_key", evidence.unverified_identity_key),
            ("release_key", evidence.unverified_release_key),
        )
        if data
    }
    table: dict[str, Any] = {
        "format": FORMAT,
        "kind": evidence.kind.value,
        "evidence": armour(evidence.unverified_body),
    }
    if endorsements:
        table["endorsements"] = endorsements
    if evidence.unverified_event_log:
        table["event_log"] = armour(evidence.unverified_event_log)
    if binding:
        table["binding"] = binding
    return json.dumps(table, separators=(",", ":")).encode()
