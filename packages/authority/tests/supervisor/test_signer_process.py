"""A real signer is launched, introduces itself, is admitted and ended."""

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealwright.admission.appraise import SoftwareAppraiser
from sealwright.admission.documents import ADMISSION_TYPE, new_private_key, read_signer
from sealwright.admission.model import AdmissionPolicy, EvidenceLevel
from sealwright.admission.service import Admitter
from sealwright.clock import SystemClock
from sealwright.config import Config, origin_prefix, signer_policy
from sealwright.errors import Misconfigured, Unavailable
from sealwright.store.admission import SqlAdmissionStore
from sealwright.store.db import make_tables, open_engine
from sealwright.supervisor.signer_process import ClientSignerLauncher, ClientSignerProcess

CONFIG = Config()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sw-") as name:  # short: a socket's path has 107 bytes at most
        yield Path(name)


@pytest.fixture
def signer(folder: Path) -> Iterator[ClientSignerProcess]:
    process = ClientSignerLauncher(folder, folder).launch(0, signer_policy(CONFIG, [], 0))
    yield process
    process.stop()


def test_a_real_signer_is_admitted_on_evidence_for_our_nonce(signer: ClientSignerProcess) -> None:
    engine = open_engine("sqlite://")
    make_tables(engine)
    key = read_signer(ADMISSION_TYPE, new_private_key(), "a test")
    policy = AdmissionPolicy(EvidenceLevel.NONE, 3_600)
    store = SqlAdmissionStore(engine)
    admitter = Admitter(key, policy, SoftwareAppraiser(), store, SystemClock(), origin_prefix(CONFIG))
    candidate, evidence = signer.introduce(secrets.token_bytes(32))
    admission = admitter.admit(candidate, evidence, signer.policy_digest)
    assert store.open() == [admission]
    again, fresh = signer.introduce(secrets.token_bytes(32))
    assert again == candidate
    assert admitter.renew(again, fresh, signer.policy_digest).log_id == admission.log_id


def test_it_says_what_isolates_it(signer: ClientSignerProcess) -> None:
    described = signer.describe()
    assert described["custody"] == "memory"
    assert all(set(measure) == {"measure", "state", "reason"} for measure in described["isolation"])


def test_it_ends_when_it_is_told_to(signer: ClientSignerProcess) -> None:
    signer.introduce(bytes(32))
    assert signer.ended() is None
    signer.stop()
    assert signer.ended() is not None
    assert not signer.socket.exists()
    with pytest.raises(Unavailable):
        signer.introduce(bytes(32))


def test_a_path_that_no_socket_can_have_is_refused(folder: Path) -> None:
    deep = folder / ("d" * 100)
    with pytest.raises(Misconfigured) as caught:
        ClientSignerLauncher(deep, folder).launch(0, signer_policy(CONFIG, [], 0))
    assert caught.value.code == "path_too_long"
