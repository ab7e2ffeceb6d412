"""Checks a DPoP proof (RFC 9449 §4.3): one function a step, in the order of the table at the end.

Pure but for the replay store, which comes last: only a proof that is good in every other way is remembered.
May never take a proof for another token, another method or another address than the ones at hand.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import InvalidSignature

from sealwright_validate.algorithms import Algorithm, Verifier, verifier_for
from sealwright_validate.encoding import MAX_TIME, decode_base64url, decode_json_object, encode_base64url
from sealwright_validate.errors import Reason, Refused, Unavailable
from sealwright_validate.jwk import public_key, thumbprint
from sealwright_validate.nonces import Nonces
from sealwright_validate.replay import ReplayStore
from sealwright_validate.uri import same_resource

PROOF_TYPE: Final = "dpop+jwt"
MAX_PROOF_BYTES: Final = 8 * 1024
MAX_JTI_LENGTH: Final = 256
ALGORITHMS: Final = frozenset(
    (Algorithm.ES256, Algorithm.ES384, Algorithm.EDDSA, Algorithm.ED25519, Algorithm.PS256, Algorithm.RS256)
)


@dataclass(slots=True)
class ProofCase:
    """One proof before the steps. `binding` is the `jkt` of the token; times are seconds since 1970."""

    unverified_proof: str
    token: str
    binding: str
    method: str
    uri: str
    now: float
    window: float
    nonces: Nonces | None
    store: ReplayStore
    header: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, Any] = field(default_factory=dict)
    verify: Verifier | None = None


def take_proof_apart(case: ProofCase) -> None:
    """The proof is one well-formed JWT of at most 8 KiB with a JSON header and a JSON payload."""
    parts = case.unverified_proof.split(".")
    if len(case.unverified_proof) > MAX_PROOF_BYTES or len(parts) != 3:  # noqa: PLR2004 - three parts
        raise _invalid("not a compact JWS of bounded size")
    case.header = decode_json_object(decode_base64url(parts[0]))
    case.claims = decode_json_object(decode_base64url(parts[1]))


def require_proof_header(case: ProofCase) -> None:
    """Its header has the type `dpop+jwt`, an asymmetric algorithm, a public key, and nothing that changes
    meaning.
    """
    header = case.header
    if header.get("typ") != PROOF_TYPE:
        raise _invalid("typ")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _invalid("alg")
    if not header.keys() <= {"typ", "alg", "jwk", "kid"}:
        raise _invalid("a header parameter that no proof has")


def require_bound_key(case: ProofCase) -> None:
    """Its key is the one that the token is bound to (`cnf.jkt`, RFC 9449 §6.1)."""
    algorithm, jkt, case.verify = _proof_key(_canonical(case.header.get("jwk")), str(case.header["alg"]))
    if jkt != case.binding:
        raise _invalid("the key of the proof is not the one that the token is bound to")
    if case.header["alg"] not in (algorithm, *_same_family(algorithm)):
        raise _invalid("alg is not one of the key's")


def require_proof_signature(case: ProofCase) -> None:
    """Its signature is valid under that key."""
    head, _, last = case.unverified_proof.rpartition(".")
    try:
        if case.verify is not None:
            case.verify(decode_base64url(last), head.encode("ascii"))
            return
    except InvalidSignature:
        pass
    raise _invalid("signature")


def require_method_and_uri(case: ProofCase) -> None:
    """It was made for this method (`htm`) and this address (`htu`), query and fragment aside."""
    if case.claims.get("htm") != case.method:
        raise _invalid("htm is another method")
    address = case.claims.get("htu")
    if not isinstance(address, str) or not same_resource(address, case.uri):
        raise _invalid("htu is another address")


def require_token_hash(case: ProofCase) -> None:
    """It was made for this very token (`ath`)."""
    expected = encode_base64url(sha256(case.token.encode("ascii")).digest())
    if case.claims.get("ath") != expected:
        raise _invalid("ath is missing or of another token")


def require_proof_time(case: ProofCase) -> None:
    """It was made just now: `iat` lies within the window on either side."""
    made = case.claims.get("iat")
    is_time = (type(made) is int or type(made) is float) and 0 <= made <= MAX_TIME
    if not is_time or abs(case.now - float(made or 0)) > case.window:
        raise _invalid("iat is missing or too far off")


def require_nonce(case: ProofCase) -> None:
    """It carries the nonce of this service, where this service gives them out."""
    if case.nonces is None:
        return
    nonce = case.claims.get("nonce")
    if not isinstance(nonce, str) or not case.nonces.is_ours(nonce, case.now):
        raise Refused(Reason.PROOF_NONCE_REQUIRED, "nonce is missing or out of date")


def require_first_use(case: ProofCase) -> None:
    """It has not been used before: `jti` is remembered for as long as the proof could be used again."""
    jti = case.claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_LENGTH:
        raise _invalid("jti is missing or too long")
    name = sha256(f"{case.binding}\n{jti}".encode()).digest()
    try:
        new = case.store.first_use(name, case.now, case.now + 2 * case.window)
    except Unavailable as error:
        raise Refused(Reason.PROOF_UNCERTAIN, str(error)) from None
    if not new:
        raise Refused(Reason.PROOF_REPLAYED, "jti was used before")


PROOF_STEPS: Final[tuple[Callable[[ProofCase], None], ...]] = (
    take_proof_apart,
    require_proof_header,
    require_bound_key,
    require_proof_signature,
    require_method_and_uri,
    require_token_hash,
    require_proof_time,
    require_nonce,
    require_first_use,
)


def require_proof(case: ProofCase) -> None:
    """Every step, in order; whatever is malformed is an invalid proof."""
    try:
        for step in PROOF_STEPS:
            step(case)
    except Refused as refusal:
        if refusal.reason in _OF_PROOFS:
            raise
        raise _invalid(refusal.detail) from None


_OF_PROOFS: Final = frozenset(
    (Reason.PROOF_INVALID, Reason.PROOF_REPLAYED, Reason.PROOF_NONCE_REQUIRED, Reason.PROOF_UNCERTAIN)
)


def _invalid(detail: str) -> Refused:
    return Refused(Reason.PROOF_INVALID, detail)


def _canonical(unverified_jwk: Any) -> tuple[tuple[str, str], ...]:
    """The members of a JWK as a hashable value, so that a client's key is read once and not with every
    request.
    """
    if not isinstance(unverified_jwk, dict) or not all(
        isinstance(value, str) for value in unverified_jwk.values()
    ):
        raise _invalid("jwk is missing or no plain public key")
    return tuple(sorted(unverified_jwk.items()))


@lru_cache(maxsize=1024)
def _proof_key(members: tuple[tuple[str, str], ...], named: str) -> tuple[Algorithm, str, Verifier]:
    jwk = dict(members)
    if jwk.get("kty") == "RSA":
        jwk.setdefault("alg", named)  # an RSA key leaves its algorithm open; the proof names it
    key, algorithm = public_key(jwk)
    return algorithm, thumbprint(jwk), verifier_for(key, algorithm)


def _same_family(algorithm: Algorithm) -> tuple[Algorithm, ...]:
    """EdDSA is the older name of Ed25519 (RFC 9864)."""
    return (Algorithm.EDDSA, Algorithm.ED25519) if algorithm in (Algorithm.EDDSA, Algorithm.ED25519) else ()
