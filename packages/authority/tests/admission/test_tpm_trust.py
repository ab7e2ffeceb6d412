"""A TPM's attestation key is trusted by activation against its endorsement key, or by a certificate."""

import base64
import json
import secrets
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import sealwright_attest as attest
from authority_support.software_tpm import SoftwareTpm, certify, start_tpm
from sealwright.admission.attested import AttestedAppraiser, read_policy
from sealwright.admission.endorsements import read_endorsements
from sealwright.admission.model import Candidate, Evidence, EvidenceLevel
from sealwright.cli.main import main
from sealwright.clock import SystemClock
from sealwright.config import Config, signer_policy
from sealwright.errors import Refused
from sealwright.supervisor.signer_process import ClientSignerLauncher, ClientSignerProcess
from sealwright_attest.keys import Algorithm
from sealwright_attest.synthetic import authority
from sealwright_attest.verifiers.tpm_structures import parse_public
from sealwright_attest.x509 import split_pem
from sealwright_signer.evidence import tpm as collector

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(120)]
HEAD = 'schema = 1\nname = "lab"\nrevision = "1"\nplatforms = ["tpm2"]\nlevel = "virtual-tpm"\n[tpm2]\n'


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sw-") as name:  # short: a socket's path has 107 bytes at most
        yield Path(name)


@pytest.fixture(scope="module")
def maker(folder: Path) -> Path:
    return certify(folder, "tpm")


@pytest.fixture(scope="module")
def tpm(folder: Path, maker: Path) -> Iterator[SoftwareTpm]:
    started = start_tpm(folder, "tpm")
    yield started
    started.stop()


@pytest.fixture(scope="module")
def signer(folder: Path, tpm: SoftwareTpm) -> Iterator[ClientSignerProcess]:
    launcher = ClientSignerLauncher(folder, folder, collector=f"tpm:{tpm.place}")
    process = launcher.launch(0, signer_policy(Config(), [], 0))
    yield process
    process.stop()


def shown(process: ClientSignerProcess) -> tuple[Candidate, Evidence]:
    return process.introduce(secrets.token_bytes(32))


def ak_public(evidence: Evidence) -> bytes:
    body = json.loads(base64.b64decode(json.loads(evidence.evidence)["evidence"]))
    return base64.b64decode(body["ak_public"])


def judged(policy: bytes, process: ClientSignerProcess, endorsements: Path | None = None) -> EvidenceLevel:
    candidate, evidence = shown(process)
    read = read_policy(policy, "a test")
    stored = read_endorsements(endorsements) if endorsements else None
    appraiser = AttestedAppraiser(read, stored=stored) if stored else AttestedAppraiser(read)
    return appraiser.appraise(candidate, evidence, SystemClock().now()).level


def enrol(folder: Path, tpm: SoftwareTpm, maker: Path) -> Path:
    out = folder / f"{secrets.token_hex(4)}.toml"
    words = ["admission", "enrol", str(out), "--collector", f"tpm:{tpm.place}", "--maker", str(maker)]
    assert main([*words, "--apply"]) == 0
    return out


def test_enrolling_with_the_makers_root_activates_the_key_and_its_signer_is_admitted(
    folder: Path, tpm: SoftwareTpm, maker: Path, signer: ClientSignerProcess
) -> None:
    policy = enrol(folder, tpm, maker).read_bytes()
    assert b'ak = ["activated"]' in policy
    assert judged(policy, signer) is EvidenceLevel.VIRTUAL_TPM
    read = attest.parse_policy(policy)
    (name,) = read.tpm.activated
    assert name == parse_public(ak_public(shown(signer)[1])).name.hex()
    table = json.dumps({**read.as_table(), "tpm2": {"ak": ["activated"]}})
    assert "activated" in table


def test_an_activated_key_needs_the_chain_of_its_endorsement_key_at_every_appraisal(
    folder: Path, tpm: SoftwareTpm, maker: Path, signer: ClientSignerProcess
) -> None:
    policy = enrol(folder, tpm, maker).read_text()
    other = authority.root("another maker", Algorithm.RSA_SHA256)
    start, end = policy.index("roots = ["), policy.index("[[tpm2.activated]]")
    strange = f"{policy[:start]}roots = ['''\n{authority.to_pem(other.certificate)}''']\n{policy[end:]}"
    with pytest.raises(Refused, match="chain-untrusted"):
        judged(strange.encode(), signer)
    for_another = policy.replace(
        f'\nak = "{next(iter(attest.parse_policy(policy.encode()).tpm.activated))}"',
        f'\nak = "000b{"00" * 32}"',
    )
    with pytest.raises(Refused, match="ak-untrusted"):
        judged(for_another.encode(), signer)


def test_a_tpm_that_another_maker_certified_is_not_activated(
    folder: Path, tpm: SoftwareTpm, capsys: pytest.CaptureFixture[str]
) -> None:
    other, out = folder / "other-maker.pem", folder / "never.toml"
    root = authority.root("another maker", Algorithm.RSA_SHA256)
    other.write_text(authority.to_pem(root.certificate))
    words = [
        "admission",
        "enrol",
        str(out),
        "--collector",
        f"tpm:{tpm.place}",
        "--maker",
        str(other),
        "--apply",
    ]
    assert main(words) == 2
    assert "chain-untrusted" in capsys.readouterr().err
    assert not out.exists()


def test_a_challenge_for_one_key_or_tpm_is_not_solved_with_another(
    folder: Path, tpm: SoftwareTpm, maker: Path, signer: ClientSignerProcess
) -> None:
    read = attest.parse_policy(enrol(folder, tpm, maker).read_bytes())
    certificate, public = collector.endorsement_certificate(tpm.place), ak_public(shown(signer)[1])
    chain = split_pem(maker.read_bytes())
    now = datetime.now(UTC) + timedelta(minutes=5)  # noqa: TID251 - certificates are of this minute

    def challenge(key: bytes) -> attest.Challenge:
        return attest.open_challenge(certificate, key, policy=read, now=now, unverified_intermediates=chain)

    asked = challenge(public)
    answer = collector.activate(tpm.place, asked.credential, asked.encrypted_secret)
    assert asked.require_answer(answer)[0] == parse_public(public).name.hex()
    with pytest.raises(attest.Refused, match="ak-untrusted"):
        challenge(public).require_answer(answer)
    certify(folder, "other")
    other = start_tpm(folder, "other")
    try:
        body = json.loads(base64.b64decode(collector.quote(other.place, b"", b"", bytes(32))["evidence"]))
        swapped = challenge(base64.b64decode(body["ak_public"]))
        for place, one in ((tpm.place, swapped), (other.place, asked), (other.place, swapped)):
            with pytest.raises(OSError, match="0x147"):
                collector.activate(place, one.credential, one.encrypted_secret)
    finally:
        other.stop()


def test_a_tpm_without_a_certificate_cannot_be_activated(
    folder: Path, maker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = start_tpm(folder, "plain")
    try:
        words = ["admission", "enrol", str(folder / "no"), "--collector", f"tpm:{plain.place}"]
        assert main([*words, "--maker", str(maker), "--apply"]) == 2
        assert "no certificate" in capsys.readouterr().err
        assert main([*words, "--pcr", "16"]) == 2
        assert "anyone can reset PCR 16" in capsys.readouterr().err
        (folder / "empty.pem").write_text("no certificate")
        assert main([*words, "--maker", str(folder / "empty.pem")]) == 2
    finally:
        plain.stop()


def test_an_attestation_key_with_a_certificate_among_the_endorsements_is_admitted(
    folder: Path, signer: ClientSignerProcess
) -> None:
    ca, other = (authority.root(name, Algorithm.ECDSA_SHA256) for name in ("AK CA", "another CA"))
    key = parse_public(ak_public(shown(signer)[1])).key
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    stranger = authority.public_der(authority.new_key(Algorithm.ECDSA_SHA256))
    trusted = f"ak = [\"certificate\"]\nroots = ['''\n{authority.to_pem(ca.certificate)}''']\n"
    policy = f"{HEAD}{trusted}[measurements]\nany = true\n".encode()
    stored = folder / "endorsements"
    stored.mkdir()

    def with_certificate(issuer: authority.Authority, **said: object) -> EvidenceLevel:
        request = authority.Request("an AK", **{"key": spki, **said})  # type: ignore[arg-type] # as the class says
        (stored / "ak.pem").write_text(authority.to_pem(issuer.issue(request)))
        return judged(policy, signer, stored)

    with pytest.raises(Refused, match="ak-untrusted"):
        judged(policy, signer)
    assert with_certificate(ca) is EvidenceLevel.VIRTUAL_TPM
    with pytest.raises(Refused, match="chain-untrusted"):
        with_certificate(other)
    with pytest.raises(Refused, match="endorsement-missing"):
        with_certificate(ca, key=stranger)
    with pytest.raises(Refused, match="certificate-expired"):
        with_certificate(ca, end=authority.BEGIN + timedelta(days=1))
