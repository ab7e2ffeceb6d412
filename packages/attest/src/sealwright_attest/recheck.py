"""Repeats the appraisal that an admission rests on, from what the authority kept: nobody has to take its
word.

The record is the authority's; what is believed of it is only what its evidence proves under roots and policy
of one's own. It may never accept a record whose evidence was not appraised here.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .appraise import appraise
from .bundle import parse_bundle
from .errors import Code, Misconfigured, Refused
from .model import AttestationResult, EvidenceLevel, Verdict
from .octets import strict_object
from .policy.document import Policy
from .policy.parse import parse_policy

FORMAT: Final = "sealwright-admission-record/1"
Appraise = Callable[..., AttestationResult]


@dataclass(frozen=True, slots=True)
class Rechecked:
    """What a record proves.

    Attributes:
        log_id: the incarnation; a manifest names it with its keys.
        statement_digest: hex SHA-256 of the admission statement that the manifest is served with.
        signed: whether an admission key of the pinned root signed that statement.
        result: the appraisal, made anew.
    """

    log_id: str
    statement_digest: str
    signed: bool
    result: AttestationResult


def recheck(
    unverified_record: bytes,
    *,
    policy: Policy | None = None,
    root: bytes | None = None,
    level: EvidenceLevel = EvidenceLevel.NONE,
    incarnation: str | None = None,
    appraise: Appraise = appraise,
) -> Rechecked:
    """Appraise the evidence of a record (`GET /admissions/{log id}`) at the time at which it was admitted.

    Args:
        unverified_record: the JSON.
        policy: one's own policy; without it the authority's, which is in the record under its hash.
        root: the pinned root document; without it the statement's signature is not looked at.
        level: the least level that the evidence must establish.
        incarnation: the log id that it must be about, as the manifest or a key names it.
        appraise: another appraisal than the shipped roots', for tests.

    Raises:
        Refused: with what does not fit.
        Misconfigured: root or policy is unusable.
    """
    record = strict_object(unverified_record)
    if record.get("format") != FORMAT:
        raise Refused(Code.MALFORMED, "not an admission record of a known version")
    statement, text = _text(record, "statement"), _text(record, "result")
    claims = _claims(statement)
    if hashlib.sha256(text.encode()).hexdigest() != claims.get("result"):
        raise Refused(Code.BINDING_MISMATCH, "the result is not the one that the admission names")
    key = _identity(claims)
    if incarnation is not None and _log_id(key) != incarnation:
        raise Refused(Code.BINDING_MISMATCH, "the record is about another incarnation")
    facts = strict_object(text.encode())
    if facts.get("appraiser") != "sealwright-attest":
        raise Refused(Code.LEVEL_TOO_LOW, "this admission rests on no evidence that could be appraised")
    _require_named(facts, claims)
    bundle = parse_bundle(_text(facts, "evidence").encode())
    if bundle.unverified_identity_key != key:
        raise Refused(Code.BINDING_MISMATCH, "the evidence is about another identity key")
    rules = policy or _policy_of(facts)
    nonce, at = bytes.fromhex(_text(facts, "nonce")), datetime.fromtimestamp(int(facts["at"]), UTC)
    result = appraise(bundle, nonce=nonce, policy=rules, now=at)
    if result.verdict is Verdict.REFUSED:
        result.require_accepted()
    if result.level.value != claims.get("evidence") or result.level.rank < level.rank:
        said = f"the evidence is worth {result.level}, the admission says {claims.get('evidence')}"
        said += f", and {level} is asked for"
        raise Refused(Code.LEVEL_TOO_LOW, said)
    signed = _require_signed(statement, root) if root is not None else False
    digest = hashlib.sha256(statement.encode()).hexdigest()
    return Rechecked(_log_id(key), digest, signed, result)


def _require_named(facts: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """Refuse a record whose policies are not those that the signed statement names; older ones hold none."""
    asked = facts.get("admission_policy")
    if asked is None:
        return
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    named = hashlib.sha256(text.encode()).hexdigest() == claims.get("policy")
    if not named or not isinstance(asked, dict) or asked.get("appraisal") != facts.get("policy"):
        raise Refused(Code.BINDING_MISMATCH, "the policy is not the one that the admission names")


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        raise Refused(Code.MALFORMED, f"{name} is missing or no text")
    return value


def _from_b64u(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(Code.MALFORMED, "not base64url") from error


def _claims(statement: str) -> dict[str, Any]:
    parts = statement.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        raise Refused(Code.MALFORMED, "the statement is no JWS")
    return strict_object(_from_b64u(parts[1]))


def _identity(claims: Mapping[str, Any]) -> bytes:
    """SubjectPublicKeyInfo (DER) of the admitted identity key, whose log id must be the one claimed."""
    jwk = claims.get("jwk")
    if not isinstance(jwk, dict) or not isinstance(jwk.get("x"), str):
        raise Refused(Code.MALFORMED, "the statement names no identity key")
    key = _spki(jwk["x"])
    if _log_id(key) != claims.get("incarnation"):
        raise Refused(Code.BINDING_MISMATCH, "the log id is not that of the identity key")
    return key


def _spki(x: str) -> bytes:
    try:
        public = Ed25519PublicKey.from_public_bytes(_from_b64u(x))
    except ValueError as error:
        raise Refused(Code.MALFORMED, "not an Ed25519 key") from error
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _log_id(spki: bytes) -> str:
    return base64.b32encode(hashlib.sha256(spki).digest()[:10]).decode().lower()


def _policy_of(facts: Mapping[str, Any]) -> Policy:
    try:
        policy = parse_policy(_text(facts, "policy_document").encode())
    except Misconfigured as error:
        raise Refused(
            Code.MALFORMED, "the record has no usable policy; name one of your own", str(error)
        ) from error
    if policy.hash() != facts.get("policy"):
        raise Refused(Code.BINDING_MISMATCH, "the policy in the record is not the one that it names")
    return policy


def _require_signed(statement: str, root: bytes) -> bool:
    """Whether an admission key of the pinned root signed the statement; it raises when none did."""
    try:
        payload = strict_object(_from_b64u(strict_object(root)["payload"]))
        keys = [jwk["x"] for jwk in payload["roles"]["admission"]["keys"]]
    except (Refused, KeyError, TypeError) as error:
        raise Misconfigured("the root document is malformed") from error
    signing_input, _, signature = statement.rpartition(".")
    for x in keys:
        try:
            Ed25519PublicKey.from_public_bytes(_from_b64u(x)).verify(
                _from_b64u(signature), signing_input.encode()
            )
        except (InvalidSignature, ValueError):
            continue
        return True
    raise Refused(Code.SIGNATURE_INVALID, "no admission key of the root signed this statement")
