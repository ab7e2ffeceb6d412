"""Python libraries, used as their documentation shows for access tokens of an OpenID provider.

Issuer, audience, algorithms and required claims are given wherever a library takes them. May never add a
check that a library's own documentation does not show.
"""

import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from sealwright_validate.conformance.targets.model import Said, Setup, TargetAbsentError, Verdict

Decode = Callable[[str], Any]
Made = tuple[Decode, tuple[type[Exception], ...]]
_REQUIRED: Final = ("exp", "iat", "iss", "aud", "sub")
# What a caller of a library would not think of catching.
_FAULTS: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Library:
    """One library with its decoding function and the errors that it documents."""

    def __init__(self, distribution: str, make: Callable[[Setup], Made], setup: Setup) -> None:
        try:
            self.version = version(distribution)
            self._decode, self._refusals = make(setup)
        except (ImportError, PackageNotFoundError) as error:
            raise TargetAbsentError(f"{distribution} is not installed ({error})") from None
        self.name = distribution
        self.knows_manifest = False

    def judge(self, token: str) -> Said:
        """Put one token to it."""
        with warnings.catch_warnings(record=True, action="always"):
            try:
                self._decode(token)
            except self._refusals as error:
                return Said(Verdict.REFUSED, type(error).__name__)
            except _FAULTS as error:
                return Said(Verdict.CRASHED, type(error).__name__)
        return Said(Verdict.ACCEPTED)

    def close(self) -> None:
        """Nothing to let go."""


def pyjwt(setup: Setup) -> Made:
    """PyJWT: the key by the token's kid from the set, then decode with issuer, audience, algorithms, required
    claims.
    """
    import jwt

    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(setup.jwks).keys}

    def decode(token: str) -> Any:
        kid = jwt.get_unverified_header(token).get("kid")
        key = keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise jwt.PyJWKClientError("no key of the set matches")
        return jwt.decode(
            token,
            key,
            algorithms=list(setup.algorithms),
            issuer=setup.issuer,
            audience=setup.audience,
            options={"require": list(_REQUIRED)},
        )

    return decode, (jwt.PyJWTError,)


def joserfc(setup: Setup) -> Made:
    """joserfc: decode with the key set, then its registry of claims."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    keys = KeySet.import_key_set(setup.jwks)  # type: ignore[arg-type] # it takes the object of the JWKS
    claims = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": setup.issuer},
        aud={"essential": True, "value": setup.audience},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
    )

    def decode(token: str) -> Any:
        claims.validate(jwt.decode(token, keys, algorithms=list(setup.algorithms)).claims)

    return decode, (JoseError,)


def authlib(setup: Setup) -> Made:
    """Authlib: decode with the key set and claims options, then validate."""
    with warnings.catch_warnings(
        record=True, action="always"
    ):  # it recommends joserfc, which is a target of its own
        from authlib.jose import JsonWebKey, JsonWebToken
        from authlib.jose.errors import JoseError

    keys = JsonWebKey.import_key_set(setup.jwks)
    reader = JsonWebToken(list(setup.algorithms))
    options = {
        "iss": {"essential": True, "value": setup.issuer},
        "aud": {"essential": True, "value": setup.audience},
        **{name: {"essential": True} for name in ("exp", "iat", "sub")},
    }

    def decode(token: str) -> Any:
        reader.decode(token, keys, claims_options=options).validate()

    return decode, (JoseError,)


def python_jose(setup: Setup) -> Made:
    """python-jose: the key by the token's kid from the set, then decode with issuer, audience, algorithms and
    its require options.
    """
    from jose import jwt
    from jose.exceptions import JOSEError

    options = {f"require_{name}": True for name in _REQUIRED}
    keys = {key["kid"]: key for key in setup.jwks["keys"]}

    def decode(token: str) -> Any:
        key = keys.get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise JOSEError("no key of the set matches")
        return jwt.decode(
            token,
            key,
            algorithms=list(setup.algorithms),
            issuer=setup.issuer,
            audience=setup.audience,
            options=options,
        )

    return decode, (JOSEError,)


def jwcrypto(setup: Setup) -> Made:
    """jwcrypto: JWT with key set, algorithms and claims to check (which turns its own check of nbf off)."""
    import json

    from jwcrypto.common import JWException
    from jwcrypto.jwk import JWKSet
    from jwcrypto.jwt import JWT

    keys = JWKSet.from_json(json.dumps(setup.jwks))
    claims = {"iss": setup.issuer, "aud": setup.audience, "exp": None, "iat": None, "sub": None}

    def decode(token: str) -> Any:
        return JWT(jwt=token, key=keys, algs=list(setup.algorithms), check_claims=claims, expected_type="JWS")

    return decode, (JWException,)


LIBRARIES: Final[dict[str, tuple[str, Callable[[Setup], Made]]]] = {
    "pyjwt": ("PyJWT", pyjwt),
    "joserfc": ("joserfc", joserfc),
    "authlib": ("Authlib", authlib),
    "python-jose": ("python-jose", python_jose),
    "jwcrypto": ("jwcrypto", jwcrypto),
}
