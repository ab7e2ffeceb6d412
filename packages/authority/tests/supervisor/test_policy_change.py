"""A signer that no longer satisfies the policy goes on for its grace, and loses its keys after it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import sealwright_attest as attest
from sealwright.admission.attested import AttestedAppraiser
from sealwright.admission.documents import (
    ADMISSION_TYPE,
    log_id_of,
    new_private_key,
    public_jwk,
    read_signer,
    spki_of,
)
from sealwright.admission.endorsements import Stored
from sealwright.admission.model import AdmissionPolicy, Candidate, Evidence, EvidenceLevel, RevokedImage
from sealwright.admission.service import Admitter
from sealwright.admission.standing import in_force
from sealwright.errors import Refused
from sealwright.store.admission import SqlAdmissionStore
from sealwright.store.db import make_tables, open_engine
from sealwright.supervisor.signers import SignerPart, SignersFile
from sealwright_attest.verifiers.simulated import make_simulated

GRACE = 100
IMAGE = bytes(48)
LAB = 'schema = 1\nname = "lab"\nrevision = "1"\nplatforms = ["simulated"]\nlevel = "simulated"\n'
ANY = LAB + "[measurements]\nany = true\n"
OTHER = LAB + f'[[measurements.allow]]\ndigest = "{"11" * 48}"\n'


@dataclass
class Moment:
    at: float = 1_800_000_000.0

    def now(self) -> float:
        return self.at


@dataclass
class Simulated:
    """A signer on a simulated machine that always boots the same image."""

    socket: Path
    policy_digest: str
    jwk: dict[str, str] = field(default_factory=lambda: public_jwk(Ed25519PrivateKey.generate().public_key()))
    pid: int = 4_711
    status: int | None = None

    def ended(self) -> int | None:
        return self.status

    def reachable(self) -> bool:
        return True

    def introduce(self, nonce: bytes) -> tuple[Candidate, Evidence]:
        log_id, spki = log_id_of(self.jwk), spki_of(self.jwk)
        bound = attest.report_data(nonce, spki)
        shown = attest.Evidence(
            attest.Kind.SIMULATED, make_simulated(bound, IMAGE), unverified_identity_key=spki
        )
        evidence = Evidence("simulated", attest.serialize_bundle(shown).decode(), bound.hex(), nonce.hex())
        return Candidate(log_id, f"prefix/{log_id}", self.jwk, self.policy_digest), evidence

    def release(self, sealed: bytes) -> None:
        raise AssertionError(sealed)

    def stop(self) -> None:
        self.status = -9


class Stage:
    def __init__(self, folder: Path) -> None:
        engine = open_engine("sqlite://")
        make_tables(engine)
        self.moment, self.changes, self.notes = Moment(), 0, list[tuple[str, dict[str, Any]]]()
        self.appraiser = AttestedAppraiser(attest.BUILT_IN)
        key = read_signer(ADMISSION_TYPE, new_private_key(), "a test")
        asked = AdmissionPolicy(EvidenceLevel.SIMULATED, 86_400, recheck=3_600, grace=GRACE)
        store = SqlAdmissionStore(engine)
        self.admitter = Admitter(key, asked, self.appraiser, store, self.moment, "prefix", self.note)
        self.launched = list[Simulated]()
        self.file = folder / "signers.json"
        self.use(ANY)
        self.part = SignerPart(
            0,
            self,
            dict,
            self.admitter,
            SignersFile(self.file),
            folder / "log",
            self.moment.now,
            lambda: self.changes,
        )

    def note(self, action: str, _subject: str, details: dict[str, Any]) -> None:
        self.notes.append((action, details))

    def launch(self, slot: int, policy: Mapping[str, Any]) -> Simulated:
        digest = hashlib.sha256(json.dumps(policy).encode()).hexdigest()
        self.launched.append(Simulated(self.file.with_name(f"{slot}.sock"), digest))
        return self.launched[-1]

    def use(self, document: str, *revoked: RevokedImage) -> None:
        """What the keeper does when a policy comes into force."""
        made = in_force(document, revoked)
        self.appraiser.use(made.policy, made.document, Stored())
        self.admitter.use(made.policy.hash())
        self.changes += 1

    def tended(self, seconds: float) -> str:
        """Why it is refused after so many seconds more, empty when it is not."""
        self.moment.at += seconds
        try:
            self.part.tend()
        except Refused as error:
            return error.public
        return ""


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path)
    made.part.start()
    return made


def test_a_signer_that_another_policy_refuses_ends_after_the_grace(stage: Stage) -> None:
    assert stage.tended(1) == ""
    stage.use(OTHER)
    assert "measurement-unknown" in stage.tended(1), "looked at at once"
    assert stage.part.ended() is None, "it has its grace"
    assert stage.tended(1) == "", "tried again after a pause only"
    assert "measurement-unknown" in stage.tended(GRACE - 10)
    assert stage.part.ended() is None
    stage.tended(10)
    assert stage.part.ended() is not None
    assert [action for action, _ in stage.notes] == ["renewal_refused", "signer_ended"]
    stage.part.bury()
    with pytest.raises(Refused, match="measurement-unknown"):
        stage.part.start()
    assert json.loads(stage.file.read_bytes())["signers"] == []


def test_a_policy_that_is_taken_back_in_time_saves_its_keys(stage: Stage) -> None:
    stage.use(OTHER)
    assert stage.tended(1)
    stage.use(ANY)
    assert stage.tended(1) == "", "tried at once, as the policy is another"
    assert stage.tended(GRACE * 2) == ""
    assert stage.part.ended() is None
    assert stage.part.admission is not None


def test_an_admission_names_the_policy_that_it_rests_on(stage: Stage) -> None:
    assert stage.part.admission is not None
    before = stage.part.admission.result
    stage.use(ANY.replace('"1"', '"2"'))
    stage.tended(1)
    after = json.loads(stage.part.admission.result)
    assert after["policy"] != json.loads(before)["policy"]
    assert attest.parse_policy(after["policy_document"].encode()).hash() == after["policy"]


def test_a_revoked_image_serves_until_its_own_grace_is_over_and_no_longer(stage: Stage) -> None:
    since = int(stage.moment.at)
    stage.use(ANY, RevokedImage(IMAGE.hex(), "CVE-2026-0001", since, 600, "alice"))
    assert stage.tended(1) == ""
    assert stage.part.admission is not None
    assert stage.part.admission.expires_at == since + 600
    stage.tended(300)
    assert stage.part.ended() is None
    assert "CVE-2026-0001" in stage.tended(300)
    stage.tended(1)
    assert stage.part.ended() is not None, "its admission is over: there is no further grace on top"
    stage.part.bury()
    with pytest.raises(Refused, match="CVE-2026-0001"):
        stage.part.start()
