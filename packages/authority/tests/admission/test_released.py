"""The PIN of a token goes to the incarnation that was admitted; who stands between learns nothing."""

import asyncio
import base64
import json
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import sealwright_attest as attest
from authority_support.programs import Programs, until
from sealwright.admission.attested import AttestedAppraiser, read_policy
from sealwright.admission.documents import ADMISSION_TYPE, new_private_key, read_signer
from sealwright.admission.model import Admission, AdmissionPolicy, Evidence, EvidenceLevel
from sealwright.admission.released import Releaser
from sealwright.admission.service import Admitter
from sealwright.clock import SystemClock
from sealwright.config import Config, origin_prefix, signer_policy
from sealwright.config.model import CustodyConfig
from sealwright.errors import Refused, Unavailable
from sealwright.store.admin import SqlAuditStore
from sealwright.store.admission import SqlAdmissionStore
from sealwright.store.db import make_tables, open_engine, open_state
from sealwright.supervisor.signer_process import ClientSignerLauncher, ClientSignerProcess
from sealwright_signer.client import Connection, SignerRefused
from signer_support.softhsm import PIN, SoftHsm, make_token

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(180)]
LAB = 'schema = 1\nname = "lab"\nrevision = "1"\nplatforms = ["simulated"]\nlevel = "simulated"\n'
ANY = LAB + "[measurements]\nany = true\n"
PURPOSE = "hsm-pin"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sw-") as name:  # short: a socket's path has 107 bytes at most
        yield Path(name)


@pytest.fixture(scope="module")
def hsm(folder: Path) -> SoftHsm:
    return make_token(folder / "hsm")


def config_of(hsm: SoftHsm) -> Config:
    named = {name: value for name, value in hsm.custody().items() if name not in ("label", "reach")}
    custody = CustodyConfig(**{**named, "pin_file": f"release:{PURPOSE}", "reach": (str(hsm.tokens),)})
    return msgspec.structs.replace(Config(), custody=custody)


@dataclass
class Site:
    """The supervisor's side, and signers that wait for their PIN."""

    folder: Path
    hsm: SoftHsm
    notes: list[dict[str, Any]] = field(default_factory=list)
    signers: list[ClientSignerProcess] = field(default_factory=list)
    broken: bool = False

    def __post_init__(self) -> None:
        engine = open_engine("sqlite://")
        make_tables(engine)
        self.config = config_of(self.hsm)
        key, clock = read_signer(ADMISSION_TYPE, new_private_key(), "a test"), SystemClock()
        asked = AdmissionPolicy(EvidenceLevel.SIMULATED, 3_600)
        appraiser = AttestedAppraiser(read_policy(ANY.encode(), "a test"))
        prefix = origin_prefix(self.config)
        self.admitter = Admitter(key, asked, appraiser, SqlAdmissionStore(engine), clock, prefix)
        self.releaser = Releaser(PURPOSE, self.hsm.folder / "pin", 60, self.note, clock)
        self.admitter.release_by(self.releaser)

    def note(self, action: str, subject: str, details: dict[str, Any]) -> None:
        if self.broken:
            raise Unavailable("audit_busy", "no room")
        self.notes.append({"action": action, "subject": subject, **details})

    def launch(self) -> ClientSignerProcess:
        place = self.folder / f"s{len(self.signers)}"
        place.mkdir()
        launcher = ClientSignerLauncher(place, place, collector="simulated")
        self.signers.append(launcher.launch(0, signer_policy(self.config, [], 0)))
        return self.signers[-1]

    def admit(self, signer: ClientSignerProcess) -> Admission:
        candidate, evidence = signer.introduce(secrets.token_bytes(32))
        return self.admitter.admit(candidate, evidence, signer.policy_digest)

    def sealed(self, admission: Admission) -> bytes:
        found = self.admitter.sealed_for(admission)
        assert found is not None
        return found


@pytest.fixture
def site(hsm: SoftHsm) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="sw-") as name:
        made = Site(Path(name), hsm)
        yield made
        for signer in made.signers:
            signer.stop()


def makes_a_key(signer: ClientSignerProcess) -> bool:
    async def tried() -> bool:
        connection = await Connection.open(signer.socket)
        try:
            await connection.hello()
            now = int(SystemClock().now())
            await connection.make_key("enterprise", "ES256", now + 60, now + 660, now + 4_260)
        except SignerRefused as error:
            if error.code != "custody_unavailable":
                raise
            return False
        finally:
            await connection.close()
        return True

    return asyncio.run(tried())


def test_an_admitted_incarnation_gets_the_pin_once_and_can_make_keys(site: Site) -> None:
    signer = site.launch()
    assert not makes_a_key(signer), "before the release its token is closed"
    admission = site.admit(signer)
    sealed = site.sealed(admission)
    [note] = site.notes
    assert (note["action"], note["subject"], note["incarnation"]) == (
        "release_secret",
        PURPOSE,
        admission.log_id,
    )
    assert PIN not in json.dumps(site.notes) + admission.result + admission.statement
    signer.release(sealed)
    assert makes_a_key(signer)
    with pytest.raises(Refused, match="no secret is waited for"):
        signer.release(sealed)
    candidate, evidence = signer.introduce(secrets.token_bytes(32))
    site.admitter.renew(candidate, evidence, signer.policy_digest)
    assert "release_key" not in json.loads(evidence.evidence)["binding"], "its key is used up"


def test_a_man_in_the_middle_learns_nothing_and_cannot_swap_the_key(site: Site) -> None:
    signer, other = site.launch(), site.launch()
    thief = X25519PrivateKey.generate()
    candidate, evidence = signer.introduce(secrets.token_bytes(32))
    for swapped in with_key(evidence, thief.public_key().public_bytes_raw()), with_key(evidence, None):
        with pytest.raises(Refused, match="evidence_not_bound"):
            site.admitter.admit(candidate, swapped, signer.policy_digest)
    lying = with_key(evidence, thief.public_key().public_bytes_raw())
    spki = base64.b64decode(json.loads(evidence.evidence)["binding"]["identity_key"])
    bound = attest.report_data(bytes.fromhex(evidence.nonce), spki, thief.public_key().public_bytes_raw())
    with pytest.raises(Refused, match="binding-mismatch"):
        site.admitter.admit(candidate, replace(lying, binding=bound.hex()), signer.policy_digest)
    assert site.notes == [], "nothing was released"
    sealed = site.sealed(site.admitter.admit(candidate, evidence, signer.policy_digest))
    assert PIN.encode() not in sealed
    with pytest.raises(attest.Refused):
        attest.open_released(sealed, thief, b"")
    other.introduce(secrets.token_bytes(32))
    for taken in (sealed, sealed[:-1] + bytes([sealed[-1] ^ 1]), b"", b"\0" * 64):
        with pytest.raises(Refused, match="not for this key"):
            other.release(taken)
    with pytest.raises(Refused, match="not for this key"):
        signer.release(b"\0" * len(sealed))
    signer.release(sealed)  # what was tried before did not cost it its own
    assert makes_a_key(signer)
    assert not makes_a_key(other)


def with_key(evidence: Evidence, key: bytes | None) -> Evidence:
    """The evidence as who carries it would have it: with another key to release to, or with none."""
    bundle = json.loads(evidence.evidence)
    if key is None:
        del bundle["binding"]["release_key"]
    else:
        bundle["binding"]["release_key"] = base64.b64encode(key).decode()
    return replace(evidence, evidence=json.dumps(bundle))


def test_a_secret_is_for_the_evidence_and_the_time_that_it_was_released_for(site: Site) -> None:
    signer = site.launch()
    first = site.sealed(site.admit(signer))
    signer.introduce(secrets.token_bytes(32))
    with pytest.raises(Refused, match="not for this key"):
        signer.release(first)
    late = replace(site.releaser, lease=-1)
    candidate, evidence = signer.introduce(secrets.token_bytes(32))
    admission = site.admitter.renew(candidate, evidence, signer.policy_digest)
    with pytest.raises(Refused, match="lease"):
        signer.release(late.sealed(admission))
    elsewhere = replace(site.releaser, purpose="tls-key")
    with pytest.raises(Refused, match="not for this key"):
        signer.release(elsewhere.sealed(admission))
    signer.release(site.sealed(admission))


def test_nothing_is_released_unwritten_nor_to_one_that_binds_no_key(site: Site) -> None:
    admission = site.admit(site.launch())
    site.broken = True
    with pytest.raises(Unavailable):
        site.admitter.sealed_for(admission)
    site.broken = False
    with pytest.raises(Refused, match="no_release_key"):
        site.admitter.sealed_for(replace(admission, proof=None))


def test_a_site_whose_token_opens_by_release_only_issues_and_says_so(folder: Path, hsm: SoftHsm) -> None:
    place = folder / "up"
    place.mkdir()
    (place / "policy.toml").write_text(ANY)
    custody = hsm.custody(objects="session", patience=30)
    quoted = "\n".join(f'{name} = "{custody[name]}"' for name in ("kind", "module", "token", "objects"))
    variables = ", ".join(f'{name} = "{value}"' for name, value in hsm.environment.items())
    program = Programs(
        place,
        f'[custody]\n{quoted}\npin_file = "release:{PURPOSE}"\nsessions = 2\npatience = 30\n'
        f'reach = ["{hsm.tokens}"]\nenvironment = {{ {variables} }}\n[manifest]\nlife = "10s"\n'
        f'[admission]\npolicy = "{place}/policy.toml"\ncollector = "simulated"\nevidence = "simulated"\n'
        f'[admission.release]\n{PURPOSE} = "{hsm.folder}/pin"\n',
    )
    shown = program.start()
    try:
        assert program.process, shown
        assert program.process.poll() is None, shown
        assert until(lambda: program.token("enterprise"), "a token by a key in the token")
        trail = SqlAuditStore(open_state(program.state)).page(0, 1_000)
        [entry] = [one for one in trail if one.action == "release_secret"]
        assert (entry.actor, entry.details["incarnation"]) == (
            "system:supervisor",
            program.signer()["log_id"],
        )
    finally:
        program.stop()
