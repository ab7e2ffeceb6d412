from __future__ import annotations

import ast
import base64
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwright_dumps.corpus.build import Site
from sealwright_dumps.corpus.plants import plants
from sealwright_dumps.redact import verifier
from sealwright_dumps.redact.verifier import Verdict, check, explain

HARMLESS = (
    bytes(600)
    + b"/usr/lib/python3/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so\x00"
    + b"".join((0x7F12345678A0 + 977 * n).to_bytes(8, "little") for n in range(60))
    + b"".join(n.to_bytes(4, "little") for n in range(200))
    + bytes.fromhex("edacef0dedacef0d") * 40
    + (-22 & (1 << 64) - 1).to_bytes(8, "little") * 3
)


def rules(data: bytes) -> set[str]:
    verdict = Verdict()
    explain(data, 0, [], verdict)
    return {rule for _, rule in verdict.findings}


def test_addresses_small_numbers_paths_and_the_defaced_word_are_explained() -> None:
    assert rules(HARMLESS) == set()


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**64), st.integers(0, len(HARMLESS)))
def test_a_random_secret_anywhere_is_refused(source: int, place: int) -> None:
    secret = random.Random(source).randbytes(32)  # repeatable
    assert rules(HARMLESS[:place] + secret + HARMLESS[place:])


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**64), st.sampled_from(["base64", "hex", "utf-16", "base64url", "base64 in hex"]))
def test_an_encoded_secret_is_refused(source: int, form: str) -> None:
    secret = random.Random(source).randbytes(32)  # repeatable
    shown = {
        "base64": base64.b64encode(secret),
        "base64url": base64.urlsafe_b64encode(secret),
        "hex": secret.hex().encode(),
        "base64 in hex": base64.b64encode(secret).hex().encode(),
        "utf-16": base64.b64encode(secret).decode().encode("utf-16le"),
    }[form]
    assert rules(HARMLESS + shown + bytes(64))


def test_no_plant_can_be_explained(site: Site) -> None:
    for plant in plants(site.keys):
        if plant.name in {
            "aws key id",
            "github token",
            "password in a url",
            "aws secret",
            "rsa d, python int",
        }:
            continue  # short text, or made of zeros and small numbers in part: see the next test
        assert rules(bytes(64) + plant.data + bytes(64)), plant.name


def test_twenty_thousand_random_secrets_are_all_refused() -> None:
    source = random.Random(7)  # the same secrets each time
    assert all(rules(bytes(64) + source.randbytes(32) + bytes(64)) for _ in range(20_000))


def test_what_the_rarest_secrets_look_like_is_refused() -> None:
    text = b"V5MkB,og/lib"  # a secret with text, zeros or a path in it
    for secret in (
        b"\xfe\xd5\x9a\xec\x1e2@" + text + b"\x80\x889\x1f\x9eP\x9b\x115\xc5.\xccm",
        b"\x13\xber\xdc<Y\xed\xa1\xf6Z\x00\x85\xaf\x8a\x85\x00\x00\xa4\x81\x80\x9fj7j<\x80\x1d\x85\xa5_\xf9\x1c",
        b"\x06E\xa8\x9f\x00\x00\x00\xcf\x87\xe3\x8a\xda5\xaf\x8a\xe9\x08\x5b\x82\xb7\xef\x00\x36\x09g\xa1\xb5E\x0b\x95>\xc1",
    ):
        assert rules(bytes(64) + secret + bytes(64))


def test_a_covered_name_is_explained() -> None:
    assert rules(bytes(64) + b"/usr/lib/a.so\x00" + b"?" * 90 + b"\x00/usr/lib/b.so\x00" + bytes(64)) == set()


def test_a_secret_over_a_block_boundary_is_seen() -> None:
    descriptor = os.memfd_create("x")
    try:
        os.write(descriptor, bytes(verifier.BLOCK - 16) + os.urandom(32) + bytes(100))
        verdict = check(descriptor, [])
    finally:
        os.close(descriptor)
    assert verdict.findings
    assert verdict.size == verifier.BLOCK + 116


def test_own_keys_are_refused_by_their_fingerprints(tmp_path: Path, site: Site) -> None:
    path, _ = site.write_knowledge(tmp_path)
    marks = verifier.read_marks([path])
    secret = site.keys.rsa.private_numbers().p.to_bytes(128, "little")
    for shown in (secret, secret[::-1], base64.b64encode(secret[::-1]), secret[::-1].hex().encode()):
        verdict = Verdict()
        explain(bytes(100) + shown + bytes(100), 0, marks, verdict)
        assert any(rule.startswith("own-key") for _, rule in verdict.findings)


def test_it_shares_no_code_with_the_first_detector() -> None:
    tree = ast.parse(Path(verifier.__file__).read_text(encoding="utf-8"))
    imported = {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    } | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any("sealwright" in name for name in imported)
    assert not any(name.split(".")[0] in {"numpy", "hyperscan", "cryptography"} for name in imported)


def test_the_self_test_passes_here(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier.require_sight()
    monkeypatch.setattr(verifier, "explain", lambda *_args: None)
    with pytest.raises(SystemExit):
        verifier.require_sight()
