"""Everything that is well formed is accepted; every single mutation is refused."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sealwright_validate import Expect, Refused, Trust, Validator
from sealwright_validate.clock import FixedClock
from sealwright_validate.conformance.authority import ThrowawayAuthority
from sealwright_validate.conformance.keys import jws
from sealwright_validate.encoding import decode_base64url, encode_base64url

NOW = 1_800_000_000
MAIL = "https://mail.example"
EXPECT = Expect(audience=MAIL, realm="enterprise")
AUTHORITY = ThrowawayAuthority(NOW)
KEYS = {name: AUTHORITY.make_key(algorithm=name) for name in ("ES256", "EdDSA", "RS256", "PS256")}
CLOCK = FixedClock(NOW)
TRUST = Trust.fed(root=AUTHORITY.roots[0], clock=CLOCK)
TRUST.feed(AUTHORITY.served())
VALIDATOR = Validator(trust=TRUST, cache_size=64)
TOKENS = {name: AUTHORITY.token(key) for name, key in KEYS.items()}

names = st.text(min_size=1, max_size=40).filter(lambda name: name.encode("utf-8", "replace").decode() == name)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | names
extra = st.dictionaries(
    names.filter(lambda name: name not in AUTHORITY.claims()),
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
    ),
    max_size=3,
)


@given(
    algorithm=st.sampled_from(sorted(KEYS)),
    subject=names,
    client=names,
    issued=st.integers(-3000, 0),
    life=st.integers(1, 3600),
    audience=st.sampled_from([MAIL, [MAIL], [MAIL, "https://files.example"]]),
    more=extra,
)
@settings(deadline=None, max_examples=60)
def test_every_well_formed_token_is_accepted(
    algorithm: str, subject: str, client: str, issued: int, life: int, audience: Any, more: dict[str, Any]
) -> None:
    iat, exp = NOW + issued, max(NOW + issued + life, NOW + 1)
    claims = AUTHORITY.claims(sub=subject, client_id=client, iat=iat, exp=min(exp, iat + 3600), aud=audience)
    token = jws(KEYS[algorithm].key, AUTHORITY.header(KEYS[algorithm]), {**claims, **more})
    verified = VALIDATOR.validate(token, EXPECT)
    assert verified.to_dict() == {**claims, **more}
    assert VALIDATOR.validate(token, EXPECT) is verified


def is_refused(token: str) -> bool:
    try:
        VALIDATOR.validate(token, EXPECT)
    except Refused:
        return True
    return False


@given(algorithm=st.sampled_from(sorted(KEYS)), data=st.data())
@settings(deadline=None, max_examples=300)
def test_every_single_flipped_bit_of_a_token_is_refused(algorithm: str, data: st.DataObject) -> None:
    raw = bytearray(TOKENS[algorithm].encode())
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    assert is_refused(raw.decode("latin-1"))


@given(algorithm=st.sampled_from(sorted(KEYS)), part=st.integers(0, 2), data=st.data())
@settings(deadline=None, max_examples=200)
def test_every_single_changed_byte_under_the_encoding_is_refused(
    algorithm: str, part: int, data: st.DataObject
) -> None:
    parts = TOKENS[algorithm].split(".")
    raw = bytearray(decode_base64url(parts[part]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    parts[part] = encode_base64url(bytes(raw))
    assert is_refused(".".join(parts))


@given(algorithm=st.sampled_from(sorted(KEYS)), data=st.data())
@settings(deadline=None, max_examples=200)
def test_every_insertion_and_every_cut_is_refused(algorithm: str, data: st.DataObject) -> None:
    token = TOKENS[algorithm]
    at = data.draw(st.integers(0, len(token) - 1))
    inserted = data.draw(st.text(alphabet=st.characters(codec="utf-8"), max_size=3))
    cut = data.draw(st.integers(0 if inserted else 1, 4))
    changed = token[:at] + inserted + token[at + cut :]
    assert changed == token or is_refused(changed)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
@settings(deadline=None, max_examples=200)
def test_any_text_is_refused_and_nothing_else_is_raised(text: str) -> None:
    assert is_refused(text)


@given(st.binary(max_size=300), st.binary(max_size=300))
@settings(deadline=None, max_examples=200)
def test_any_signed_bytes_are_refused_and_nothing_else_is_raised(header: bytes, payload: bytes) -> None:
    key = KEYS["ES256"]
    assert is_refused(jws(key.key, header, AUTHORITY.claims()))
    assert is_refused(jws(key.key, AUTHORITY.header(key), payload))
