"""Keys and signatures have one form each, and it is the one of the RFCs."""

import base64
from hashlib import sha256
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from sealwright_signer import jws
from sealwright_signer.custody.memory import MemoryCustody
from sealwright_signer.identity import Identity
from sealwright_signer.protocol import Code, Refused

P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_thumbprint_of_rfc_7638_section_3_1() -> None:
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw"
    )
    jwk = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert jws.thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_thumbprint_of_rfc_8037_appendix_a_3() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert jws.thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@given(st.binary(max_size=80))
def test_base64url_comes_back(data: bytes) -> None:
    text = jws.b64u(data)
    assert text == base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert jws.unb64u(text) == data


@pytest.mark.parametrize(
    "text", ["A", "AB", "AAB", "AA=", "AA==", "A A", "AA\n", "+/+/", "AAAAA", "\u0661\u0661", "AAé"]
)
def test_base64url_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="bad_request"):
        jws.unb64u(text)


@given(st.integers(1, P256 - 1), st.integers(1, P256 - 1))
def test_raw_ecdsa_is_the_two_numbers_in_32_bytes_each(r: int, s: int) -> None:
    raw = jws.ecdsa_raw(encode_dss_signature(r, s))
    assert raw == r.to_bytes(32, "big") + s.to_bytes(32, "big")


@given(st.integers(1, 2**40), st.integers(1, 2**9))
def test_raw_ecdsa_of_short_numbers_keeps_its_length(r: int, s: int) -> None:
    assert decode_dss_signature(encode_dss_signature(r, s)) == (r, s)
    assert len(jws.ecdsa_raw(encode_dss_signature(r, s))) == 64


@pytest.mark.parametrize("alg", jws.ALGORITHMS)
def test_a_verifier_takes_its_own_signature_and_no_other(alg: str) -> None:
    custody = MemoryCustody()
    handle = custody.generate(alg)
    verify = jws.verifier(custody.public_jwk(handle), alg)
    signature = custody.sign([(handle, b"message", sha256(b"message").digest())])[0]
    verify(signature, b"message")
    for bad in (signature[:-1], signature + b"\0", b"", bytes(len(signature)), signature[::-1]):
        with pytest.raises(InvalidSignature):
            verify(bad, b"message")
    with pytest.raises(InvalidSignature):
        verify(signature, b"massage")
    custody.destroy(handle)
    with pytest.raises(KeyError):
        custody.sign([(handle, b"message", sha256(b"message").digest())])


def test_only_kinds_that_the_signer_makes_have_a_jwk() -> None:
    with pytest.raises(ValueError, match="no kind"):
        jws.public_jwk(ec.generate_private_key(ec.SECP384R1()).curve)


GOOD = Identity()


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        [],
        {},
        {**GOOD.jwk, "kty": "EC"},
        {**GOOD.jwk, "crv": "X25519"},
        {**GOOD.jwk, "x": 1},
        {**GOOD.jwk, "x": GOOD.jwk["x"][:-1]},
        {**GOOD.jwk, "x": "AAAA"},
        {**GOOD.jwk, "x": GOOD.jwk["x"] + "="},
        {**GOOD.jwk, "kid": "another"},
        {"kty": ["OKP"], "crv": "Ed25519", "x": GOOD.jwk["x"]},
    ],
)
def test_what_is_no_identity_key_is_refused(jwk: Any) -> None:
    with pytest.raises(Refused, match="bad_request"):
        jws.identity_key(jwk)


def test_a_document_is_taken_from_its_key_in_its_type_only() -> None:
    other = Identity()
    document = GOOD.document("a+jwt", {"n": 1})
    keys = dict([jws.identity_key(GOOD.jwk)])
    assert jws.require_document(document, "a+jwt", keys, Code.not_admitted) == {"n": 1}
    head, body, signature = document.split(".")
    cases = [
        (document, "b+jwt", keys),
        (document, "a+jwt", dict([jws.identity_key(other.jwk)])),
        (other.document("a+jwt", {}), "a+jwt", keys),
        (f"{head}.{jws.b64u(b'{}')}.{signature}", "a+jwt", keys),
        (f"{head}.{body}.{jws.b64u(bytes(64))}", "a+jwt", keys),
        (f"{head}.{body}.", "a+jwt", keys),
    ]
    for header in (
        '{"alg":"none","kid":"%s","typ":"a+jwt"}',
        '{"alg":"EdDSA","kid":"%s","typ":"a+jwt","jwk":{}}',
        '["%s"]',
    ):
        forged = jws.b64u((header % GOOD.kid).encode())
        cases.append((f"{forged}.{body}.{jws.b64u(GOOD.sign(f'{forged}.{body}'.encode()))}", "a+jwt", keys))
    for unverified, typ, known in cases:
        with pytest.raises(Refused, match="not_admitted"):
            jws.require_document(unverified, typ, known, Code.not_admitted)
    for malformed in ("", ".", "..", "a.b.c.d", f"{head}.{body}", document + ".x", document + "="):
        with pytest.raises(Refused):
            jws.require_document(malformed, "a+jwt", keys, Code.not_admitted)
