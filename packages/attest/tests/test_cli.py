"""The command line: exit status 0 only if accepted, every check shown, nothing decided elsewhere."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sealwright_attest import Evidence, Kind, parse_bundle, verify_ear
from sealwright_attest.cli.commands import run
from sealwright_attest.doctor import diagnose
from sealwright_attest.model import EvidenceLevel
from sealwright_attest.synthetic.tpm import Quote, new_attestation_key
from sealwright_attest.verifiers.simulated import make_simulated


@dataclass
class Ran:
    status: int
    output: str
    errors: str

    def json(self) -> Any:
        return json.loads(self.output)


def command(*words: str) -> Ran:
    output: list[str] = []
    errors: list[str] = []
    status = run(words, output.append, errors.append)
    return Ran(status, "".join(output), "".join(errors))


def snp(vectors: Path, name: str, key: str, *more: str, now: str = "2025-01-01T00:00:00Z") -> Ran:
    folder = vectors / "snp"
    return command(
        "appraise", "--kind", "sev-snp", "--evidence", str(folder / f"{name}.report.bin"),
        "--endorsement", str(folder / f"{key}.der"), "--now", now, *more,
    )  # fmt: skip


def test_accepted_evidence_exits_with_0_and_shows_every_check(vectors: Path) -> None:
    ran = snp(vectors, "milan_v2", "milan_v2.vcek")
    assert ran.status == 0
    assert "ACCEPTED" in ran.output
    assert "report.signature" in ran.output
    assert "FAILED" not in ran.output


def test_refused_evidence_exits_with_1_and_says_the_fix(vectors: Path) -> None:
    ran = snp(vectors, "milan_v2_debug", "milan_v2_debug.vcek")
    assert ran.status == 1
    assert "guest.debug: debug" in ran.output
    assert "fix    start the guest without debug" in ran.output


def test_json_carries_verdict_codes_policy_hash_and_checks(vectors: Path) -> None:
    ran = snp(vectors, "milan_v2_debug", "milan_v2_debug.vcek", "--json")
    record = ran.json()
    assert (ran.status, record["verdict"], record["codes"]) == (1, "refused", ["debug"])
    assert record["policy"]["hash"].startswith("sha256:")
    assert {check["outcome"] for check in record["checks"]} == {"passed", "failed", "skipped"}
    assert record["claims"]["product"] == "Milan"


def test_dry_run_says_so_and_keeps_the_exit_status(vectors: Path) -> None:
    good = snp(vectors, "milan_v2", "milan_v2.vcek", "--dry-run")
    bad = snp(vectors, "milan_v2_debug", "milan_v2_debug.vcek", "--dry-run")
    assert (good.status, bad.status) == (0, 1)
    assert "would be ACCEPTED (dry run)" in good.output
    assert "would be REFUSED (dry run)" in bad.output


def test_result_is_signed_as_an_ear_on_request_and_never_on_a_dry_run(vectors: Path, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    file = tmp_path / "key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    ran = snp(vectors, "milan_v2", "milan_v2.vcek", "--ear", str(file), "--ear-kid", "k1")
    assert ran.status == 0
    claims = verify_ear(ran.output.strip(), key.public_key())
    assert claims["submods"]["sev-snp"]["sealwright_appraisal"]["verdict"] == "accepted"
    dry = snp(vectors, "milan_v2", "milan_v2.vcek", "--ear", str(file), "--dry-run")
    assert "dry run" in dry.output
    file.write_text("no key")
    assert snp(vectors, "milan_v2", "milan_v2.vcek", "--ear", str(file)).status == 2


def test_policy_and_shadow_files_are_applied(vectors: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(
        'schema = 1\nname = "turin"\nrevision = "1"\nplatforms = ["sev-snp"]\nnonce = "optional"\n'
        'binding = "optional"\n[measurements]\nany = true\n[sev_snp]\nproducts = ["Turin"]\n'
    )
    refused = snp(vectors, "milan_v2", "milan_v2.vcek", "--policy", str(policy))
    assert refused.status == 1
    assert "product-refused" in refused.output
    shadowed = snp(vectors, "milan_v2", "milan_v2.vcek", "--shadow", str(policy))
    assert shadowed.status == 0
    assert "shadow policy turin@1: refused" in shadowed.output


def test_every_platform_is_appraised_from_its_files(vectors: Path) -> None:
    collateral = str(vectors / "tdx/fmspc90c06f.collateral.json")
    rows = [
        ("tdx", "tdx/v5_uptodate.quote.bin", ("--endorsement", collateral), "2026-03-25"),
        ("azure", "azure/snp_milan_v2.json", ("--nonce", b"challenge".hex()), "2024-01-01"),
        ("nitro", "nitro/production.cbor", (), "2022-10-13"),
        ("tpm2", "tpm/gce_cos85_nonce9009.pb", ("--nonce", "9009"), "2025-01-01"),
    ]  # fmt: skip
    for kind, name, more, day in rows:
        hour = "08:58:02" if kind == "nitro" else "00:00:00"
        words = (
            "appraise",
            "--kind",
            kind,
            "--evidence",
            str(vectors / name),
            "--now",
            f"{day}T{hour}Z",
            *more,
        )
        assert command(*words).status == 0, kind


def test_bundle_carries_everything_and_is_appraised_alone(vectors: Path, tmp_path: Path) -> None:
    folder = vectors / "snp"
    packed = command(
        "bundle", "--kind", "sev-snp", "--evidence", str(folder / "turin_v5.report.bin"),
        "--endorsement", str(folder / "turin_v5.vcek.der"),
    )  # fmt: skip
    bundle = tmp_path / "bundle.json"
    bundle.write_text(packed.output)
    evidence = parse_bundle(bundle.read_bytes())
    assert evidence.endorsements.certificates == ((folder / "turin_v5.vcek.der").read_bytes(),)
    words = ("--evidence", str(bundle), "--now", "2026-01-01T00:00:00Z")
    assert command("appraise", "--kind", "sev-snp", *words).status == 0
    assert command("appraise", "--kind", "tdx", *words).status == 2
    diff = command(
        "policy", "diff", "--evidence", str(bundle), "--now", "2026-01-01T00:00:00Z", "--json",
        *two_policies(tmp_path),
    ).json()  # fmt: skip
    assert diff["evidence"][0]["after"] == "refused"
    assert [one["rule"] for one in diff["rules"]] == ["name", "snp.products"]


def two_policies(folder: Path) -> tuple[str, str]:
    text = 'schema = 1\nrevision = "1"\nplatforms = ["sev-snp"]\nnonce = "optional"\nbinding = "optional"\n'
    before, after = folder / "before.toml", folder / "after.toml"
    before.write_text(text + 'name = "a"\n[measurements]\nany = true\n')
    after.write_text(text + 'name = "b"\n[measurements]\nany = true\n[sev_snp]\nproducts = ["Milan"]\n')
    return str(before), str(after)


def test_policy_diff_and_show_print_what_changes(tmp_path: Path) -> None:
    before, after = two_policies(tmp_path)
    assert "snp.products" in command("policy", "diff", before, after).output
    assert "ask for the same" in command("policy", "diff", before, before).output
    assert command("policy", "show", after).json()["effective"]["snp"]["products"] == ["Milan"]
    assert command("policy", "show").json()["hash"].startswith("sha256:")


WRONG_USES = [
    ("--now", "yesterday"),
    ("--now", "2025-01-01T00:00:00"),
    ("--nonce", "xyz"),
    ("--policy", "no such file"),
    ("--endorsement", "no such file"),
    ("--release-key", "0"),
]


@pytest.mark.parametrize("words", WRONG_USES, ids=[" ".join(one) for one in WRONG_USES])
def test_wrong_use_exits_with_2_and_decides_nothing(vectors: Path, words: tuple[str, str]) -> None:
    ran = snp(vectors, "milan_v2", "milan_v2.vcek", *words)
    assert (ran.status, ran.output) == (2, "")
    assert words[1] in ran.errors


def test_endorsement_that_is_none_is_wrong_use_and_no_verdict(vectors: Path, tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk")
    ran = snp(vectors, "milan_v2", "milan_v2.vcek", "--endorsement", str(junk))
    assert (ran.status, ran.output) == (2, "")
    assert "neither certificates" in ran.errors


def test_explain_says_that_nothing_is_verified(vectors: Path) -> None:
    for name in (
        "snp/turin_v5.report.bin",
        "tdx/v4_debug.quote.bin",
        "azure/tdx_v4_a.json",
        "nitro/debug_a.cbor",
    ):
        ran = command("explain", str(vectors / name))
        assert ran.status == 0
        assert ran.output.startswith("read, NOT verified")
    assert command("explain", str(vectors / "nitro/debug_a.cbor"), "--json").json()["verified"] is False
    assert command("explain", str(vectors / "INDEX.md")).status == 1


def test_event_log_is_explained_with_the_values_it_leads_to(vectors: Path) -> None:
    ran = command("explain", str(vectors / "tdx/v4_gcp_ccel.eventlog.bin"))
    quote = command("explain", str(vectors / "tdx/v4_gcp_ccel.quote.bin"))
    rtmr1 = next(line.split()[1] for line in quote.output.splitlines() if line.startswith("rtmr1"))
    assert rtmr1 in ran.output
    assert command("explain", str(vectors / "tpm/debian-10-sha1-only.eventlog.bin")).status == 1


def test_control_characters_of_evidence_do_not_reach_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    file.write_bytes(make_simulated(bytes(64), bytes(48)).replace(b"00000000", b"\\u001b[31", 1))
    ran = command("appraise", "--kind", "simulated", "--evidence", str(file), "--now", "2026-01-01T00:00:00Z")
    assert ran.status == 1
    assert "\x1b" not in ran.output + ran.errors
    assert "\x1b" not in command("explain", str(file)).output


def test_simulated_evidence_says_so_in_every_output(tmp_path: Path) -> None:
    file, policy = tmp_path / "evidence.json", tmp_path / "policy.toml"
    file.write_bytes(make_simulated(bytes(64), bytes(48)))
    policy.write_text(
        'schema = 1\nname = "laptop"\nrevision = "1"\nplatforms = ["simulated"]\nlevel = "simulated"\n'
        'nonce = "optional"\nbinding = "optional"\n[measurements]\nany = true\n'
    )
    words = (
        "--kind",
        "simulated",
        "--evidence",
        str(file),
        "--now",
        "2026-01-01T00:00:00Z",
        "--policy",
        str(policy),
    )
    shown = command("appraise", *words)
    assert shown.status == 0
    assert "simulated: this proves nothing about the machine" in shown.output
    assert command("appraise", *words, "--json").json()["evidence_level"] == "simulated"
    assert "proves nothing" in command("explain", str(file)).output


def test_enrolled_key_is_taken_from_the_command_line(tmp_path: Path, now: datetime) -> None:
    key = new_attestation_key()
    file = tmp_path / "quote.json"
    file.write_bytes(key.body(Quote(b"nonce")))
    words = (
        "appraise", "--kind", "tpm2", "--evidence", str(file), "--nonce", b"nonce".hex(),
        "--now", now.isoformat(),
    )  # fmt: skip
    assert command(*words).status == 1
    assert command(*words, "--enrolled", key.name()).status == 0


def machine(folder: Path, *names: str, flags: str = "", tag: str = "") -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("report") else path.write_text("")
    (folder / "proc").mkdir(exist_ok=True)
    (folder / "proc/cpuinfo").write_text(f"flags\t\t: fpu {flags}\n")
    (folder / "sys/class/dmi/id").mkdir(parents=True, exist_ok=True)
    (folder / "sys/class/dmi/id/chassis_asset_tag").write_text(tag + "\n")
    return folder


AZURE_TAG = "7783-7084-3265-9085-8269-3286-77"
TSM = "sys/kernel/config/tsm/report"
MACHINES = [
    ("nothing", (), "", "", None, EvidenceLevel.SIMULATED),
    ("sev_guest", ("dev/sev-guest",), "sev_snp", "", Kind.SEV_SNP, EvidenceLevel.HARDWARE),
    ("snp_configfs", (TSM,), "sev_snp", "", Kind.SEV_SNP, EvidenceLevel.HARDWARE),
    ("tdx_configfs", (TSM, "dev/tdx_guest"), "tdx_guest", "", Kind.TDX, EvidenceLevel.HARDWARE),
    ("nitro", ("dev/nsm",), "", "", Kind.NITRO, EvidenceLevel.HARDWARE),
    ("azure", ("dev/tpmrm0",), "sev_snp", AZURE_TAG, Kind.AZURE, EvidenceLevel.HARDWARE),
    ("tpm", ("dev/tpmrm0",), "", "", Kind.TPM2, EvidenceLevel.VIRTUAL_TPM),
]


@pytest.mark.parametrize(
    ("names", "flags", "tag", "kind", "level"),
    [one[1:] for one in MACHINES],
    ids=[one[0] for one in MACHINES],
)
def test_doctor_names_what_the_machine_offers(
    tmp_path: Path, names: tuple[str, ...], flags: str, tag: str, kind: Kind | None, level: EvidenceLevel
) -> None:
    root = machine(tmp_path, *names, flags=flags, tag=tag)
    found = diagnose(root)
    assert (found.kind, found.level) == (kind, level)
    shown = command("doctor", "--root", str(root))
    assert shown.status == 0
    assert level.value in shown.output
    assert command("doctor", "--root", str(root), "--json").json()["best"] == (kind.value if kind else None)


def test_file_that_claims_another_kind_is_refused(read: Callable[[str], bytes], tmp_path: Path) -> None:
    file = tmp_path / "evidence"
    file.write_bytes(read("nitro/production.cbor"))
    for kind in ("sev-snp", "tdx", "azure", "tpm2", "simulated"):
        ran = command("appraise", "--kind", kind, "--evidence", str(file), "--now", "2022-10-13T08:58:02Z")
        assert ran.status == 1
    assert Evidence(Kind.NITRO, b"").endorsements.certificates == ()
