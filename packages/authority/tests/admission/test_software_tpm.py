"""A real signer with a real software TPM is admitted as `virtual-tpm`, until what it measures changes."""

import base64
import hashlib
import json
import secrets
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import sealwright_attest as attest
from authority_support.software_tpm import SoftwareTpm, start_tpm, wait_for
from sealwright.admission.attested import AttestedAppraiser, read_policy
from sealwright.admission.documents import ADMISSION_TYPE, new_private_key, read_signer
from sealwright.admission.model import (
    Admission,
    AdmissionPolicy,
    Candidate,
    Evidence,
    EvidenceLevel,
    canonical,
    digest,
)
from sealwright.admission.service import Admitter
from sealwright.cli.main import main
from sealwright.clock import SystemClock
from sealwright.config import Config, origin_prefix, signer_policy
from sealwright.errors import Misconfigured, Refused
from sealwright.files import write_private
from sealwright.store.admission import SqlAdmissionStore
from sealwright.store.db import make_tables, open_engine
from sealwright.supervisor.signer_process import ClientSignerLauncher, ClientSignerProcess
from sealwright.supervisor.signers import SignerPart, SignersFile
from sealwright_attest.recheck import recheck

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(120)]
CONFIG = Config()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sw-") as name:  # short: a socket's path has 107 bytes at most
        yield Path(name)


@pytest.fixture
def tpm(folder: Path) -> Iterator[SoftwareTpm]:
    started = start_tpm(folder, "tpm")
    yield started
    started.running.terminate()
    started.running.wait()


@pytest.fixture
def signer(folder: Path, tpm: SoftwareTpm) -> Iterator[ClientSignerProcess]:
    launcher = ClientSignerLauncher(folder, folder, collector=f"tpm:{tpm.place}")
    process = launcher.launch(0, signer_policy(CONFIG, [], 0))
    yield process
    process.stop()


def shown(process: ClientSignerProcess) -> tuple[Candidate, Evidence, dict[str, Any]]:
    """Candidate, evidence, and the TPM's part of it."""
    candidate, evidence = process.introduce(secrets.token_bytes(32))
    body = json.loads(base64.b64decode(json.loads(evidence.evidence)["evidence"]))
    return candidate, evidence, body


def policy_for(body: dict[str, Any], **changed: str) -> bytes:
    """What an operator writes: this TPM's key, this boot's PCRs."""
    name = "000b" + hashlib.sha256(base64.b64decode(body["ak_public"])).hexdigest()
    pcrs = changed | {"pcr0": body["pcrs"]["0"], "pcr7": body["pcrs"]["7"]}
    lines = ["schema = 1", 'name = "lab"', 'revision = "1"', 'platforms = ["tpm2"]', 'level = "virtual-tpm"']
    lines += ["[tpm2]", 'ak = ["enrolled"]', f'enrolled = ["{name}"]', "[tpm2.pcrs]"]
    return "\n".join(lines + [f'{pcr} = ["{value}"]' for pcr, value in pcrs.items()]).encode()


@dataclass
class Desk:
    """An admitter whose clock can be moved."""

    policy: bytes
    level: EvidenceLevel = EvidenceLevel.VIRTUAL_TPM
    ahead: float = 0.0
    admitter: Admitter = field(init=False)

    def __post_init__(self) -> None:
        engine = open_engine("sqlite://")
        make_tables(engine)
        key = read_signer(ADMISSION_TYPE, new_private_key(), "a test")
        read = read_policy(self.policy, "a test")
        asked = AdmissionPolicy(self.level, 3_600, recheck=60, grace=90, appraisal=read.hash())
        store = SqlAdmissionStore(engine)
        self.admitter = Admitter(
            key,
            asked,
            AttestedAppraiser(read, document=self.policy.decode()),
            store,
            self,
            origin_prefix(CONFIG),
        )

    def now(self) -> float:
        return SystemClock().now() + self.ahead

    def admit(self, process: ClientSignerProcess) -> Admission:
        candidate, evidence, _ = shown(process)
        return self.admitter.admit(candidate, evidence, process.policy_digest)


def refused(desk: Desk, candidate: Candidate, evidence: Evidence, digest: str) -> str:
    with pytest.raises(Refused) as caught:
        desk.admitter.admit(candidate, evidence, digest)
    return f"{caught.value.code} {caught.value.public}"


def test_it_is_admitted_and_after_one_extend_refused(signer: ClientSignerProcess, tpm: SoftwareTpm) -> None:
    desk = Desk(policy_for(shown(signer)[2]))
    admission = desk.admit(signer)
    assert admission.level is EvidenceLevel.VIRTUAL_TPM
    assert json.loads(admission.result)["appraisal"]["verdict"] == "accepted"
    tpm.extend(7)
    candidate, evidence, _ = shown(signer)
    with pytest.raises(Refused, match="pcr-value"):
        desk.admitter.renew(candidate, evidence, signer.policy_digest)


def test_it_never_passes_as_hardware(signer: ClientSignerProcess) -> None:
    desk = Desk(policy_for(shown(signer)[2]), EvidenceLevel.HARDWARE)
    candidate, evidence, _ = shown(signer)
    assert refused(desk, candidate, evidence, signer.policy_digest).startswith("evidence_too_weak")


def test_a_replayed_quote_is_refused(signer: ClientSignerProcess) -> None:
    candidate, old, body = shown(signer)
    desk, fresh = Desk(policy_for(body)), shown(signer)[1]
    replayed = replace(fresh, evidence=old.evidence)
    assert "binding-mismatch" in refused(desk, candidate, replayed, signer.policy_digest)


def test_a_quote_by_another_tpm_is_refused(signer: ClientSignerProcess, folder: Path) -> None:
    desk, other = Desk(policy_for(shown(signer)[2])), start_tpm(folder, "other")
    (folder / "o").mkdir()
    launcher = ClientSignerLauncher(folder / "o", folder, collector=f"tpm:{other.place}")
    process = launcher.launch(0, signer_policy(CONFIG, [], 0))
    try:
        candidate, evidence, _ = shown(process)
        assert "ak-untrusted" in refused(desk, candidate, evidence, process.policy_digest)
    finally:
        process.stop()
        other.running.terminate()
        other.running.wait()


def test_values_of_another_selection_are_refused(signer: ClientSignerProcess) -> None:
    candidate, evidence, body = shown(signer)
    desk, bundle = Desk(policy_for(body)), json.loads(evidence.evidence)
    body["pcrs"]["16"] = body["pcrs"].pop("15")
    bundle["evidence"] = base64.b64encode(json.dumps(body).encode()).decode()
    moved = replace(evidence, evidence=json.dumps(bundle))
    assert "pcr-selection" in refused(desk, candidate, moved, signer.policy_digest)


def test_a_policy_on_a_register_that_anyone_can_reset_is_refused(signer: ClientSignerProcess) -> None:
    with pytest.raises(Misconfigured, match="pcr16"):
        Desk(policy_for(shown(signer)[2], pcr16="00" * 32))


def test_an_incarnation_that_stops_proving_itself_loses_its_keys(tpm: SoftwareTpm, folder: Path) -> None:
    launcher = ClientSignerLauncher(folder, folder, collector=f"tpm:{tpm.place}")
    process = launcher.launch(0, signer_policy(CONFIG, [], 0))
    desk = Desk(policy_for(shown(process)[2]))
    process.stop()
    file = SignersFile(folder / "signers.json")
    part = SignerPart(
        0, launcher, lambda: signer_policy(CONFIG, [], 0), desk.admitter, file, folder / "log", desk.now
    )
    write_private(folder / "log", b"")
    part.start()
    try:
        desk.ahead += 61
        part.tend()  # proves itself, and goes on
        tpm.extend(0)
        for seconds in (61, 80):  # due, and within the grace
            desk.ahead += seconds
            with pytest.raises(Refused, match="pcr-value"):
                part.tend()
            assert part.ended() is None
        desk.ahead += 11
        part.tend()
        assert part.ended() is not None
        with pytest.raises(Refused, match="pcr-value"):
            part.start()  # nor does the next one in its place get in
    finally:
        part.stop()


def record_of(admission: Admission) -> bytes:
    """What `GET /admissions/LOG_ID` answers."""
    told = {"statement": admission.statement, "result": admission.result}
    return json.dumps({"format": "sealwright-admission-record/1"} | told).encode()


def test_anyone_can_repeat_the_appraisal_that_an_admission_rests_on(signer: ClientSignerProcess) -> None:
    policy = policy_for(shown(signer)[2])
    admission = Desk(policy).admit(signer)
    found = recheck(record_of(admission), level=attest.EvidenceLevel.VIRTUAL_TPM)
    assert (found.log_id, found.result.accepted) == (admission.log_id, True)
    assert recheck(record_of(admission), policy=read_policy(policy, "own")).result.accepted
    with pytest.raises(attest.Refused, match="level-too-low"):
        recheck(record_of(admission), level=attest.EvidenceLevel.HARDWARE)
    strict = policy_for(shown(signer)[2], pcr4="11" * 32)
    with pytest.raises(attest.Refused, match="pcr-value"):
        recheck(record_of(admission), policy=read_policy(strict, "own"))


def test_a_record_that_was_written_anew_is_refused(signer: ClientSignerProcess) -> None:
    admission = Desk(policy_for(shown(signer)[2])).admit(signer)
    facts = json.loads(admission.result)
    other = canonical(facts | {"at": facts["at"] - 1}).decode()
    with pytest.raises(attest.Refused, match="binding-mismatch"):
        recheck(record_of(replace(admission, result=other)))
    loose = facts | {"policy_document": facts["policy_document"].replace("pcr7", "pcr4")}
    key = read_signer(ADMISSION_TYPE, new_private_key(), "a forger")
    payload = json.loads(base64.urlsafe_b64decode(admission.statement.split(".")[1] + "=="))
    signed = key.compact(payload | {"result": digest(loose)})
    with pytest.raises(attest.Refused, match="binding-mismatch"):
        recheck(record_of(replace(admission, result=canonical(loose).decode(), statement=signed)))
    longer = facts | {"admission_policy": facts["admission_policy"] | {"lifetime": 9}}
    signed = key.compact(payload | {"result": digest(longer)})
    with pytest.raises(attest.Refused, match="not the one that the admission names"):
        recheck(record_of(replace(admission, result=canonical(longer).decode(), statement=signed)))
    raised = key.compact(payload | {"evidence": "hardware"})
    with pytest.raises(attest.Refused, match="level-too-low"):
        recheck(record_of(replace(admission, statement=raised)))
    root = {"roles": {"admission": {"keys": [key.jwk]}}}
    pinned = json.dumps({"payload": base64.urlsafe_b64encode(json.dumps(root).encode()).decode()}).encode()
    with pytest.raises(attest.Refused, match="signature-invalid"):
        recheck(record_of(admission), root=pinned)


def test_an_operator_enrols_a_tpm_and_its_signer_is_admitted(
    tpm: SoftwareTpm, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "policy.toml"
    words = ["admission", "enrol", str(out), "--collector", f"tpm:{tpm.place}", "--pcr", "0", "--pcr", "7"]
    assert main(words) == 0
    assert "not written" in capsys.readouterr().out
    assert not out.exists()
    assert main([*words, "--apply"]) == 0
    assert main([*words, "--apply"]) == 2, "a policy is never overwritten"
    process = ClientSignerLauncher(folder, folder, collector=f"tpm:{tpm.place}").launch(
        0, signer_policy(CONFIG, [], 0)
    )
    try:
        assert Desk(out.read_bytes()).admit(process).level is EvidenceLevel.VIRTUAL_TPM
    finally:
        process.stop()


def test_only_the_key_of_a_plain_tpm_is_enrolled(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for collector in ("simulated", "none"):
        assert main(["admission", "enrol", str(folder / "p"), "--collector", collector, "--apply"]) == 2
    assert "only the key of a plain TPM" in capsys.readouterr().err
    assert not (folder / "p").exists()


def test_a_tpm_that_was_reset_under_a_living_signer_is_noticed(
    signer: ClientSignerProcess, tpm: SoftwareTpm
) -> None:
    desk = Desk(policy_for(shown(signer)[2]))
    desk.admit(signer)
    tpm.command(struct.pack(">HIIH", 0x8001, 12, 0x145, 0))  # TPM2_Shutdown(CLEAR)
    tpm.running.terminate()
    tpm.running.wait()
    tpm.place.unlink(missing_ok=True)
    again = restarted(tpm)
    try:
        candidate, evidence, _ = shown(signer)
        with pytest.raises(Refused, match="rebooted"):
            desk.admitter.renew(candidate, evidence, signer.policy_digest)
    finally:
        again.terminate()
        again.wait()


def restarted(tpm: SoftwareTpm) -> subprocess.Popen[bytes]:
    running = subprocess.Popen(tpm.running.args)
    wait_for(tpm.place, running)
    return running
