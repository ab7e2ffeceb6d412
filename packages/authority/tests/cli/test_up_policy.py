"""`sealwright up` follows its admission policy: agreed to by two, revoked by one, and told in the ledger."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import sealwright_attest as attest
from authority_support.programs import Programs, until
from sealwright_attest.recheck import recheck
from sealwright_validate import Expect, Trust, Validator

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(300)]
LAB = 'schema = 1\nname = "lab"\nrevision = "{}"\nplatforms = ["simulated"]\nlevel = "simulated"\n'
ANY = LAB.format(1) + "[measurements]\nany = true\n"
OTHER = LAB.format(2) + f'[[measurements.allow]]\ndigest = "{"11" * 48}"\n'
IMAGE = "00" * 48  # what simulated evidence measures


@pytest.fixture
def site() -> Iterator[Programs]:
    with tempfile.TemporaryDirectory(prefix="sw-") as name:
        folder = Path(name)
        (folder / "policy.toml").write_text(ANY)
        asked = (
            f'policy = "{folder}/policy.toml"\nchanges = "approved"\ncollector = "simulated"\ngrace = "2s"\n'
        )
        site = Programs(folder, f'[admission]\nevidence = "simulated"\n{asked}[manifest]\nlife = "10s"\n')
        shown = site.start()
        assert site.process, shown
        assert site.process.poll() is None, shown
        yield site
        site.stop()


def command(site: Programs, *words: str) -> str:
    ran = site.run(*words)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def in_force(site: Programs) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command(site, "admission", "policy", "--json"))
    return found


def replace_policy(site: Programs, text: str) -> None:
    file = site.file.with_name("next.toml")
    file.write_text(text)
    asked = command(site, "admission", "propose", str(file), "--operator", "alice", "--apply")
    request = next(word for word in asked.split() if word.startswith("change")).rstrip(":")
    alone = site.run("admission", "change", str(file), request, "--apply")
    assert "1 more operator must agree" in alone.stderr, alone.stderr
    command(site, "respond", "consent", request, "--operator", "bob")
    command(site, "admission", "change", str(file), request, "--apply")


def audited(site: Programs) -> dict[str, bool]:
    """Actions of the audit trail, and whether each is in the ledger."""
    from sealwright.store.admin import SqlAuditStore
    from sealwright.store.db import open_state

    entries = SqlAuditStore(open_state(site.state)).page(0, 1_000)
    return {entry.action: entry.stated for entry in entries}


def require_recheckable(site: Programs, token: str) -> None:
    """A relying party appraises again, by the link in the manifest, what the key of its token rests on."""
    base = f"http://127.0.0.1:{site.port}"
    root = httpx.get(f"{base}/root", timeout=60).content
    pinned = site.file.with_name("root.json")
    pinned.write_bytes(root)
    validator = Validator(trust=Trust.sealwright(base, root=pinned, push=False))
    expect = Expect(audience="https://mail.enterprise.example", realm="enterprise", evidence="simulated")
    with contextlib.closing(validator):
        found = validator.validate(token, expect)
    assert found.evidence_link is not None
    record = httpx.get(found.evidence_link, timeout=60).content
    level = attest.EvidenceLevel.SIMULATED
    assert recheck(record, root=root, level=level, incarnation=found.key.incarnation).signed
    with pytest.raises(attest.Refused, match="another incarnation"):
        recheck(record, root=root, level=level, incarnation="a" * 16)


def test_a_signer_that_the_next_policy_refuses_loses_its_keys_and_the_ledger_says_why(site: Programs) -> None:
    first = until(site.signer, "a signer")
    token = until(lambda: site.token("enterprise"), "a token")
    require_recheckable(site, token)
    (site.file.with_name("policy.toml")).write_text(OTHER)
    replace_policy(site, OTHER)
    until(lambda: site.signer() == {}, "the end of the signer that is refused now")
    until(lambda: "admission_refused" in audited(site), "a newcomer that is refused too")
    said = (site.state / "log" / "up.jsonl").read_text()
    assert "measurement-unknown" in said
    replace_policy(site, ANY)
    again = until(site.signer, "another incarnation")
    assert again["log_id"] != first["log_id"]
    # Only a signer that serves can enter leaves, and the next one will be the last.
    wanted = {"change_admission_policy", "renewal_refused", "signer_ended", "admission_refused", "approve"}
    until(lambda: {a for a, stated in audited(site).items() if stated} >= wanted, "leaves of all that")
    command(site, "admission", "revoke", IMAGE, "--reason", "CVE-1", "--operator", "eve", "--apply")
    until(lambda: site.signer() == {}, "the end of the signer on a revoked image")
    until(lambda: "CVE-1" in (site.state / "log" / "up.jsonl").read_text(), "the reason")
    until(lambda: "signer_refused" in command(site, "alarms", "--json"), "the alarm")
    told = in_force(site)
    assert ([one["reason"] for one in told["revoked"]], told["by"][-4:]) == (["CVE-1"], "/bob")
