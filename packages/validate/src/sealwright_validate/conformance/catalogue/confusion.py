"""Algorithms and kinds of token that are taken for another: none, HMAC with a public key, ID tokens, other
typ.

May never use a signature that would verify under what the token calls itself.
"""

import hmac
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright_validate.conformance.case import Collector, Force
from sealwright_validate.conformance.keys import compact_json
from sealwright_validate.conformance.scene import Scene, Signed
from sealwright_validate.encoding import encode_base64url
from sealwright_validate.errors import Reason

_NONES = ("none", "None", "NONE", "nOnE", "none ", "", "null")
_HMACS = (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512"))
_TYPES = (
    "JWT",
    "jwt",
    "id+jwt",
    "rt+jwt",
    "logout+jwt",
    "secevent+jwt",
    "dpop+jwt",
    "client-authentication+jwt",
)
_SEALWRIGHT_TYPES = ("sealwright-manifest+jwt", "sealwright-admission+jwt", "sealwright-root+jwt")


def cases(scene: Scene) -> Collector:
    """Tokens of the wrong algorithm or the wrong kind."""
    found = Collector("confusion", "RFC 8725 §2.1, §3.1, §3.11")
    _none(scene, found)
    _hmac(scene, found)
    _other_algorithms(scene, found)
    _types(scene, found)
    return found


def _none(scene: Scene, found: Collector) -> None:
    for number, name in enumerate(_NONES):
        header, payload = compact_json(scene.header(alg=name)), compact_json(scene.claims())
        label = f"alg_{name.strip().lower() or 'empty'}" + (f"_{number}" if number in (1, 2, 3, 4) else "")
        unsigned = Signed(header, payload, b"")
        found.bad(
            label,
            f"alg is {name!r}, no signature",
            unsigned.token,
            Reason.ALGORITHM_NOT_ALLOWED,
            Reason.TOKEN_MALFORMED,
        )
        found.bad(
            f"{label}_with_signature",
            f"alg is {name!r}, over a signature of another key",
            scene.sign(header, payload, scene.stranger).token,
            Reason.ALGORITHM_NOT_ALLOWED,
        )


def _hmac(scene: Scene, found: Collector) -> None:
    issued = scene.good["RS256"]
    public = issued.key.private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secrets = {
        "pem": pem,
        "pem_without_line_end": pem.strip(),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": compact_json(dict(issued.key.jwk)),
        "modulus": issued.key.jwk["n"].encode(),
        "empty": b"",
    }
    for algorithm, digest in _HMACS:
        for name, secret in secrets.items():
            header, payload = compact_json(scene.header(issued, alg=algorithm)), compact_json(scene.claims())
            message = f"{encode_base64url(header)}.{encode_base64url(payload)}".encode()
            forged = Signed(header, payload, hmac.digest(secret, message, digest))
            found.bad(
                f"alg_{algorithm.lower()}_keyed_with_{name}",
                f"alg is {algorithm}, keyed with the public key as text ({name})",
                forged.token,
                Reason.ALGORITHM_NOT_ALLOWED,
            )


def _other_algorithms(scene: Scene, found: Collector) -> None:
    rsa = scene.good["RS256"]
    for algorithm in ("RS384", "RS512", "PS256", "PS384"):
        found.bad(
            f"alg_{algorithm.lower()}_with_key_for_rs256",
            f"a valid {algorithm} signature of a key that was published for RS256",
            scene.sign(scene.header(rsa, alg=algorithm), key=rsa.key, algorithm=algorithm).token,
            Reason.ALGORITHM_MISMATCH,
            force=Force.SHOULD,
        )
    for algorithm in ("RS256", "EdDSA", "ES384", "ES512", "ES256K", "PS256"):
        found.bad(
            f"alg_{algorithm.lower()}_over_es256",
            f"an ES256 signature that calls itself {algorithm}",
            scene.sign(scene.header(alg=algorithm), key=scene.key.key).token,
            Reason.ALGORITHM_MISMATCH,
            Reason.ALGORITHM_NOT_ALLOWED,
        )
    odd: tuple[tuple[str, Any], ...] = (
        ("lower_case", "es256"),
        ("array", ["ES256"]),
        ("object", {"name": "ES256"}),
        ("number", 7),
        ("missing", None),
        ("with_nul", "ES256\x00"),
        ("encryption", "RSA-OAEP"),
        ("direct", "dir"),
    )
    for name, value in odd:
        found.bad(
            f"alg_{name}",
            "alg is missing" if value is None else f"alg is {value!r}, over a good ES256 signature",
            scene.sign(scene.header(alg=value), key=scene.key.key).token,
            Reason.ALGORITHM_NOT_ALLOWED,
        )


def _types(scene: Scene, found: Collector) -> None:
    for typ in (*_TYPES, *_SEALWRIGHT_TYPES):
        found.bad(
            f"typ_{typ.replace('+', '_').replace('-', '_')}{'_upper' if typ == 'JWT' else ''}",
            f"typ is {typ}, signed with the right key",
            scene.sign(scene.header(typ=typ)).token,
            Reason.TYPE_NOT_ALLOWED,
            force=Force.SHOULD,
            why="RFC 9068 §4; RFC 8725 §3.11",
        )
    odd: tuple[tuple[str, Any], ...] = (
        ("missing", None),
        ("number", 1),
        ("array", ["at+jwt"]),
        ("empty", ""),
    )
    for name, value in odd:
        found.bad(
            f"typ_{name}",
            "no typ" if value is None else f"typ is {value!r}",
            scene.sign(scene.header(typ=value)).token,
            Reason.TYPE_NOT_ALLOWED,
            force=Force.SHOULD,
            why="RFC 9068 §4",
        )
    found.bad(
        "id_token_as_access_token",
        "an ID token (typ JWT, nonce, at_hash, aud is the client) as an access token",
        scene.sign(
            scene.header(typ="JWT"),
            scene.claims(
                aud="mail-client", nonce="n-0S6_WzA2Mj", at_hash="77QmUPtjPfzWtF2AnpK9RQ", client_id=None
            ),
        ).token,
        Reason.TYPE_NOT_ALLOWED,
    )
    found.bad(
        "id_token_for_our_audience",
        "the same, with our audience",
        scene.sign(scene.header(typ="JWT"), scene.claims(nonce="n", at_hash="77QmUPtjPfzWtF2AnpK9RQ")).token,
        Reason.TYPE_NOT_ALLOWED,
        force=Force.SHOULD,
    )
