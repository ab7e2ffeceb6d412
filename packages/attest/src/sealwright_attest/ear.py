"""Results as EAR (draft-ietf-rats-ear-04) with the AR4SI trustworthiness vector (draft-ietf-rats-ar4si-10).

It may never affirm what was not established: a simulated root is contraindicated whatever the policy says, a
policy that accepts any measurement makes no claim about executables, and every failed check moves some claim
of the vector.
"""

import base64
import json
from importlib.metadata import version
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .errors import Code, Misconfigured, Refused
from .keys import ecdsa_raw
from .model import AttestationResult, EvidenceLevel, Kind, Outcome, Stage
from .octets import b64url, malformed, strict_object
from .record import check_record

PROFILE: Final = "tag:ietf.org,2026:rats/ear#04"
DEVELOPER: Final = "Sealwright"
SigningKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
VerifyingKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
_HALF: Final = 32

CLAIMS: Final = (
    "instance-identity", "configuration", "executables", "file-system", "hardware", "runtime-opaque",
    "storage-opaque", "sourced-data",
)  # fmt: skip

# Which claim a failed check moves, and to which AR4SI value. Everything of form and genuineness that is not
# named here moves `hardware` to 97 (not recognised), everything of freshness `instance-identity` to 96.
_MOVES: Final[dict[Code, tuple[str, int]]] = {
    Code.INSTANCE_REFUSED: ("instance-identity", 97),
    Code.REBOOTED: ("instance-identity", 96),
    Code.AK_UNTRUSTED: ("instance-identity", 97),
    Code.AK_UNFIT: ("instance-identity", 96),
    Code.CERTIFICATE_REVOKED: ("hardware", 96),
    Code.TCB_STATUS: ("hardware", 32),
    Code.TCB_FLOOR: ("hardware", 32),
    Code.TCB_UNKNOWN: ("hardware", 96),
    Code.ADVISORY_REFUSED: ("hardware", 32),
    Code.COLLATERAL_TOO_OLD: ("hardware", 32),
    Code.LEVEL_TOO_LOW: ("hardware", 97),
    Code.PRODUCT_REFUSED: ("hardware", 97),
    Code.SIGNING_KEY_REFUSED: ("hardware", 97),
    Code.PROVIDER_REFUSED: ("hardware", 97),
    Code.PLATFORM_REFUSED: ("hardware", 97),
    Code.REPORT_VERSION_REFUSED: ("hardware", 32),
    Code.DEBUG: ("runtime-opaque", 96),
    Code.MEASUREMENT_UNKNOWN: ("executables", 33),
    Code.IMAGE_SIGNER_UNKNOWN: ("executables", 33),
    Code.PCR_VALUE: ("executables", 33),
    Code.PCR_SELECTION: ("executables", 33),
    Code.EVENT_LOG_MISSING: ("executables", 33),
    Code.EVENT_LOG_MISMATCH: ("executables", 96),
    Code.MEASUREMENT_REVOKED: ("executables", 96),
}
_OPAQUE: Final = {Kind.SEV_SNP, Kind.TDX, Kind.AZURE}


def tier(value: int) -> str:
    """Return the AR4SI tier of a claim value: none, affirming, warning or contraindicated."""
    if -1 <= value <= 1:
        return "none"
    size = value if value > 0 else -value - 1
    if size < 32:  # noqa: PLR2004
        return "affirming"
    return "warning" if size < 96 else "contraindicated"  # noqa: PLR2004


_TIERS: Final = ("none", "affirming", "warning", "contraindicated")


def _base(result: AttestationResult) -> dict[str, int]:
    vector = dict.fromkeys(CLAIMS, 0)
    passed = {
        one.field for one in result.checks if one.outcome is Outcome.PASSED and one.stage is Stage.POLICY
    }
    if not result.genuine:
        vector["hardware"] = 97
        return vector
    if result.level is EvidenceLevel.SIMULATED:
        vector["hardware"] = 97
        return vector
    if result.level is EvidenceLevel.HARDWARE:
        vector["hardware"] = 2
    if result.kind in _OPAQUE:
        vector["runtime-opaque"] = 2
    vector["configuration"] = 2
    if passed & {"report.chip_id", "platform.ppid", "platform.instance", "vm.id", "enclave.module_id"}:
        vector["instance-identity"] = 2
    registers = any(field.startswith("register.") for field in passed)
    if "measurement.launch" in passed:
        vector["executables"] = 2 if registers else 3
    elif registers:
        vector["executables"] = 3
    return vector


def trustworthiness(result: AttestationResult) -> dict[str, int]:
    """Return the AR4SI vector of a result: claim name to value, 0 where nothing is claimed."""
    vector = _base(result)
    for check in result.checks:
        if check.outcome not in {Outcome.FAILED, Outcome.WARNED}:
            continue
        if check.code in _MOVES:
            claim, value = _MOVES[check.code]
        elif check.stage in {Stage.FORM, Stage.GENUINE}:
            claim, value = "hardware", 97
        elif check.stage is Stage.FRESH:
            claim, value = "instance-identity", 96
        else:
            claim, value = "configuration", 96
        if check.outcome is Outcome.WARNED or check.grace_until is not None:
            value = min(value, 33)
        if _TIERS.index(tier(value)) >= _TIERS.index(tier(vector[claim])):
            vector[claim] = max(vector[claim], value)
    return vector


def status(vector: dict[str, int]) -> str:
    """Return the worst tier of a vector."""
    return max((tier(value) for value in vector.values()), key=_TIERS.index)


def ear_claims(result: AttestationResult) -> dict[str, Any]:
    """Return the EAR claims set of a result, ready to be signed."""
    vector = trustworthiness(result)
    digest = bytes.fromhex(result.policy_hash.removeprefix("sha256:"))
    submodule: dict[str, Any] = {
        "ear_status": status(vector),
        "ear_trustworthiness_vector": {name: value for name, value in vector.items() if value}
        or {"configuration": 0},
        "ear_appraisal_policy_ids": [f"ni:///sha-256;{_encode(digest)}"],
        "sealwright_appraisal": {
            "verdict": result.verdict.value,
            "evidence_level": result.level.value,
            "policy": result.policy_name,
            "evidence_sha256": result.evidence_hash,
            "failed": [check_record(one) for one in result.checks if one.outcome is Outcome.FAILED],
        },
    }
    if result.identity_key is not None:
        submodule["sealwright_appraisal"]["identity_key"] = _encode(result.identity_key)
    claims: dict[str, Any] = {
        "eat_profile": PROFILE,
        "iat": int(result.evaluated_at.timestamp()),
        "ear_verifier_id": {
            "developer": DEVELOPER,
            "build": f"sealwright-attest {version('sealwright-attest')}",
        },
        "submods": {result.kind.value: submodule},
    }
    if result.nonce is not None:
        claims["eat_nonce"] = _encode(result.nonce)
    return claims


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _algorithm(key: SigningKey | VerifyingKey) -> str:
    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return "EdDSA"
    if key.curve.name == "secp256r1":
        return "ES256"
    raise Misconfigured("an EAR is signed with Ed25519 or P-256")


def sign_ear(result: AttestationResult, key: SigningKey, key_id: str) -> str:
    """Return the result as an EAR JWT, signed with Ed25519 (EdDSA) or P-256 (ES256).

    Raises:
        Misconfigured: the key is of another kind.
    """
    header = {"alg": _algorithm(key), "typ": "eat+jwt"} | ({"kid": key_id} if key_id else {})
    parts = [json.dumps(one, separators=(",", ":")).encode() for one in (header, ear_claims(result))]
    signing_input = ".".join(_encode(part) for part in parts).encode()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(signing_input)
    else:
        r, s = decode_dss_signature(key.sign(signing_input, ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")
    return f"{signing_input.decode()}.{_encode(signature)}"


def verify_ear(unverified_token: str, key: VerifyingKey) -> dict[str, Any]:
    """Return the claims of an EAR JWT that this key signed; its `iat` and nonce are the caller's to judge.

    Raises:
        Refused: `malformed`, `signature-invalid`, or `version-unknown` for another profile.
    """
    parts = unverified_token.split(".")
    if len(parts) != 3:  # noqa: PLR2004
        raise malformed("not a JWT")
    header, body, signature = (b64url(part, "a JWT part") for part in parts)
    expected = {"alg": _algorithm(key), "typ": "eat+jwt"}
    named = strict_object(header)
    if {name: named.get(name) for name in expected} != expected or set(named) - {"alg", "typ", "kid"}:
        raise Refused(Code.SIGNATURE_INVALID, "the EAR is signed in another way than with this key")
    signing_input = unverified_token.rpartition(".")[0].encode()
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, signing_input)
        else:
            wrapped = ecdsa_raw(signature[:_HALF], signature[_HALF:])
            key.verify(wrapped, signing_input, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as err:
        raise Refused(Code.SIGNATURE_INVALID, "the EAR's signature does not verify") from err
    claims = strict_object(body)
    if claims.get("eat_profile") != PROFILE:
        raise Refused(Code.VERSION_UNKNOWN, "not an EAR of the known profile")
    return claims
