"""The program says a verdict only for what was checked, and ends with 2 for everything that is no verdict."""

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from sealwright_attest import BUILT_IN, Code, Evidence, Kind, appraise, report_data, serialize_bundle
from sealwright_attest.cli import files
from sealwright_attest.cli.commands import run
from sealwright_attest.clock import current_time
from sealwright_attest.verifiers.simulated import make_simulated

NONCE = bytes(range(32))
LAB = 'schema = 1\nname = "lab"\nrevision = "1"\nplatforms = ["simulated"]\nlevel = "simulated"\n'
POLICY = LAB + 'nonce = "optional"\nbinding = "optional"\n[measurements]\nany = true\n'


class Case:
    """Simulated evidence that is bound to a key, and the files around it."""

    def __init__(self, folder: Path, *, bare: bool = False) -> None:
        self.folder = folder
        self.key = Ed25519PrivateKey.generate()
        self.public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        bound = NONCE.ljust(64, b"\0") if bare else report_data(NONCE, self.public)
        self.body = make_simulated(bound, bytes(48))
        self.put("policy.toml", POLICY.encode())
        self.put("evidence", self.body)
        self.put("key.der", self.public)

    def put(self, name: str, data: bytes) -> str:
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def words(self, *more: str, evidence: str = "evidence") -> list[str]:
        named = ["--evidence", str(self.folder / evidence), "--policy", str(self.folder / "policy.toml")]
        return ["appraise", "--kind", "simulated", *named, *more]

    def run(self, *more: str, evidence: str = "evidence") -> tuple[int, str]:
        said: list[str] = []
        return run(self.words(*more, evidence=evidence), said.append, said.append), "".join(said)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_key_that_the_evidence_is_bound_to_is_accepted_in_pem_and_der(case: Case) -> None:
    pem = case.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name in (case.put("key.pem", pem), str(case.folder / "key.der")):
        assert case.run("--nonce", NONCE.hex(), "--identity-key", name)[0] == 0


@pytest.mark.parametrize(
    "data", [b"", b"x\n", b"spki", b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"]
)
def test_what_is_no_public_key_switches_no_check_off(tmp_path: Path, data: bytes) -> None:
    case = Case(tmp_path, bare=True)
    assert case.run("--nonce", NONCE.hex())[0] == 0
    status, said = case.run("--nonce", NONCE.hex(), "--identity-key", case.put("bad", data))
    assert (status, "not a public key" in said) == (2, True)


def test_a_private_key_is_refused_by_name_and_never_printed(case: Case) -> None:
    pem = case.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    named = ["--evidence", str(case.folder / "evidence"), "--identity-key", case.put("private.pem", pem)]
    said: list[str] = []
    assert run(["bundle", "--kind", "simulated", *named], said.append, said.append) == 2
    assert "PRIVATE key" in "".join(said)
    assert pem.splitlines()[1].decode() not in "".join(said)


def test_a_key_without_a_nonce_is_refused_not_skipped(case: Case) -> None:
    status, said = case.run("--identity-key", str(case.folder / "key.der"))
    assert (status, "nonce-missing" in said) == (1, True)
    bundle = serialize_bundle(Evidence(Kind.SIMULATED, case.body, unverified_identity_key=case.public))
    case.put("bundle", bundle)
    assert case.run(evidence="bundle")[0] == 1
    assert case.run("--nonce", NONCE.hex(), evidence="bundle")[0] == 0
    assert case.run()[0] == 0, "without a key there is nothing to check"


def test_a_bundle_with_an_empty_key_is_malformed(case: Case) -> None:
    armoured = b64encode(case.body).decode()
    table = {"format": "sealwright-evidence/1", "kind": "simulated", "evidence": armoured}
    case.put("bundle", json.dumps({**table, "binding": {"identity_key": ""}}).encode())
    status, said = case.run("--nonce", NONCE.hex(), evidence="bundle")
    assert (status, "malformed" in said) == (1, True)


@pytest.mark.parametrize("text", ["", "yesterday", "2025-01-01T00:00:00"])
def test_a_time_that_is_none_is_wrong_use(case: Case, text: str) -> None:
    assert case.run("--now", text)[0] == 2


def test_a_release_key_of_another_size_is_wrong_use(case: Case) -> None:
    status, said = case.run("--nonce", NONCE.hex(), "--release-key", "abcd")
    assert (status, "32 bytes" in said) == (2, True)


def test_a_pipe_is_read_to_its_end_and_a_silent_one_not_waited_for(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(case.body)
    assert case.run("--nonce", NONCE.hex(), evidence=f"/dev/fd/{reading}")[0] == 1, "bound to a key"
    os.close(reading)
    monkeypatch.setattr(files, "SILENCE", 0)
    os.mkfifo(case.folder / "silent")
    status, said = case.run(evidence="silent")
    assert (status, "nobody wrote" in said) == (2, True)


def test_an_event_log_among_the_endorsements_is_taken_as_one(case: Case) -> None:
    spec = bytes(4) + (3).to_bytes(4, "little") + bytes(20) + (29).to_bytes(4, "little")
    log = case.put("log", spec + b"Spec ID Event03\0" + bytes(13))
    assert case.run("--nonce", NONCE.hex(), "--endorsement", log)[0] in (0, 1)
    status, said = case.run("--endorsement", case.put("noise", b"\x07" * 64))
    assert (status, "neither certificates" in said) == (2, True)


def test_a_legacy_event_log_is_named_for_what_it_is(case: Case) -> None:
    event = bytes(4) + (8).to_bytes(4, "little") + bytes(20) + (4).to_bytes(4, "little") + b"text"
    said: list[str] = []
    assert run(["explain", case.put("log", event)], said.append, said.append) == 1
    assert "event-log-legacy" in "".join(said)


def test_a_refusal_of_form_says_what_was_asked(case: Case) -> None:
    for kind in Kind:
        result = appraise(Evidence(kind, b"no evidence"), nonce=None, policy=BUILT_IN, now=current_time())
        assert all(check.asked for check in result.checks if check.fix), kind
    assert Code.MALFORMED in result.codes


def test_the_signed_result_comes_beside_the_json(case: Case) -> None:
    pem = case.put("ear.pem", case.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    status, said = case.run("--json", "--ear", pem)
    told = json.loads(said)
    assert (status, told["verdict"], told["ear"].count(".")) == (0, "accepted", 2)


def test_doctor_looks_at_directories_only(case: Case) -> None:
    said: list[str] = []
    assert run(["doctor", "--root", str(case.folder / "none")], said.append, said.append) == 2
    assert run(["doctor", "--root", str(case.folder)], said.append, said.append) == 0
    assert "azure" in "".join(said)


def program(case: Case, out: int | None, **environment: str) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, "-m", "sealwright_attest", *case.words("--nonce", NONCE.hex())]
    words += ["--identity-key", str(case.folder / "key.der")]
    given = {"PATH": os.defpath, **environment}
    return subprocess.run(words, env=given, stdout=out, stderr=subprocess.PIPE, check=False)


def test_a_result_that_cannot_be_written_is_no_verdict(case: Case) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = program(case, full.fileno())
    assert (ran.returncode, b"Traceback" in ran.stderr, b"cannot be written" in ran.stderr) == (
        2,
        False,
        True,
    )
    reading, writing = os.pipe()
    os.close(reading)
    ran = program(case, writing)
    os.close(writing)
    assert (ran.returncode, b"Traceback" in ran.stderr) == (2, False)


def test_a_terminal_that_knows_ascii_only_gets_the_whole_result(case: Case) -> None:
    ran = program(case, subprocess.PIPE, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.isascii()
