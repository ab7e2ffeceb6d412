"""A signer is published only after it was admitted, and never again after it died."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright.admission.appraise import SoftwareAppraiser
from sealwright.admission.documents import (
    ADMISSION_TYPE,
    log_id_of,
    new_private_key,
    public_jwk,
    read_signer,
    spki_of,
)
from sealwright.admission.model import AdmissionPolicy, Candidate, Evidence, EvidenceLevel
from sealwright.admission.service import Admitter
from sealwright.errors import Misconfigured, Refused, Unavailable
from sealwright.store.admission import SqlAdmissionStore
from sealwright.store.db import make_tables, open_engine
from sealwright.supervisor.signers import RENEWAL_RETRY, SignerPart, SignersFile
from sealwright_attest import report_data

LIFETIME, GRACE = 1_000, 100


@dataclass
class Moment:
    at: float = 1_800_000_000.0

    def now(self) -> float:
        return self.at


@dataclass
class FakeSigner:
    """`SignerProcess` that says what a real one would."""

    socket: Path
    policy_digest: str
    jwk: dict[str, str] = field(default_factory=lambda: public_jwk(Ed25519PrivateKey.generate().public_key()))
    pid: int = 4_711
    status: int | None = None
    lies: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    stopped: bool = False
    there: bool = True

    def ended(self) -> int | None:
        return self.status

    def reachable(self) -> bool:
        return self.there

    def introduce(self, nonce: bytes) -> tuple[Candidate, Evidence]:
        if self.silent:
            raise Unavailable("signer_silent", "the signer does not answer")
        log_id = log_id_of(self.jwk)
        told: dict[str, Any] = {
            "log_id": log_id,
            "origin": f"prefix/{log_id}",
            "jwk": self.jwk,
            "policy_digest": self.policy_digest,
        } | self.lies
        binding = report_data(nonce, spki_of(self.jwk)).hex()
        return Candidate(**told), Evidence("none", "", binding, nonce.hex())

    def release(self, sealed: bytes) -> None:
        raise AssertionError(sealed)

    def stop(self) -> None:
        self.stopped = True


@dataclass
class FakeLauncher:
    """`SignerLauncher` that keeps what it launched."""

    folder: Path
    lies: dict[str, str] = field(default_factory=dict)
    launched: list[FakeSigner] = field(default_factory=list)
    there: bool = True

    def launch(self, slot: int, policy: Mapping[str, Any]) -> FakeSigner:
        policy_digest = hashlib.sha256(json.dumps(policy).encode()).hexdigest()
        socket = self.folder / f"signer-{slot}.sock"
        signer = FakeSigner(socket, policy_digest, lies=self.lies, there=self.there)
        self.launched.append(signer)
        return signer


@dataclass
class Stage:
    part: SignerPart
    launcher: FakeLauncher
    store: SqlAdmissionStore
    moment: Moment
    file: Path
    asked: list[int]

    def published(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(self.file.read_bytes())["signers"]
        return listed


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    engine = open_engine("sqlite://")
    make_tables(engine)
    store, moment, launcher = SqlAdmissionStore(engine), Moment(), FakeLauncher(tmp_path)
    key = read_signer(ADMISSION_TYPE, new_private_key(), "a test")
    policy = AdmissionPolicy(EvidenceLevel.NONE, LIFETIME, grace=GRACE)
    admitter = Admitter(key, policy, SoftwareAppraiser(), store, moment, "prefix")
    file, asked = tmp_path / "signers.json", [0]
    part = SignerPart(
        0,
        launcher,
        lambda: {"version": 1},
        admitter,
        SignersFile(file),
        tmp_path / "log",
        moment.now,
        lambda: asked[0],
    )
    return Stage(part, launcher, store, moment, file, asked)


def test_one_that_cannot_be_reached_yet_is_admitted_as_soon_as_it_can(stage: Stage) -> None:
    stage.launcher.there = False
    stage.part.start()
    assert not stage.part.ready()
    assert stage.part.ended() is None
    assert stage.published() == []
    stage.launcher.launched[0].there = True
    assert stage.part.ready()
    assert len(stage.published()) == 1


def test_one_that_is_reached_late_and_not_admitted_has_ended_with_the_reason(stage: Stage) -> None:
    stage.launcher.there, stage.launcher.lies = False, {"policy_digest": "00" * 32}
    stage.part.start()
    (signer,) = stage.launcher.launched
    signer.there = True
    assert not stage.part.ready()
    assert stage.part.ended()
    assert signer.stopped
    assert stage.published() == []
    stage.launcher.there, stage.launcher.lies = True, {}
    stage.part.start()
    assert stage.part.ready()


def test_an_admitted_signer_is_published(stage: Stage) -> None:
    assert stage.published() == []
    stage.part.start()
    [admission] = stage.store.open()
    assert stage.part.ready()
    assert stage.published() == [
        {
            "slot": 0,
            "log_id": admission.log_id,
            "socket": str(stage.launcher.launched[0].socket),
            "pid": 4_711,
        }
    ]
    assert stage.file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("lie", ["log_id", "origin", "policy_digest"])
def test_a_signer_that_is_refused_is_ended_and_never_published(stage: Stage, lie: str) -> None:
    stage.launcher.lies = {lie: "something else"}
    with pytest.raises(Refused):
        stage.part.start()
    assert stage.launcher.launched[0].stopped
    assert stage.published() == []
    assert stage.store.open() == []
    assert stage.part.pid is None


def test_a_signer_that_died_is_closed_and_the_next_is_another(stage: Stage) -> None:
    stage.part.start()
    [first] = stage.store.open()
    stage.launcher.launched[0].status = -9
    assert stage.part.ended() == "killed by SIGKILL"
    stage.part.bury()
    assert stage.published() == []
    assert stage.store.open() == []
    stage.part.start()
    [second] = stage.store.open()
    assert second.log_id != first.log_id
    assert [live["log_id"] for live in stage.published()] == [second.log_id]


def test_stopping_ends_it_and_closes_its_log(stage: Stage) -> None:
    stage.part.start()
    stage.part.stop()
    assert stage.launcher.launched[0].stopped
    assert stage.store.open() == []
    assert stage.published() == []
    stage.part.stop()  # nothing is left to stop


def test_an_admission_is_renewed_at_half_of_its_life(stage: Stage) -> None:
    stage.part.start()
    [first] = stage.store.open()
    stage.part.tend()
    assert stage.store.open() == [first]
    stage.moment.at += LIFETIME / 2
    stage.part.tend()
    [renewed] = stage.store.open()
    assert renewed.log_id == first.log_id
    assert renewed.expires_at == first.expires_at + LIFETIME // 2
    assert renewed.result != first.result


def test_a_renewal_that_fails_is_tried_again_after_a_pause(stage: Stage) -> None:
    stage.part.start()
    [first] = stage.store.open()
    stage.moment.at += LIFETIME / 2
    signer = stage.launcher.launched[0]
    signer.silent = True
    with pytest.raises(Unavailable):
        stage.part.tend()
    stage.part.tend()  # within the pause nothing is asked
    signer.silent = False
    stage.part.tend()
    assert stage.store.open() == [first]
    stage.moment.at += RENEWAL_RETRY
    stage.part.tend()
    [renewed] = stage.store.open()
    assert renewed.admitted_at > first.admitted_at


def test_a_launch_that_fails_leaves_nothing(stage: Stage) -> None:
    def refuse(slot: int, policy: Mapping[str, Any]) -> FakeSigner:
        raise Misconfigured("signer_not_started", "no")

    stage.launcher.launch = refuse  # type: ignore[method-assign]
    with pytest.raises(Misconfigured):
        stage.part.start()
    assert stage.part.pid is None
    assert stage.published() == []


def test_a_log_that_could_not_be_closed_is_closed_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.part.start()
    [first] = stage.store.open()

    def full(log_id: str, at: int) -> None:
        raise Unavailable("store_unavailable", "the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(stage.store, "close", full)
        with pytest.raises(Unavailable):
            stage.part.bury()
        assert stage.published() == []
    stage.part.start()
    stage.part.tend()
    assert first.log_id not in {admission.log_id for admission in stage.store.open()}


def test_a_signer_that_cannot_be_published_is_ended(stage: Stage) -> None:
    stage.file.parent.chmod(0o500)
    if os.access(stage.file.parent, os.W_OK):
        stage.file.parent.chmod(0o700)
        stage.file.unlink()
        stage.file.mkdir()  # root may write anywhere: a directory in the file's place stops it as well
    with pytest.raises(Unavailable):
        stage.part.start()
    assert stage.launcher.launched[0].stopped
    assert stage.part.pid is None


def test_a_signer_that_stops_proving_itself_is_ended_after_the_grace(stage: Stage) -> None:
    stage.part.start()
    signer = stage.launcher.launched[0]
    signer.silent = True
    stage.moment.at += LIFETIME / 2
    with pytest.raises(Unavailable):
        stage.part.tend()
    stage.moment.at += GRACE - 1
    with pytest.raises(Unavailable):
        stage.part.tend()
    assert not signer.stopped
    stage.moment.at += 1
    stage.part.tend()
    assert signer.stopped


def test_a_signer_that_proves_itself_within_the_grace_goes_on(stage: Stage) -> None:
    stage.part.start()
    signer = stage.launcher.launched[0]
    signer.silent = True
    stage.moment.at += LIFETIME / 2
    with pytest.raises(Unavailable):
        stage.part.tend()
    signer.silent = False
    stage.moment.at += RENEWAL_RETRY
    stage.part.tend()
    stage.moment.at += GRACE
    stage.part.tend()
    assert not signer.stopped


def test_an_incarnation_proves_itself_again_when_it_is_asked_to(stage: Stage) -> None:
    stage.part.start()
    [first] = stage.store.open()
    stage.moment.at += 1
    stage.asked[0] += 1
    stage.part.tend()
    [second] = stage.store.open()
    assert (second.log_id, second.admitted_at) == (first.log_id, first.admitted_at + 1)
    stage.moment.at += 1
    stage.part.tend()
    assert stage.store.open() == [second]


def test_one_that_fails_when_it_is_asked_to_is_ended_after_the_grace(stage: Stage) -> None:
    stage.part.start()
    signer = stage.launcher.launched[0]
    signer.silent = True
    stage.asked[0] += 1
    with pytest.raises(Unavailable):
        stage.part.tend()
    stage.moment.at += GRACE
    stage.part.tend()
    assert signer.stopped
