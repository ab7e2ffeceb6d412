"""What the signer announces of its keys is what the scanner finds them by: they share no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from authority_support.chain import Chain
from authority_support.ledgers import SignedLedger
from sealwright.ledger.fingerprints import IDENTITY, fingerprint_files
from sealwright_dumps import fingerprint as reference
from sealwright_dumps.fingerprint import Form, Kind
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Settings
from sealwright_signer.custody.memory import MemoryCustody

SALT = bytes(range(32))
PARTS = {"p": "p", "q": "q", "d": "d", "dp": "dmp1", "dq": "dmq1", "qi": "iqmp"}


def forms_of(key: Any, algorithm: str) -> list[Form]:
    if algorithm == "EdDSA":
        return [Form("k", "ed25519-seed", Kind.BYTES, key.private_bytes_raw())]
    numbers = key.private_numbers()
    if algorithm == "ES256":
        return [reference.integer("k", "ec-d", numbers.private_value, 32)]
    sizes = {name: 256 if name == "d" else 128 for name in PARTS}
    forms = [reference.integer("k", f"rsa-{n}", getattr(numbers, PARTS[n]), sizes[n]) for n in PARTS]
    squares = {name: pow(2, 2048, getattr(numbers, name)) for name in ("p", "q")}
    return [*forms, *(reference.integer("k", f"rsa-rr-{n}", value, 128) for n, value in squares.items())]


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_the_signers_marks_are_the_references(algorithm: str) -> None:
    custody = MemoryCustody()
    handle = custody.generate(algorithm)
    made = custody.fingerprints(handle, SALT)
    expected = reference.make(forms_of(custody._keys[handle][2], algorithm), SALT)
    entries = json.loads(reference.dump(expected))["entries"]
    assert [{"key": "k"} | entry for entry in made] == entries


def test_a_constant_of_montgomery_alone_names_the_key(tmp_path: Path) -> None:
    custody = MemoryCustody()
    handle = custody.generate("RS256")
    entries = [{"key": "k"} | entry for entry in custody.fingerprints(handle, SALT)]
    body = {"format": reference.FORMAT, "salt": SALT.hex(), "entries": entries}
    (tmp_path / "own.json").write_text(json.dumps(body))
    square = pow(2, 2048, custody._keys[handle][2].private_numbers().q).to_bytes(128, "little")
    (tmp_path / "dump").write_bytes(bytes(5000) + square + bytes(5000))
    report = Run(Settings(workers=1, fingerprints=(str(tmp_path / "own.json"),))).scan(
        [str(tmp_path / "dump")]
    )
    assert {(finding.kind, finding.key_id) for _, finding in report.findings} == {("own-rsa-rr-q", "k")}


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_a_key_in_a_dump_is_named_by_what_the_ledger_says(tmp_path: Path, algorithm: str) -> None:
    chain = Chain(algorithm)
    ledger = SignedLedger(tmp_path, chain)
    ((log_id, document),) = fingerprint_files(ledger.store)
    assert log_id == ledger.log_id
    (tmp_path / "own.json").write_text(document)
    custody: Any = chain.signer.keyring._custody
    key = custody._keys[2][2]
    secret = forms_of(key, algorithm)[0].data
    (tmp_path / "dump").write_bytes(bytes(5000) + secret[:: -1 if algorithm != "EdDSA" else 1] + bytes(5000))
    report = Run(Settings(workers=1, fingerprints=(str(tmp_path / "own.json"),))).scan(
        [str(tmp_path / "dump")]
    )
    assert {finding.key_id for _, finding in report.findings} == {chain.keys["enterprise"]["kid"]}


def test_the_identity_key_of_an_incarnation_is_named_as_well(tmp_path: Path) -> None:
    chain = Chain("ES256")
    ledger = SignedLedger(tmp_path, chain)
    ((log_id, document),) = fingerprint_files(ledger.store)
    (tmp_path / "own.json").write_text(document)
    identity: Any = chain.signer.identity
    (tmp_path / "dump").write_bytes(bytes(5000) + identity._key.private_bytes_raw() + bytes(5000))
    report = Run(Settings(workers=1, fingerprints=(str(tmp_path / "own.json"),))).scan(
        [str(tmp_path / "dump")]
    )
    assert {finding.key_id for _, finding in report.findings} == {IDENTITY + log_id}
