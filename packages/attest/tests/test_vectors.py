"""Every genuine file, with the verdict and the reasons that it must get."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sealwright_attest import (
    BUILT_IN,
    AttestationResult,
    Code,
    Endorsements,
    Evidence,
    EvidenceLevel,
    Kind,
    Refused,
    Verdict,
    appraise,
)
from sealwright_attest.roots import load, pinned
from sealwright_attest.verifiers.event_log import parse_event_log
from sealwright_attest.x509 import parse_certificate, split_pem

Read = Callable[[str], bytes]


@dataclass(frozen=True)
class Row:
    evidence: str
    kind: Kind
    now: str
    codes: tuple[Code, ...] = ()
    level: EvidenceLevel = EvidenceLevel.HARDWARE
    certificates: tuple[str, ...] = ()
    collateral: str = ""
    log: str = ""
    nonce: bytes | None = None

    @property
    def id(self) -> str:
        return f"{self.evidence.split('/')[1]}@{self.now}-{'+'.join(self.codes) or 'accepted'}"


SNP, TDX, AZURE, NITRO, TPM = Kind.SEV_SNP, Kind.TDX, Kind.AZURE, Kind.NITRO, Kind.TPM2
NONE = EvidenceLevel.NONE
FMSPC = "tdx/fmspc90c06f.collateral.json"
GENOA_NONCE = bytes.fromhex(
    "0218488bae25d2509232bf676f1a66a30d7372add909109b36016ef136f2938ca05475f8b46094de6b64270ea35d950f"
)

ROWS = [
    Row("snp/milan_v2.report.bin", SNP, "2025-01-01", certificates=("snp/milan_v2.vcek.der",)),
    Row(
        "snp/milan_v2.report.bin",
        SNP,
        "2023-01-23",
        (Code.CERTIFICATE_NOT_YET_VALID,),
        NONE,
        ("snp/milan_v2.vcek.der",),
    ),
    Row(
        "snp/milan_v2.report.bin",
        SNP,
        "2030-01-25",
        (Code.CERTIFICATE_EXPIRED,),
        NONE,
        ("snp/milan_v2.vcek.der",),
    ),
    Row("snp/milan_v2.report.bin", SNP, "2025-01-01", (Code.ENDORSEMENT_MISSING,), NONE),
    Row(
        "snp/milan_v2.report.bin",
        SNP,
        "2025-01-01",
        (Code.SIGNATURE_INVALID, Code.ENDORSEMENT_MISMATCH),
        NONE,
        ("snp/milan_v2.vcek-invalid-legacy.der",),
    ),
    Row(
        "snp/milan_v2.report.bin",
        SNP,
        "2025-01-01",
        (Code.SIGNATURE_INVALID, Code.ENDORSEMENT_MISMATCH),
        NONE,
        ("snp/milan_v2.vcek-invalid-new.der",),
    ),
    Row(
        "snp/milan_v2.report.bin",
        SNP,
        "2026-03-01",
        (Code.ENDORSEMENT_MISMATCH, Code.SIGNATURE_INVALID),
        NONE,
        ("snp/genoa_v5.vcek.der",),
    ),
    Row(
        "snp/milan_vlek_v3_vmpl1.report.bin",
        SNP,
        "2025-01-01",
        (Code.VMPL,),
        certificates=("snp/milan_vlek_v3.vlek.der",),
    ),
    Row(
        "snp/milan_vlek_v3_vmpl1.report.bin",
        SNP,
        "2025-12-11",
        (Code.CERTIFICATE_EXPIRED, Code.VMPL),
        NONE,
        ("snp/milan_vlek_v3.vlek.der",),
    ),
    Row(
        "snp/milan_v2_debug.report.bin",
        SNP,
        "2025-01-01",
        (Code.DEBUG,),
        certificates=("snp/milan_v2_debug.vcek.der",),
    ),
    Row("snp/genoa_v3_siena.report.bin", SNP, "2026-01-01", certificates=("snp/genoa_v3_siena.vcek.der",)),
    Row(
        "snp/genoa_v5.report.bin",
        SNP,
        "2026-03-01",
        certificates=("snp/genoa_v5.vcek.der",),
        nonce=b"hello-attestation",
    ),
    Row(
        "snp/genoa_v5.report.bin",
        SNP,
        "2026-03-01",
        (Code.NONCE_MISMATCH,),
        certificates=("snp/genoa_v5.vcek.der",),
        nonce=b"other",
    ),
    Row("snp/turin_v5.report.bin", SNP, "2026-01-01", certificates=("snp/turin_v5.vcek.der",)),
    Row("tdx/v4_uptodate.quote.bin", TDX, "2025-06-25", collateral="tdx/v4_uptodate.collateral.json"),
    Row(
        "tdx/v4_uptodate.quote.bin",
        TDX,
        "2025-06-18",
        (Code.COLLATERAL_NOT_YET_VALID,),
        NONE,
        collateral="tdx/v4_uptodate.collateral.json",
    ),
    Row(
        "tdx/v4_uptodate.quote.bin",
        TDX,
        "2025-07-20",
        (Code.COLLATERAL_EXPIRED,),
        NONE,
        collateral="tdx/v4_uptodate.collateral.json",
    ),
    Row("tdx/v4_uptodate.quote.bin", TDX, "2026-03-25", (Code.COLLATERAL_MISMATCH,), NONE, collateral=FMSPC),
    Row(
        "tdx/v5_no_tcb_level.quote.bin",
        TDX,
        "2026-03-01",
        (Code.TCB_UNKNOWN,),
        NONE,
        collateral="tdx/v5_no_tcb_level.collateral.json",
    ),
    Row("tdx/v5_uptodate.quote.bin", TDX, "2026-03-25", collateral=FMSPC),
    Row("tdx/v4_debug.quote.bin", TDX, "2025-01-01", (Code.ENDORSEMENT_MISSING, Code.DEBUG), NONE),
    Row(
        "tdx/v4_gcp_ccel.quote.bin",
        TDX,
        "2025-01-01",
        (Code.ENDORSEMENT_MISSING,),
        NONE,
        log="tdx/v4_gcp_ccel.eventlog.bin",
    ),
    Row(
        "tdx/sgx_v3.quote.bin",
        TDX,
        "2025-06-25",
        (Code.KIND_MISMATCH,),
        NONE,
        collateral="tdx/sgx_v3.collateral.json",
    ),
    Row("azure/snp_milan_v3_a.json", AZURE, "2025-06-01", nonce=b"challenge"),
    Row("azure/snp_milan_v3_a.json", AZURE, "2025-06-01", (Code.NONCE_MISMATCH,), nonce=b"another"),
    Row(
        "azure/snp_milan_v3_a.json",
        AZURE,
        "2032-01-29",
        (Code.CERTIFICATE_EXPIRED,),
        NONE,
        nonce=b"challenge",
    ),
    Row("azure/snp_genoa_v3.json", AZURE, "2025-06-01", nonce=GENOA_NONCE),
    Row("azure/snp_milan_v2.json", AZURE, "2024-01-01", nonce=b"challenge"),
    Row(
        "azure/tdx_v4_a.json",
        AZURE,
        "2025-01-01",
        (Code.ENDORSEMENT_MISSING, Code.TD_ATTRIBUTES),
        NONE,
        nonce=b"challenge",
    ),
    Row("nitro/production.cbor", NITRO, "2022-10-13T08:58:02"),
    Row("nitro/production.cbor", NITRO, "2022-10-13T11:58:03", (Code.CERTIFICATE_EXPIRED,), NONE),
    Row("nitro/production.cbor", NITRO, "2022-10-13T08:57:58", (Code.CERTIFICATE_NOT_YET_VALID,), NONE),
    Row("nitro/debug_a.cbor", NITRO, "2022-10-12T13:50:06", (Code.DEBUG,)),
    Row(
        "tpm/gce_cos85_nonce9009.pb",
        TPM,
        "2025-01-01",
        level=EvidenceLevel.VIRTUAL_TPM,
        nonce=b"\x90\x09",
    ),
    Row("tpm/gce_cos85_nonce9009.pb", TPM, "2021-08-30", (Code.CERTIFICATE_NOT_YET_VALID,), NONE),
    Row("tpm/swtpm_ecdsa_quote.json", TPM, "2025-01-01", (Code.AK_UNTRUSTED,), NONE),
]

OTHER_FILES = {
    "snp/ca/milan_ask_ark_asvk.pem", "snp/ca/genoa_ask_ark_asvk.pem", "snp/ca/turin_ask_ark_asvk.pem",
    "tdx/root/intel_sgx_root_ca.der", "nitro/aws_nitro_root_g1.pem", "tpm/google_ca/tpm_ek_root_1.cer",
    "tpm/google_ca/tpm_ek_intermediate_2.crt", "tpm/google_ca/gcp_ek_ak_ca_root.crt",
    "tpm/google_ca/gcp_ek_ak_ca_intermediate_v3.crt", "tpm/ubuntu-2404-amd-sevsnp.eventlog.bin",
    "tpm/debian-10-sha1-only.eventlog.bin",
}  # fmt: skip


def judge(row: Row, read: Read) -> AttestationResult:
    evidence = Evidence(
        row.kind,
        read(row.evidence),
        Endorsements(
            tuple(read(name) for name in row.certificates),
            (),
            read(row.collateral) if row.collateral else None,
        ),
        read(row.log) if row.log else b"",
    )
    now = datetime.fromisoformat(row.now).replace(tzinfo=UTC)
    return appraise(evidence, nonce=row.nonce, policy=BUILT_IN, now=now)


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_genuine_file_gets_its_verdict_and_reasons(row: Row, read: Read) -> None:
    result = judge(row, read)
    assert result.codes == row.codes
    assert result.verdict is (Verdict.REFUSED if row.codes else Verdict.ACCEPTED)
    assert result.level is row.level


def test_table_names_every_file_of_the_vectors(vectors: Path) -> None:
    named = {
        name for row in ROWS for name in (row.evidence, *row.certificates, row.collateral, row.log) if name
    }
    present = {str(path.relative_to(vectors)) for path in vectors.rglob("*") if path.is_file()}
    assert present - {"INDEX.md"} == named | OTHER_FILES


def test_vlek_at_vmpl1_is_accepted_where_the_policy_names_both(read: Read) -> None:
    row = next(row for row in ROWS if row.codes == (Code.VMPL,))
    evidence = Evidence(SNP, read(row.evidence), Endorsements(tuple(read(one) for one in row.certificates)))
    snp = replace(
        BUILT_IN.snp, vmpl=(1,), signing_keys=("vlek",), providers=("CN=cc-us-east-2.amazonaws.com",)
    )
    now = datetime(2025, 1, 1, tzinfo=UTC)
    assert appraise(evidence, nonce=None, policy=replace(BUILT_IN, snp=snp), now=now).accepted
    only_vcek = replace(BUILT_IN, snp=replace(snp, signing_keys=("vcek",), providers=("CN=other",)))
    refused = appraise(evidence, nonce=None, policy=only_vcek, now=now)
    assert refused.codes == (Code.SIGNING_KEY_REFUSED, Code.PROVIDER_REFUSED)


def test_swtpm_quote_is_accepted_once_its_key_is_enrolled(read: Read) -> None:
    evidence = Evidence(TPM, read("tpm/swtpm_ecdsa_quote.json"))
    now = datetime(2025, 1, 1, tzinfo=UTC)
    name = appraise(evidence, nonce=None, policy=BUILT_IN, now=now).claims.instance["ak_name"]
    enrolled = replace(BUILT_IN, tpm=replace(BUILT_IN.tpm, enrolled=(name,)))
    nonce = bytes.fromhex("0fa3274e075faa763c8f91e0945dc8da89467f9d50fb33c5d07198be2b2e7396")
    result = appraise(evidence, nonce=nonce, policy=enrolled, now=now)
    assert result.accepted
    assert result.level is EvidenceLevel.VIRTUAL_TPM


@pytest.mark.parametrize("product", ["milan", "genoa", "turin"])
def test_shipped_amd_certificates_are_those_of_the_vectors(product: str, read: Read) -> None:
    ask, ark, asvk = split_pem(read(f"snp/ca/{product}_ask_ark_asvk.pem"))
    assert [load(f"amd_{product}_{kind}.pem") for kind in ("ask", "ark", "asvk")] == [ask, ark, asvk]


def test_other_shipped_roots_are_those_of_the_vectors(read: Read) -> None:
    anchors = pinned()
    assert anchors.intel.raw == read("tdx/root/intel_sgx_root_ca.der")
    assert anchors.nitro.raw == split_pem(read("nitro/aws_nitro_root_g1.pem"))[0]
    shipped = {one.raw for one in (*anchors.tpm, *anchors.tpm_intermediates)}
    google = [
        "tpm_ek_root_1.cer",
        "tpm_ek_intermediate_2.crt",
        "gcp_ek_ak_ca_root.crt",
        "gcp_ek_ak_ca_intermediate_v3.crt",
    ]
    for name in google:
        data = read(f"tpm/google_ca/{name}")
        raw = split_pem(data)[0] if data.startswith(b"-----") else data
        assert parse_certificate(raw).raw in shipped


def test_crypto_agile_log_parses_and_sha1_only_log_is_refused(read: Read) -> None:
    log = parse_event_log(read("tpm/ubuntu-2404-amd-sevsnp.eventlog.bin"))
    assert set(log.algorithms) == {"sha1", "sha256", "sha384"}
    assert len(log.events) == 116
    with pytest.raises(Refused) as refusal:
        parse_event_log(read("tpm/debian-10-sha1-only.eventlog.bin"))
    assert refusal.value.code is Code.EVENT_LOG_LEGACY
