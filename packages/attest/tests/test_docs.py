"""What the pages say is what the program does: codes, policy example, binding vectors."""

import re
from pathlib import Path

import pytest

from sealwright_attest import BUILT_IN, Code, extra_data, parse_policy, report_data
from sealwright_attest.errors import FIXES
from sealwright_attest.policy.document import Policy

DOCS = Path(__file__).resolve().parents[3] / "docs"


def page(name: str) -> str:
    path = DOCS / name
    if not path.is_file():
        pytest.skip(f"the pages are not beside this package: {path}")
    return path.read_text()


def test_every_code_is_documented_with_its_fix_and_no_other() -> None:
    text = page("formats/attestation-result.md").split("## Reason codes")[1].split("## EAR")[0]
    listed = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", text, re.MULTILINE))
    assert listed == {code.value: FIXES[code] for code in Code}


def example() -> Policy:
    text = page("formats/attestation-policy.md").split("```toml\n")[1].split("```")[0]
    head, azure = text.split("[azure]")
    azure, nitro = azure.split("[nitro]")
    nitro, tpm = nitro.split("[tpm2]")
    filled = [
        part.replace("<hex>", "ab" * size) for part, size in ((head, 48), (azure, 32), (nitro, 48), (tpm, 32))
    ]
    return parse_policy(
        "[tpm2]".join(["[nitro]".join(["[azure]".join(filled[:2]), filled[2]]), filled[3]]).encode()
    )


def test_policy_example_is_a_policy() -> None:
    policy = example()
    assert policy.title() == "signers@7"
    assert policy.snp.tcb["Genoa"].grace is not None
    assert policy.tdx.registers == {"rtmr1": ("ab" * 48,)}
    assert policy.release is not None


def test_policy_example_names_every_rule() -> None:
    text = page("formats/attestation-policy.md")
    table = BUILT_IN.as_table()
    for section in ("snp", "tdx", "azure", "nitro", "tpm"):
        for rule in table[section]:
            assert re.search(rf"^\[?{rule}\b|\.{rule}\b", text, re.MULTILINE), f"{section}.{rule}"


def test_binding_vectors_are_what_the_library_computes() -> None:
    text = "".join(page("formats/attestation-evidence.md").split())
    nonce, key = bytes(range(32)), b"spki"
    for value in (
        report_data(nonce, key),
        extra_data(nonce, key),
        report_data(nonce, key, bytes(32)),
        extra_data(nonce, key, bytes(32)),
    ):
        assert value.hex() in text
