"""Everything that the signer signs verifies, and agrees with its leaf and its place."""

import base64
import hashlib
import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealwright_signer import jws
from sealwright_signer.journal import TokenLeaf, note_key_id, parse_leaf
from sealwright_signer.tree import leaf_hash, node_hash

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
EXTRA = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "auth_time": st.integers(0, 2**53 - 1),
        "acr": TEXT,
        "amr": st.lists(TEXT, min_size=1, max_size=3),
        "cnf": st.fixed_dictionaries({"jkt": TEXT}) | st.fixed_dictionaries({"x5t#S256": TEXT}),
        "parent": TEXT,
        "act": st.fixed_dictionaries({"sub": TEXT}),
    },
)
AUDIENCES = st.sampled_from([["https://mail.example"], ["https://files.example", "https://mail.example"]])


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def require_checkpoint(rig: Any) -> None:
    text, _, signature = rig.checkpoint.rpartition("\n\n")
    origin, size, root = text.split("\n")
    identity = rig.signer.identity
    assert origin == f"127.0.0.1:8420/ledger/{identity.log_id}"
    assert int(size) == len(rig.leaves)
    assert base64.b64decode(root) == naive_root(rig.leaves)
    dash, name, blob = signature.split()
    raw = base64.b64decode(blob)
    assert (dash, name, raw[:4]) == ("\u2014", origin, note_key_id(origin, identity.public))
    Ed25519PublicKey.from_public_bytes(identity.public).verify(raw[4:], f"{text}\n".encode())


def require_token(rig: Any, token: str, index: int, request: list[Any]) -> None:
    head, body, signature = token.split(".")
    header, payload = json.loads(jws.unb64u(head)), json.loads(jws.unb64u(body))
    realm, kid, typ, client_id, sub, aud, scope, ttl, record, extra = request
    assert list(header) == ["alg", "kid", "typ"]
    assert (header["kid"], header["typ"]) == (kid, typ)
    key = rig.signer.keyring.keys[kid]
    jwk = json.loads(jws.unb64u(key.announcement.split(".")[1]))["jwk"]
    assert jws.thumbprint(jwk) == kid
    jws.verifier(jwk, header["alg"])(jws.unb64u(signature), f"{head}.{body}".encode())
    now = int(rig.now[0])
    wanted = {"iss": f"https://id.example/{realm}", "sub": sub, "aud": aud if len(aud) > 1 else aud[0]}
    wanted |= {"client_id": client_id} | ({"scope": scope} if scope else {}) | {"iat": now, "exp": now + ttl}
    place = re.fullmatch(r"([a-z2-7]{16})\.(0|[1-9][0-9]*)\.([A-Za-z0-9_-]{12})", payload["jti"])
    assert place
    assert place.group(1, 2) == (rig.signer.identity.log_id, str(index))
    assert payload == wanted | {"jti": payload["jti"]} | (extra or {})
    order = [*wanted, "jti", "auth_time", "acr", "amr", "cnf", "parent", "act"]
    assert list(payload) == [name for name in order if name in payload]
    assert jws.unb64u(body) == json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
    digest = hashlib.sha256(f"{head}.{body}".encode()).digest()
    leaf = TokenLeaf(digest, jws.unb64u(kid), now, now + ttl, bytes.fromhex(record))
    assert parse_leaf(rig.leaves[index]) == leaf
    assert len(rig.leaves[index]) == 114


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_every_signed_token_verifies_and_agrees_with_its_leaf(rig: Any, data: st.DataObject) -> None:
    alg = data.draw(st.sampled_from(["ES256", "EdDSA"]))
    active = [k.kid for k in rig.signer.keyring.keys.values() if k.alg == alg and k.state == "active"]
    kid = active[0] if active else rig.key(alg=alg)
    fields = st.fixed_dictionaries(
        {
            "client_id": TEXT,
            "sub": TEXT,
            "aud": AUDIENCES,
            "scope": TEXT | st.just(""),
            "ttl": st.integers(1, 3_600),
            "record": st.binary(min_size=32, max_size=32).map(bytes.hex),
            "extra": EXTRA,
        }
    )
    requests = [rig.request(kid, **f) for f in data.draw(st.lists(fields, min_size=1, max_size=20))]
    first = len(rig.leaves)
    tokens = rig.sign(*requests)
    for place, (token, request) in enumerate(zip(tokens, requests, strict=True)):
        require_token(rig, token, first + place, request)
    require_checkpoint(rig)


@pytest.mark.parametrize("alg", ["RS256", "PS256"])
def test_rsa_tokens_verify_and_agree_with_their_leaf(rig: Any, alg: str) -> None:
    request = rig.request(rig.key(alg=alg))
    first = len(rig.leaves)
    require_token(rig, rig.sign(request)[0], first, request)
    require_checkpoint(rig)
