"""DER, X.509, CRLs, text decodings and the bundle: strict to the byte."""

import base64
import hashlib
import json
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest
from cryptography.x509 import load_der_x509_certificate, load_der_x509_crl

from sealwright_attest import (
    Code,
    Endorsements,
    Evidence,
    Kind,
    Misconfigured,
    Refused,
    extra_data,
    parse_bundle,
    report_data,
    serialize_bundle,
)
from sealwright_attest.crl import parse_crl, require_not_revoked
from sealwright_attest.der import DerReader, integer, oid, one
from sealwright_attest.keys import Algorithm
from sealwright_attest.octets import b64, b64url, hexadecimal, strict_json
from sealwright_attest.roots import load, pinned
from sealwright_attest.synthetic import encode
from sealwright_attest.synthetic.authority import Request, new_key, public_der, root, to_pem
from sealwright_attest.synthetic.world import World
from sealwright_attest.x509 import build_chain, parse_certificate, require_valid_at, split_pem

LOOSE_DER = [
    ("indefinite_length", bytes.fromhex("3080020100")),
    ("padded_length", bytes.fromhex("308103020100")),
    ("padded_long_length", bytes.fromhex("30820003020100")),
    ("length_past_the_end", bytes.fromhex("300402010000")[:5]),
    ("trailing_byte", bytes.fromhex("300302010000")),
    ("huge_length", bytes.fromhex("3084ffffffff")),
    ("truncated", b"\x30"),
    ("empty", b""),
    ("another_tag", bytes.fromhex("310302010000")),
]


@pytest.mark.parametrize("data", [item[1] for item in LOOSE_DER], ids=[item[0] for item in LOOSE_DER])
def test_der_that_is_not_strict_is_malformed(data: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        one(data, 0x30).require_end()
    assert refusal.value.code is Code.MALFORMED


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x00\x01", b"\xff\xff"])
def test_integer_that_is_negative_padded_or_empty_is_malformed(content: bytes) -> None:
    with pytest.raises(Refused):
        integer(content)


def test_high_tag_numbers_and_loose_booleans_and_bit_strings_are_malformed() -> None:
    with pytest.raises(Refused):
        DerReader(b"\x1f\x01\x00").read(0x1F)
    with pytest.raises(Refused):
        DerReader(b"\x01\x01\x01").read_boolean()
    for data in (b"\x03\x02\x01\xfe", b"\x03\x00"):
        with pytest.raises(Refused):
            DerReader(data).read_bit_string()


def test_object_identifier_is_encoded_as_the_standard_says() -> None:
    assert oid("1.2.840.113741.1.13.1").hex() == "2a864886f84d010d01"
    assert oid("2.5.29.19").hex() == "551d13"


NOW = datetime(2026, 6, 1, tzinfo=UTC)
ECDSA = Algorithm.ECDSA_SHA256


def test_chain_ends_at_an_anchor_or_nowhere() -> None:
    top = root("top", ECDSA)
    middle = top.subordinate("middle", path_length=0)
    leaf = parse_certificate(middle.issue(Request("leaf", public_der(new_key(ECDSA)))))
    chain = build_chain(leaf, [middle.parsed()], [top.parsed()], [ECDSA])
    assert [certificate.common_name() for certificate in chain] == ["leaf", "middle", "top"]
    for pool, anchors in (([], [top]), ([middle], [middle.subordinate("top")]), ([middle, top], [])):
        with pytest.raises(Refused):
            build_chain(leaf, [one.parsed() for one in pool], [one.parsed() for one in anchors], [ECDSA])


def test_algorithm_that_was_not_named_is_never_tried() -> None:
    top = root("top", ECDSA)
    leaf = parse_certificate(top.issue(Request("leaf", public_der(new_key(ECDSA)))))
    with pytest.raises(Refused) as refusal:
        build_chain(leaf, [], [top.parsed()], [Algorithm.ECDSA_SHA384, Algorithm.RSA_SHA256])
    assert refusal.value.code is Code.CHAIN_UNTRUSTED


def test_issuer_must_be_an_authority_with_room_below_it() -> None:
    top = root("top", ECDSA, path_length=0)
    middle = top.subordinate("middle", path_length=0)
    leaf = parse_certificate(middle.issue(Request("leaf", public_der(new_key(ECDSA)))))
    with pytest.raises(Refused, match="may not issue"):
        build_chain(leaf, [middle.parsed()], [top.parsed()], [ECDSA])
    wide = root("wide", ECDSA)
    key = new_key(ECDSA)
    not_authority = parse_certificate(wide.issue(Request("middle", public_der(key))))
    below = middle.issue(Request("leaf", public_der(new_key(ECDSA))))
    with pytest.raises(Refused):
        build_chain(parse_certificate(below), [not_authority], [wide.parsed()], [ECDSA])


def test_unknown_critical_extension_is_refused() -> None:
    top = root("top", ECDSA)
    strange = encode.extension("1.2.3.4", b"\x05\x00", critical=True)
    request = Request("leaf", public_der(new_key(ECDSA)), extensions=(strange,))
    with pytest.raises(Refused, match="critical"):
        build_chain(parse_certificate(top.issue(request)), [], [top.parsed()], [ECDSA])


def test_loop_of_issuers_ends() -> None:
    first, second = root("first", ECDSA), root("second", ECDSA)
    cross = [
        parse_certificate(first.issue(Request("second", public_der(second.key), path_length=3))),
        parse_certificate(second.issue(Request("first", public_der(first.key), path_length=3))),
    ]
    leaf = parse_certificate(first.issue(Request("leaf", public_der(new_key(ECDSA)))))
    with pytest.raises(Refused) as refusal:
        build_chain(leaf, cross, [root("other", ECDSA).parsed()], [ECDSA])
    assert refusal.value.code is Code.CHAIN_UNTRUSTED


def test_validity_includes_its_ends() -> None:
    top = root("top", ECDSA)
    request = Request("leaf", public_der(new_key(ECDSA)), begin=NOW, end=NOW + timedelta(days=1))
    leaf = parse_certificate(top.issue(request))
    require_valid_at(leaf, NOW)
    require_valid_at(leaf, NOW + timedelta(days=1))
    for moment, code in (
        (NOW - timedelta(seconds=1), Code.CERTIFICATE_NOT_YET_VALID),
        (NOW + timedelta(days=1, seconds=1), Code.CERTIFICATE_EXPIRED),
    ):
        with pytest.raises(Refused) as refusal:
            require_valid_at(leaf, moment)
        assert refusal.value.code is code


def test_weak_and_strange_keys_are_malformed() -> None:
    top = root("top", ECDSA)
    strange = encode.sequence(encode.sequence(encode.identifier("1.3.101.112")), encode.bits(bytes(32)))
    with pytest.raises(Refused):
        parse_certificate(top.issue(Request("leaf", strange))).public_key()


def test_revocation_list_is_read_with_and_without_entries() -> None:
    top = root("top", ECDSA)
    empty = parse_crl(top.revocation_list((), NOW, NOW + timedelta(days=1)))
    assert empty.serials == frozenset()
    full = parse_crl(top.revocation_list((0, 5, 1 << 100), NOW, NOW + timedelta(days=1)))
    assert full.serials == {0, 5, 1 << 100}
    with pytest.raises(Refused):
        parse_crl(top.certificate)


def test_pem_gives_its_certificates_in_order() -> None:
    top, other = root("top", ECDSA), root("other", ECDSA)
    text = "chain:\n" + to_pem(top.certificate, other.certificate)
    assert split_pem(text.encode()) == [top.certificate, other.certificate]
    assert split_pem(text.replace("\n", "\r\n").encode()) == [top.certificate, other.certificate]
    for broken in (b"", b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----", (text * 20).encode()):
        with pytest.raises(Refused):
            split_pem(broken)


def test_json_that_is_not_strict_is_malformed() -> None:
    for data in (b'{"a":1,"a":2}', b"NaN", b"Infinity", b"\xff", b"{", b"", b"[1]x", b'{"a":{"b":1,"b":2}}'):
        with pytest.raises(Refused) as refusal:
            strict_json(data)
        assert refusal.value.code is Code.MALFORMED
    with pytest.raises(Refused) as too_large:
        strict_json(b" " * 100, limit=10)
    assert too_large.value.code is Code.TOO_LARGE


def test_text_encodings_have_one_spelling() -> None:
    assert (b64("AQI=", "x"), b64url("AQI", "x"), b64url("AQI=", "x"), hexadecimal("0aFF", "x")) == (
        b"\x01\x02",
        b"\x01\x02",
        b"\x01\x02",
        b"\x0a\xff",
    )
    for text in ("AQI", "AQJ=", "AQ I=", "A===", "\u00e9", 5, None):
        with pytest.raises(Refused):
            b64(text, "x")
    for text in ("AQJ", "A+/=", "AQI===", "AQ I", 5):
        with pytest.raises(Refused):
            b64url(text, "x")
    for text in ("0", "0g", "0a 0b", None, "\u0660\u0660"):
        with pytest.raises(Refused):
            hexadecimal(text, "x")


FULL = Evidence(
    Kind.TDX,
    b"quote",
    Endorsements((b"one", b"two"), (b"crl",), b"{}"),
    b"log",
    b"spki",
    bytes(32),
)


@pytest.mark.parametrize("evidence", [FULL, Evidence(Kind.NITRO, b"document")], ids=["full", "least"])
def test_bundle_comes_back_as_it_was(evidence: Evidence) -> None:
    assert parse_bundle(serialize_bundle(evidence)) == evidence


def test_bundle_of_another_form_is_refused() -> None:
    table = json.loads(serialize_bundle(FULL))
    changes: list[tuple[dict[str, object], Code]] = [
        ({"format": "sealwright-evidence/2"}, Code.VERSION_UNKNOWN),
        ({"kind": "sgx"}, Code.KIND_MISMATCH),
        ({"kind": 5}, Code.KIND_MISMATCH),
        ({"more": 1}, Code.MALFORMED),
        ({"evidence": None}, Code.MALFORMED),
        ({"endorsements": []}, Code.MALFORMED),
        ({"endorsements": {"roots": []}}, Code.MALFORMED),
        ({"endorsements": {"certificates": ["AA=="] * 17}}, Code.MALFORMED),
        ({"binding": {"release_key": "AA=="}}, Code.MALFORMED),
        ({"binding": {"release_key": base64.b64encode(bytes(32)).decode()}}, Code.MALFORMED),
        ({"evidence": base64.b64encode(bytes(300_000)).decode()}, Code.TOO_LARGE),
    ]
    for change, code in changes:
        with pytest.raises(Refused) as refusal:
            parse_bundle(json.dumps({**table, **change}).encode())
        assert refusal.value.code is code


def test_binding_depends_on_nonce_key_and_release_key_and_nothing_can_be_shifted() -> None:
    nonce, key = b"n" * 32, b"key"
    forms = [
        report_data(nonce, key),
        report_data(b"m" * 32, key),
        report_data(nonce, b"other"),
        report_data(nonce, key, bytes(32)),
        report_data(nonce, key, b"\x01" * 32),
        report_data(nonce + b"\0", key),
    ]
    assert len(set(forms)) == len(forms)
    assert {len(one) for one in forms} == {64}
    assert len(extra_data(nonce, key)) == 32
    for bad in (b"n" * 15, b"n" * 65):
        with pytest.raises(Misconfigured):
            report_data(bad, key)


def test_binding_is_the_documented_hash() -> None:
    nonce, key = bytes(range(32)), b"spki"
    message = b"sealwright-identity-v1\x00" + nonce + hashlib.sha256(key).digest()
    assert report_data(nonce, key) == hashlib.sha512(message).digest()
    assert extra_data(nonce, key) == hashlib.sha256(message).digest()


def test_every_shipped_certificate_is_the_pinned_one() -> None:
    folder = files("sealwright_attest.roots")
    listed = tomllib.loads(folder.joinpath("roots.toml").read_text())
    present = {one.name for one in folder.iterdir() if one.name.endswith(".pem")}
    assert set(listed) == present
    anchors = pinned()
    used = {one.raw for one in (*anchors.amd.values(), anchors.intel, anchors.nitro, *anchors.tpm)}
    for name, entry in listed.items():
        certificate = parse_certificate(load(name))
        is_root = certificate.subject == certificate.issuer
        assert is_root is (entry["use"] == "anchor") is (certificate.raw in used)
        assert entry["origin"]


@pytest.mark.filterwarnings("ignore:Attribute's length")  # Google's names are longer than the standard's
def test_our_reader_agrees_with_the_general_loader(read: Callable[[str], bytes], world: World) -> None:
    names = ["tpm/google_ca/tpm_ek_root_1.cer", "tpm/google_ca/tpm_ek_intermediate_2.crt"]
    names += ["tpm/google_ca/gcp_ek_ak_ca_root.crt", "tpm/google_ca/gcp_ek_ak_ca_intermediate_v3.crt"]
    found = [data if data[:1] == b"\x30" else split_pem(data)[0] for data in map(read, names)]
    found += [read("tdx/root/intel_sgx_root_ca.der"), *split_pem(read("nitro/aws_nitro_root_g1.pem"))]
    found += split_pem(
        json.loads(read("tdx/v5_no_tcb_level.collateral.json"))["pck_crl_issuer_chain"].encode()
    )
    found += [world.aws.instance.certificate, world.intel.pck_certificate(), world.tpm_root.certificate]
    for data in found:
        ours, theirs = parse_certificate(data), load_der_x509_certificate(data)
        assert ours.serial == theirs.serial_number
        assert (ours.issuer, ours.subject) == (theirs.issuer.public_bytes(), theirs.subject.public_bytes())
        assert ours.not_before == theirs.not_valid_before_utc.timestamp()
        assert ours.not_after == theirs.not_valid_after_utc.timestamp()
        assert (ours.tbs, ours.signature) == (theirs.tbs_certificate_bytes, theirs.signature)
        assert ours.public_key() == theirs.public_key()
        assert set(ours.extensions) == {oid(one.oid.dotted_string) for one in theirs.extensions}


def test_our_revocation_reader_agrees_with_the_general_loader(read: Callable[[str], bytes]) -> None:
    table = json.loads(read("tdx/v5_no_tcb_level.collateral.json"))
    for name in ("pck_crl", "root_ca_crl"):
        data = bytes.fromhex(table[name])
        ours, theirs = parse_crl(data), load_der_x509_crl(data)
        assert ours.serials == {one.serial_number for one in theirs}
        assert theirs.next_update_utc is not None
        assert ours.next_update == theirs.next_update_utc.timestamp()
        assert (ours.tbs, ours.signature) == (theirs.tbs_certlist_bytes, theirs.signature)
    pck = split_pem(table["pck_crl_issuer_chain"].encode())[0]
    now = datetime(2026, 3, 1, tzinfo=UTC)
    require_not_revoked(
        parse_certificate(pck), parse_certificate(pck), parse_crl(bytes.fromhex(table["pck_crl"])), now
    )
