"""Whatever comes in, only Refused comes out: tokens, key sets, manifests, roots, proofs, receipts, HTTP
heads.

Documents are taken apart, one part is replaced by something arbitrary, and they are signed again with the
right key, so that what lies behind the signature is reached.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealwright_validate import Expect, Presented, Reason, Refused, Trust, Validator
from sealwright_validate.clock import FixedClock
from sealwright_validate.conformance.authority import ThrowawayAuthority, document_header, general_jws
from sealwright_validate.conformance.keys import compact_json, jws, make_key
from sealwright_validate.conformance.scene import make_scene
from sealwright_validate.dpop import ProofCase, require_proof
from sealwright_validate.encoding import decode_base64url
from sealwright_validate.issuers import OneIssuer, entra_tenants
from sealwright_validate.jwks import jwks_address, open_jwks
from sealwright_validate.possession import certificate_from_header
from sealwright_validate.replay import MemoryReplayStore
from sealwright_validate.sidecar.wire import BadRequestError, body_length, read_head
from sealwright_validate.token import read_header

NOW = 1_800_000_000
MAIL = "https://mail.example"
EXPECT = Expect(audience=MAIL, realm="enterprise")
SCENE = make_scene(NOW)
PROVER = make_key("ES256")

texts = st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
arbitrary = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
many = settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in items:
        found += places(member, (*path, name))
    return found


@st.composite
def spoilt(draw: st.DrawFn, make: Callable[[], Any]) -> Any:
    """A document with one place replaced, removed or doubled."""
    document = json.loads(json.dumps(make()))
    path = draw(st.sampled_from(places(document)))
    if not path:
        return draw(arbitrary)
    holder = document
    for name in path[:-1]:
        holder = holder[name]
    if draw(st.booleans()):
        holder[path[-1]] = draw(arbitrary)
    else:
        del holder[path[-1]]
    return document


def only_refused(do: Callable[[], Any]) -> None:
    refusal: Refused | None = None
    try:
        do()
    except Refused as caught:
        refusal = caught
    assert refusal is None or (isinstance(refusal.reason, Reason) and refusal.public)


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


TRUST = Trust.fed(root=SCENE.authority.roots[0], clock=FixedClock(NOW))
TRUST.feed(SCENE.authority.served())
VALIDATOR = Validator(trust=TRUST, cache_size=16)


@given(spoilt(SCENE.claims))
@many
def test_any_signed_claims(claims: Any) -> None:
    only_refused(lambda: VALIDATOR.validate(SCENE.sign(claims=as_bytes(claims)).token, EXPECT))


@given(spoilt(SCENE.header))
@many
def test_any_signed_header(header: Any) -> None:
    only_refused(lambda: VALIDATOR.validate(SCENE.sign(header=as_bytes(header)).token, EXPECT))


def manifest_after(spoil: Any) -> bytes:
    authority = SCENE.authority
    identity = authority.incarnation.identity
    served = json.loads(authority.served())
    served["manifest"] = jws(identity, document_header(identity, "manifest"), as_bytes(spoil))
    return compact_json(served)


@given(spoilt(lambda: SCENE.authority.manifest_members() | {"version": 2}))
@many
def test_any_signed_manifest(members: Any) -> None:
    trust = Trust.fed(root=SCENE.authority.roots[0], clock=FixedClock(NOW))
    trust.feed(SCENE.authority.served())
    only_refused(lambda: trust.feed(manifest_after(members)))
    only_refused(lambda: Validator(trust=trust).validate(SCENE.sign().token, EXPECT))


@given(spoilt(lambda: json.loads(decode_base64url(SCENE.authority.admission().split(".")[1]))))
@many
def test_any_signed_admission(members: Any) -> None:
    trust = Trust.fed(root=SCENE.authority.roots[0], clock=FixedClock(NOW))
    key = SCENE.authority.admission_key
    served = json.loads(SCENE.authority.served())
    served["admission"] = jws(key, document_header(key, "admission"), as_bytes(members))
    only_refused(lambda: trust.feed(compact_json(served)))


@given(spoilt(lambda: json.loads(SCENE.authority.served())))
@many
def test_any_served_document(served: Any) -> None:
    trust = Trust.fed(root=SCENE.authority.roots[0], clock=FixedClock(NOW))
    only_refused(lambda: trust.feed(as_bytes(served)))


@given(spoilt(lambda: json.loads(decode_base64url(json.loads(SCENE.authority.roots[0])["payload"]))))
@many
def test_any_signed_root(payload: Any) -> None:
    trust = Trust.fed(root=SCENE.authority.roots[0], clock=FixedClock(NOW))
    only_refused(lambda: trust.advance_root(general_jws(as_bytes(payload), [SCENE.authority.root_key])))


@given(spoilt(SCENE.jwks), st.booleans())
@many
def test_any_key_set(jwks: Any, entra: bool) -> None:
    rule = (
        entra_tenants((), any_tenant=True, cloud="https://cloud.example")
        if entra
        else OneIssuer(SCENE.issuer)
    )
    only_refused(lambda: open_jwks(as_bytes(jwks), rule, None, now=NOW, lifetime=60))
    only_refused(lambda: jwks_address(as_bytes(jwks), SCENE.issuer))


def proof_case(proof: str) -> ProofCase:
    return ProofCase(proof, "token", PROVER.kid, "GET", f"{MAIL}/", NOW, 60.0, None, MemoryReplayStore())


PROOF_HEADER = {
    "typ": "dpop+jwt",
    "alg": "ES256",
    "jwk": {name: PROVER.jwk[name] for name in ("kty", "crv", "x", "y")},
}
PROOF_CLAIMS = {"jti": "1", "htm": "GET", "htu": f"{MAIL}/", "iat": NOW, "ath": "x"}


@given(spoilt(lambda: PROOF_HEADER), spoilt(lambda: PROOF_CLAIMS))
@many
def test_any_signed_proof(header: Any, claims: Any) -> None:
    for proof in (
        jws(PROVER, as_bytes(header), compact_json(PROOF_CLAIMS)),
        jws(PROVER, compact_json(PROOF_HEADER), as_bytes(claims)),
    ):
        only_refused(lambda text=proof: require_proof(proof_case(text)))  # type: ignore[misc]


@given(st.text(max_size=300))
@many
def test_any_text_as_proof_token_receipt_or_certificate(text: str) -> None:
    only_refused(lambda: require_proof(proof_case(text)))
    only_refused(lambda: VALIDATOR.validate(text, EXPECT))
    only_refused(lambda: VALIDATOR.validate(SCENE.sign().token, EXPECT, Presented(receipt=text)))
    only_refused(lambda: certificate_from_header(text))


@given(st.dictionaries(texts, arbitrary, max_size=3) | arbitrary)
@many
def test_any_binding(cnf: Any) -> None:
    token = SCENE.sign(claims=as_bytes({**SCENE.claims(), "cnf": cnf})).token
    presented = Presented(scheme="DPoP", method="GET", uri=f"{MAIL}/", proofs=("x",), certificate=b"x")
    with pytest.raises(Refused):
        VALIDATOR.validate(token, EXPECT, presented)


@given(st.binary(max_size=400))
@many
def test_any_bytes_as_http_head(head: bytes) -> None:
    for raw in (head, b"GET / HTTP/1.1\r\n" + head):
        status = 400
        try:
            body_length(read_head(raw))
        except BadRequestError as error:
            status = error.status
        assert 400 <= status < 500


def test_a_flood_of_unknown_key_ids_fills_nothing() -> None:
    authority = ThrowawayAuthority(NOW)
    key = authority.make_key()
    trust = Trust.fed(root=authority.roots[0], clock=FixedClock(NOW))
    trust.feed(authority.served())
    validator = Validator(trust=trust, cache_size=16)
    claims = compact_json(authority.claims())
    for number in range(3000):
        header = authority.header(key, kid=f"{number}" + "x" * 200)
        with pytest.raises(Refused):
            validator.validate(jws(key.key, header, claims), EXPECT)
    assert validator.health().cached_tokens == 0
    assert read_header.cache_info().currsize <= 64
    for _ in range(100):
        validator.validate(authority.token(key), EXPECT)
    assert validator.health().cached_tokens == 16
