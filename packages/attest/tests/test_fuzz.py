"""Whatever bytes arrive, parsers refuse by name, appraisals give a result, and neither takes much memory."""

import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwright_attest import (
    BUILT_IN,
    Code,
    Endorsements,
    Evidence,
    Kind,
    Misconfigured,
    Refused,
    Verdict,
    appraise,
    parse_bundle,
    parse_policy,
)
from sealwright_attest.cli.files import parse_endorsement
from sealwright_attest.crl import parse_crl
from sealwright_attest.explain import detect, explain
from sealwright_attest.octets import b64, b64url, hexadecimal, strict_json
from sealwright_attest.policy.release import parse_release
from sealwright_attest.synthetic import encode
from sealwright_attest.verifiers.amd_keys import split_cert_table
from sealwright_attest.verifiers.azure_evidence import parse_azure_evidence
from sealwright_attest.verifiers.event_log import parse_event_log
from sealwright_attest.verifiers.hcl import parse_hcl, parse_runtime
from sealwright_attest.verifiers.nitro import parse_document
from sealwright_attest.verifiers.snp_report import parse_report
from sealwright_attest.verifiers.tdx_quote import parse_quote as parse_td_quote
from sealwright_attest.verifiers.tpm_evidence import parse_tpm_evidence
from sealwright_attest.verifiers.tpm_structures import parse_public, parse_signature
from sealwright_attest.verifiers.tpm_structures import parse_quote as parse_tpm_quote
from sealwright_attest.x509 import common_name, parse_certificate, split_pem

PARSERS: list[Callable[[bytes], object]] = [
    parse_report, parse_td_quote, parse_event_log, parse_tpm_evidence, parse_public, parse_signature,
    parse_tpm_quote,
    parse_hcl, parse_runtime, parse_azure_evidence, parse_document, parse_certificate, common_name, parse_crl,
    split_pem, split_cert_table, parse_bundle, parse_endorsement, strict_json, detect,
]  # fmt: skip
NOW = datetime(2026, 6, 1, tzinfo=UTC)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = [
    "format", "kind", "evidence", "endorsements", "binding", "hcl_report", "report", "quote", "message",
    "signature", "pcrs", "ak_public", "td_quote", "vcek", "msg", "sig", "keys", "event_log",
]  # fmt: skip
documents = st.dictionaries(st.sampled_from(NAMES), json_values, max_size=8).map(
    lambda one: json.dumps(one).encode()
)
inputs = st.binary(max_size=2000) | documents


def code_of(parser: Callable[[bytes], object], data: bytes) -> Code | None:
    """The code of the refusal, or None when the parser returned; anything else that it raises fails."""
    try:
        parser(data)
    except Refused as refusal:
        return refusal.code if refusal.public else None
    return None


@settings(max_examples=400, deadline=None)
@given(data=inputs)
def test_parsers_refuse_by_name_or_return(data: bytes) -> None:
    for parser in PARSERS:
        assert code_of(parser, data) in {None, *Code}


@pytest.mark.parametrize("decode", [b64, b64url, hexadecimal])
@settings(max_examples=150, deadline=None)
@given(value=json_values)
def test_text_decoder_refuses_by_name_or_returns(
    decode: Callable[[object, str], bytes], value: object
) -> None:
    assert code_of(lambda _: decode(value, "field"), b"") in {None, Code.MALFORMED}


@settings(max_examples=300, deadline=None)
@given(data=inputs, kind=st.sampled_from(Kind), more=st.lists(st.binary(max_size=300), max_size=2))
def test_appraisal_of_anything_is_a_refusal_with_reasons(data: bytes, kind: Kind, more: list[bytes]) -> None:
    collateral = more[0] if more else None
    evidence = Evidence(kind, data, Endorsements(tuple(more), tuple(more), collateral), b"".join(more))
    result = appraise(evidence, nonce=b"nonce", policy=BUILT_IN, now=NOW)
    assert result.verdict is Verdict.REFUSED
    assert result.codes


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400) | documents | json_values.map(lambda one: json.dumps(one).encode()))
def test_policy_that_is_none_is_misconfigured(data: bytes) -> None:
    for parse in (parse_policy, parse_release):
        with pytest.raises(Misconfigured):
            parse(data)


GENUINE = [
    "snp/milan_v2.report.bin", "snp/milan_v2.vcek.der", "tdx/v5_uptodate.quote.bin",
    "tdx/v4_gcp_ccel.eventlog.bin", "nitro/production.cbor", "tpm/gce_cos85_nonce9009.pb",
    "tpm/swtpm_ecdsa_quote.json", "azure/snp_milan_v2.json", "azure/tdx_v4_a.json",
]  # fmt: skip


@pytest.mark.parametrize("name", GENUINE)
@settings(max_examples=40, deadline=None)
@given(cuts=st.data())
def test_cut_spliced_and_altered_genuine_files_are_refused_by_name(
    name: str, read: Callable[[str], bytes], cuts: st.DataObject
) -> None:
    data = read(name)
    begin = cuts.draw(st.integers(0, len(data) - 1))
    end = cuts.draw(st.integers(begin, min(len(data), begin + 64)))
    altered = data[:begin] + cuts.draw(st.binary(max_size=8)) + data[end:]
    for parser in PARSERS:
        assert code_of(parser, altered) in {None, *Code}
    assert code_of(lambda data: explain(detect(data)), altered) in {None, *Code}


HUGE: list[tuple[str, Kind, bytes]] = [
    ("deep_json", Kind.AZURE, b"[" * 200_000),
    ("deep_json_object", Kind.TPM2, b'{"a":' * 40_000),
    ("deep_cbor", Kind.NITRO, b"\x81" * 16_000),
    ("wide_cbor", Kind.NITRO, b"\x9a\x7f\xff\xff\xff"),
    ("long_number", Kind.AZURE, b'{"report":' + b"9" * 100_000 + b"}"),
    ("many_numbers", Kind.AZURE, b'{"report":[' + b"1," * 100_000 + b"1]}"),
    ("long_protobuf", Kind.TPM2, b"\x0a\x00" * 100_000),
    ("too_large", Kind.SEV_SNP, bytes(300_000)),
    ("quote_of_huge_length", Kind.TDX, bytes.fromhex("0400020081000000") + bytes(650) + b"\xff" * 8),
]


@pytest.mark.parametrize(("kind", "data"), [one[1:] for one in HUGE], ids=[one[0] for one in HUGE])
def test_bomb_is_refused_in_little_memory(kind: Kind, data: bytes) -> None:
    tracemalloc.start()
    try:
        result = appraise(Evidence(kind, data), nonce=None, policy=BUILT_IN, now=NOW)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.verdict is Verdict.REFUSED
    assert peak < 32 * 1024 * 1024


def test_event_log_of_the_largest_size_is_read_in_one_pass() -> None:
    spec = b"Spec ID Event03\0" + bytes(8) + (1).to_bytes(4, "little") + bytes.fromhex("0b002000") + b"\0"
    head = bytes(4) + (3).to_bytes(4, "little") + bytes(20) + len(spec).to_bytes(4, "little") + spec
    event = (4).to_bytes(4, "little") + (13).to_bytes(4, "little") + (1).to_bytes(4, "little")
    event += bytes.fromhex("0b00") + bytes(32) + bytes(4)
    assert len(parse_event_log(head + event * 20_000).events) == 20_000
    with pytest.raises(Refused) as refusal:
        parse_event_log(head + event * 20_001)
    assert refusal.value.code is Code.TOO_LARGE


@settings(max_examples=200, deadline=None)
@given(value=st.integers(0, 1 << 80), flag=st.booleans(), data=st.binary(max_size=40))
def test_what_our_writer_writes_our_reader_reads(value: int, flag: bool, data: bytes) -> None:
    from sealwright_attest.der import SEQUENCE, one

    reader = one(
        encode.sequence(
            encode.integer(value), encode.boolean(value=flag), encode.bits(data), encode.octets(data)
        ),
        SEQUENCE,
    )
    assert (reader.read_integer(), reader.read_boolean()) == (value, flag)
    assert reader.read_bit_string() == data
    assert reader.read(4) == data
    reader.require_end()
