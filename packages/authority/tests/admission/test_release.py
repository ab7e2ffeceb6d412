"""A secret goes to the key that accepted evidence binds, once, after it was written down; to nobody else."""

import asyncio
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import sealwright_attest as attest
from sealwright.admission.documents import public_jwk, spki_of
from sealwright.admission.release import NONCE_LIFE, ReleaseDesk, require_secrets
from sealwright.config.model import AdmissionConfig
from sealwright.drills.sandbox import Sandbox
from sealwright.errors import Misconfigured, Refused, Unavailable
from sealwright.files import write_private
from sealwright_attest.synthetic import snp
from sealwright_attest.synthetic.world import World, new_world

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PIN, PURPOSE = b"a PIN of the token", "hsm-pin"


class StillClock:
    def __init__(self) -> None:
        self.at = NOW.timestamp()

    def now(self) -> float:
        return self.at


class Requester:
    """A process on a genuine (synthetic) chip with a key of its own for secrets."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.key = X25519PrivateKey.generate()
        self.identity = spki_of(public_jwk(Ed25519PrivateKey.generate().public_key()))

    def bundle(self, nonce: bytes, **guest: Any) -> attest.Evidence:
        public = self.key.public_key().public_bytes_raw()
        bound = attest.report_data(nonce, self.identity, public)
        made = self.world.amd["Genoa"].evidence(snp.Guest(report_data=bound, **guest), self.identity)
        return replace(made, unverified_release_key=public)

    def open(self, nonce: bytes, bundle: attest.Evidence, sealed: bytes, purpose: str = PURPOSE) -> bytes:
        digest = hashlib.sha256(bundle.unverified_body).hexdigest()
        info = attest.release_info(nonce, self.identity, digest, purpose)
        return attest.open_released(sealed, self.key, info)


class Written:
    def __init__(self) -> None:
        self.entries: list[tuple[str, str, dict[str, Any]]] = []
        self.broken = False

    async def __call__(self, action: str, subject: str, details: dict[str, Any]) -> None:
        if self.broken:
            raise Unavailable("audit_busy", "no room")
        self.entries.append((action, subject, details))


class Desk:
    def __init__(self, world: World, folder: Path) -> None:
        self.clock, self.written = StillClock(), Written()
        write_private(folder / "pin", PIN)
        files = {PURPOSE: folder / "pin"}
        self.desk = ReleaseDesk(
            files, lambda: attest.BUILT_IN, self.written, self.clock, 60, appraise=world.appraise
        )

    def redeem(self, nonce: bytes, bundle: attest.Evidence) -> Any:
        return asyncio.run(self.desk.redeem(nonce, attest.serialize_bundle(bundle)))

    def refused(self, nonce: bytes, bundle: attest.Evidence) -> str:
        with pytest.raises(Refused) as caught:
            self.redeem(nonce, bundle)
        return f"{caught.value.code} {caught.value.public}"


@pytest.fixture(scope="module")
def world() -> World:
    return new_world()


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Desk:
    return Desk(world, tmp_path)


def test_accepted_evidence_gets_the_secret_and_only_its_own_key_opens_it(world: World, desk: Desk) -> None:
    who, other = Requester(world), Requester(world)
    nonce = desk.desk.nonce(PURPOSE)
    bundle = who.bundle(nonce)
    released = desk.redeem(nonce, bundle)
    opened = who.open(nonce, bundle, released.sealed)
    assert opened == (int(NOW.timestamp()) + 60).to_bytes(8, "big") + PIN
    with pytest.raises(attest.Refused):
        other.open(nonce, bundle, released.sealed)
    with pytest.raises(attest.Refused):
        who.open(nonce, bundle, released.sealed, "tls-key")
    [(action, subject, details)] = desk.written.entries
    assert (action, subject, details["level"]) == ("release_secret", PURPOSE, "hardware")
    assert PIN.decode() not in json.dumps(details)


def test_a_nonce_is_good_for_one_release(world: World, desk: Desk) -> None:
    who = Requester(world)
    nonce = desk.desk.nonce(PURPOSE)
    bundle = who.bundle(nonce)
    desk.redeem(nonce, bundle)
    assert desk.refused(nonce, bundle).startswith("unknown_nonce")
    assert desk.refused(bytes(32), who.bundle(bytes(32))).startswith("unknown_nonce")
    late = desk.desk.nonce(PURPOSE)
    desk.clock.at += NONCE_LIFE + 1
    assert desk.refused(late, who.bundle(late)).startswith("unknown_nonce")


def test_a_man_in_the_middle_cannot_put_his_own_key_in(world: World, desk: Desk) -> None:
    who, thief = Requester(world), X25519PrivateKey.generate().public_key().public_bytes_raw()
    nonce = desk.desk.nonce(PURPOSE)
    assert "binding-mismatch" in desk.refused(nonce, replace(who.bundle(nonce), unverified_release_key=thief))
    nonce = desk.desk.nonce(PURPOSE)
    unbound = replace(who.bundle(nonce), unverified_release_key=b"")
    assert desk.refused(nonce, unbound).startswith("no_release_key")
    assert desk.written.entries == []


def test_evidence_that_the_policy_refuses_gets_nothing(world: World, desk: Desk) -> None:
    who = Requester(world)
    nonce = desk.desk.nonce(PURPOSE)
    assert "debug" in desk.refused(nonce, who.bundle(nonce, policy=snp.PLAIN_POLICY | snp.DEBUG))
    assert desk.written.entries == []


def test_what_cannot_be_written_down_is_not_released(world: World, desk: Desk) -> None:
    nonce = desk.desk.nonce(PURPOSE)
    desk.written.broken = True
    with pytest.raises(Unavailable):
        desk.redeem(nonce, Requester(world).bundle(nonce))


def test_an_unknown_purpose_and_an_open_secret_are_refused(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="unknown_purpose"):
        desk.desk.nonce("tls-key")
    (tmp_path / "open").write_bytes(PIN)
    (tmp_path / "open").chmod(0o644)
    with pytest.raises(Misconfigured):
        require_secrets({PURPOSE: tmp_path / "open"})


@pytest.fixture
def site() -> Iterator[Sandbox]:
    made = Sandbox(Path(tempfile.mkdtemp(prefix="sealwright-test-")), leaky=False)
    policy = made.state / "policy.toml"
    lab = 'schema = 1\nname = "lab"\nrevision = "1"\nplatforms = ["simulated"]\nlevel = "simulated"\n'
    policy.write_text(lab + "[measurements]\nany = true\n")
    write_private(made.state / "pin", PIN)
    asked = AdmissionConfig(policy=str(policy), release={PURPOSE: str(made.state / "pin")}, lease=600)
    made.config = msgspec.structs.replace(made.config, admission=asked)
    try:
        made.start_signer()
        made.start_authority()
        made.wait_ready()
        yield made
    finally:
        made.stop()
        made.remove()


@pytest.mark.slow
@pytest.mark.enable_socket
def test_a_process_obtains_the_secret_for_its_lease_and_the_trail_says_so(
    site: Sandbox, tmp_path: Path
) -> None:
    def obtain(purpose: str, out: Path) -> subprocess.Popen[str]:
        words = ["--authority", str(site.state / "run" / "admin.sock"), "--purpose", purpose]
        words += ["--collector", "simulated", "--out", str(out)]
        program = [sys.executable, "-m", "sealwright_signer.obtain", *words]
        return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    out = tmp_path / "pin"
    with obtain(PURPOSE, out) as running:
        assert running.stdout is not None
        said = running.stdout.readline()
        assert said.startswith("released until "), running.communicate()[1]
        assert (out.read_bytes(), out.stat().st_mode & 0o777) == (PIN, 0o600)
        running.terminate()
    assert (running.returncode, out.exists()) == (0, False)
    with obtain("tls-key", out) as refused:
        assert refused.stderr is not None
        assert "unknown_purpose" in refused.stderr.read()
    assert (refused.returncode, out.exists()) == (77, False)
    actions = [(entry.action, entry.subject) for entry in site.stores.audit.page(0, 1_000)]
    assert actions.count(("release_secret", PURPOSE)) == 1
