"""How each library validates one access token, used as its documentation says, with its key parsed
beforehand.

Each checks signature, algorithm, expiry, issuer and audience and returns the claims, or raises. None may be
given a short cut that its users do not have, and none may check less than that; `require_checks` holds them
to it.
"""

import base64
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt as pyjwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from jose import jwk as python_jose_jwk
from jose import jwt as python_jose
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jwt as jwcrypto_jwt

from harness.model import WrongAnswer

Validate = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must be to pass."""

    algorithm: str
    jwk: Mapping[str, str]
    issuer: str
    audience: str


def unb64(text: str) -> bytes:
    """Base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def with_pyjwt(expected: Expected) -> Validate:
    """PyJWT with the key as an object of `cryptography`."""
    key = pyjwt.PyJWK(dict(expected.jwk), expected.algorithm).key
    algorithms, options = [expected.algorithm], {"require": ["exp", "iss", "aud"]}

    def validate(token: str) -> object:
        return pyjwt.decode(
            token,
            key,
            algorithms=algorithms,
            audience=expected.audience,
            issuer=expected.issuer,
            options=options,  # type: ignore[arg-type]  # a dict literal of PyJWT's Options
        )

    return validate


def with_joserfc(expected: Expected) -> Validate:
    """Decoding by joserfc, claims by its registry."""
    key = joserfc_jwk.import_key(dict(expected.jwk))
    algorithms = ["Ed25519", "EdDSA"] if expected.algorithm == "EdDSA" else [expected.algorithm]
    registry = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": expected.issuer},
        aud={"essential": True, "value": expected.audience},
        exp={"essential": True},
    )

    def validate(token: str) -> object:
        decoded = joserfc_jwt.decode(token, key, algorithms=algorithms)
        registry.validate(decoded.claims)
        return decoded.claims

    return validate


def with_authlib(expected: Expected) -> Validate:
    """Authlib's own jose module, which it keeps beside joserfc."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its end on import
        from authlib.jose import JsonWebKey, JsonWebToken
    key, tokens = JsonWebKey.import_key(dict(expected.jwk)), JsonWebToken([expected.algorithm])
    wanted = {
        "iss": {"essential": True, "value": expected.issuer},
        "aud": {"essential": True, "value": expected.audience},
        "exp": {"essential": True},
    }

    def validate(token: str) -> object:
        claims = tokens.decode(token, key, claims_options=wanted)
        claims.validate()
        return claims

    return validate


def with_python_jose(expected: Expected) -> Validate:
    """The library python-jose on its `cryptography` backend."""
    key = python_jose_jwk.construct(dict(expected.jwk), expected.algorithm)

    def validate(token: str) -> object:
        return python_jose.decode(
            token,
            key,
            algorithms=expected.algorithm,
            audience=expected.audience,
            issuer=expected.issuer,
            options={"require_exp": True, "require_iss": True, "require_aud": True},
        )

    return validate


def with_jwcrypto(expected: Expected) -> Validate:
    """The library jwcrypto."""
    key = jwcrypto_jwk.JWK(**expected.jwk)
    wanted = {"iss": expected.issuer, "aud": expected.audience, "exp": None}

    def validate(token: str) -> object:
        checked = jwcrypto_jwt.JWT(jwt=token, key=key, algs=[expected.algorithm], check_claims=wanted)
        return json.loads(checked.claims)

    return validate


LIBRARIES: Mapping[str, tuple[Callable[[Expected], Validate], frozenset[str]]] = {
    "PyJWT": (with_pyjwt, frozenset({"ES256", "EdDSA", "RS256", "PS256"})),
    "joserfc": (with_joserfc, frozenset({"ES256", "EdDSA", "RS256", "PS256"})),
    "Authlib's jose": (with_authlib, frozenset({"ES256", "EdDSA", "RS256", "PS256"})),
    "python-jose": (with_python_jose, frozenset({"ES256", "RS256"})),
    "jwcrypto": (with_jwcrypto, frozenset({"ES256", "EdDSA", "RS256", "PS256", "ML-DSA-44"})),
}


def raw_verify(expected: Expected, tokens: Sequence[str]) -> Validate:
    """Nothing but the signature check of `cryptography`, the tokens taken apart beforehand: what cannot
    be saved.
    """
    parts = {token: token.rpartition(".") for token in tokens}
    inputs = {token: (unb64(signature), head.encode()) for token, (head, _, signature) in parts.items()}
    if expected.algorithm == "ML-DSA-44":
        lattice = mldsa.MLDSA44PublicKey.from_public_bytes(unb64(expected.jwk["pub"]))
        return lambda token: lattice.verify(*inputs[token])
    key: Any = pyjwt.PyJWK(dict(expected.jwk), expected.algorithm).key
    if isinstance(key, ec.EllipticCurvePublicKey):
        scheme = ec.ECDSA(SHA256())
        inputs = {token: (der(signature), message) for token, (signature, message) in inputs.items()}
        return lambda token: key.verify(*inputs[token], scheme)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return lambda token: key.verify(*inputs[token])
    modulus: rsa.RSAPublicKey = key
    pad = padding.PKCS1v15() if expected.algorithm == "RS256" else padding.PSS(padding.MGF1(SHA256()), 32)
    digest = SHA256()
    return lambda token: modulus.verify(*inputs[token], pad, digest)


def der(signature: bytes) -> bytes:
    """An ES256 signature in the form that `cryptography` takes."""
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def require_checks(name: str, validate: Validate, good: str, bad: Mapping[str, str]) -> None:
    """The library accepts the good token and refuses every bad one; raises WrongAnswer otherwise."""
    validate(good)
    for flaw, token in bad.items():
        try:
            validate(token)
        except Exception:  # noqa: BLE001, S112 - each library has errors of its own, all of them refusals
            continue
        raise WrongAnswer(f"{name} accepts a token with {flaw}")


def rate(validate: Validate, tokens: Sequence[str], seconds: float) -> float:
    """Validations per second, over the tokens in turn, for at least this long."""
    done, clock = 0, time.perf_counter
    started = clock()
    while (taken := clock() - started) < seconds:
        for token in tokens:
            validate(token)
        done += len(tokens)
    return done / taken
