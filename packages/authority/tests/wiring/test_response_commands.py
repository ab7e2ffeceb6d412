"""A running site: what an incident commander sees and does from the command line."""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from authority_support.answers import acted, report_forged, strict_realms, until
from sealwright.cli.main import main
from sealwright.detection.model import Alarm
from sealwright.drills.sandbox import REPORTER, Sandbox
from sealwright.wiring.search import search
from sealwright_validate import Expect, Report, Trust, Validator

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("response")]


@pytest.mark.slow
def test_history_is_searched_and_finds_nothing_among_genuine_tokens(
    site: Sandbox, attack: dict[str, Any]
) -> None:
    pytest.importorskip("ibis", reason="EXTRA ABSENT: sealwright[detect]")
    token = site.token()
    until(lambda: not site.stores.observations.unjudged())  # what is not judged yet is exported next time
    told = search(site.config, site.clock)
    assert told.exported["issued"] >= 1
    assert told.exported["observed"] == 1
    genuine = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
    alarms = [stored.alarm for stored in site.stores.alarms.page(0, 1_000)]
    assert genuine not in {alarm.digest for alarm in alarms}
    assert attack["digest"] in {alarm.digest for alarm in alarms}
    assert search(site.config, site.clock).exported.get("observed") is None


@pytest.mark.slow
def test_a_planted_token_that_is_used_raises_an_alarm_on_arrival(
    site: Sandbox,
    admin: httpx.Client,
    attack: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert attack
    token = site.token("enterprise")
    digest = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
    asked = ["canaries", "plant", "token", digest, "--note", "a", "--state", str(site.state)]
    assert main(asked) == 0
    assert admin.get("/admin/canaries").json()["canaries"] == [], "dry"
    monkeypatch.setattr("sys.stdin", io.StringIO(token + "\n"))
    assert main(["canaries", "plant", "token", "-", "--apply", "--state", str(site.state)]) == 0
    for words in (asked, [*asked, "--apply"]):
        assert main(words) == 2, "planted once, and said dry as well"
    asked[3] = digest[:-1]
    for words in (asked, [*asked, "--apply"]):
        assert main(words) == 2, "a digest that no token has"
    trust = Trust.sealwright(site.url, root=site.root)
    validator = Validator(trust=trust, report=Report(REPORTER, site.secret, name="mail"))
    try:
        validator.start()
        validator.validate(token, Expect(audience=site.audience("enterprise"), realm="enterprise"))
    finally:
        validator.close()

    def found() -> list[Alarm]:
        alarms = [stored.alarm for stored in site.stores.alarms.page(0, 1_000)]
        return [alarm for alarm in alarms if alarm.code == "canary_token"]

    until(lambda: bool(found()))  # nobody has searched history
    assert [(alarm.digest, alarm.reporter) for alarm in found()] == [(digest, REPORTER)]
    capsys.readouterr()
    assert main(["canaries", "list", "--state", str(site.state)]) == 0
    assert digest in capsys.readouterr().out


@pytest.mark.slow
def test_the_playbook_is_dry_until_told_otherwise(
    site: Sandbox, admin: httpx.Client, attack: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("duckdb", reason="EXTRA ABSENT: sealwright[detect]")
    before = changes(admin)
    asked = ["respond", "playbook", "storm-0558", "--state", str(site.state), "--key", attack["kid"]]
    assert main(asked) == 0
    told = capsys.readouterr().out
    assert "contoso: 1 touched" in told, "what would be told to whom"
    for number, name in enumerate(STEPS, 1):
        assert f"\n{number}. {name}:" in told
    assert "dry: nothing is changed" in told
    assert "touched: 1 subjects" in told
    assert changes(admin) == before
    assert main([*asked, "--step", "contain", "--apply"]) == 0
    assert strict_realms(site) == ["enterprise"]
    assert main([*asked, "--step", "recover", "--apply"]) == 0
    assert strict_realms(site) == []
    assert main([*asked, "--step", "dance"]) == 2


def incident_about(admin: httpx.Client, kid: str) -> str:
    incidents = admin.get("/admin/incidents").json()["incidents"]
    [found] = [one["id"] for one in incidents if one["about"] == f"key {kid}"]
    return str(found)


def changes(admin: httpx.Client) -> list[Any]:
    """What was done, as the audit trail has it; looks and what the authority says of itself are in it too."""
    entries = admin.get("/admin/audit", params={"limit": 1_000}).json()["entries"]
    return [entry for entry in entries if entry["action"] not in {"admin.read", "policy_in_force"}]


STEPS = ("detect", "contain", "scope", "revoke", "verify", "notify", "recover")


class Commander:
    """Runs commands against the site; keeps status and text of each."""

    def __init__(self, site: Sandbox, folder: Path) -> None:
        self._state = ["--state", str(site.state)]
        self.folder = folder

    def __call__(self, *words: str) -> tuple[int, str]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            status = main(["respond", *words, *self._state])
        return status, out.getvalue()

    def send(self, request: str, *go: str) -> tuple[int, str]:
        return self("send", request, "--out", str(self.folder), *go)

    def notify(self, kid: str, incident: str, *more: str) -> tuple[int, str]:
        return self("notify", "--key", kid, "--incident", incident, "--out", str(self.folder), *more)


@dataclass
class Sent:
    """Notices that were sent, and how each step was answered."""

    command: Commander
    incident: str
    alone: list[tuple[int, str]]
    dry: tuple[int, str]
    done: tuple[int, str]
    again: list[tuple[int, str]]


@pytest.fixture(scope="module")
def sent(
    site: Sandbox, admin: httpx.Client, attack: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Sent:
    pytest.importorskip("duckdb", reason="EXTRA ABSENT: sealwright[detect]")
    command = Commander(site, tmp_path_factory.mktemp("notices"))
    incident = incident_about(admin, attack["kid"])
    status, told = command.notify(attack["kid"], incident, "--operator", "ann", "--apply")
    assert status == 0, told
    request = told[told.index("change") :].partition(":")[0]
    assert [command("consent", request, "--operator", who)[0] for who in ("ann", "Ann")] == [2, 2]
    alone = [command.send(request), command.send(request, "--apply")]
    assert command("consent", request, "--operator", "bob")[0] == 0
    dry, done = command.send(request), command.send(request, "--apply")
    again = [command.send(request), command.send(request, "--apply")]
    return Sent(command, incident, alone, dry, done, again)


@pytest.mark.slow
def test_notices_need_two_operators_and_an_approval_is_used_once(sent: Sent) -> None:
    assert [status for status, _ in sent.alone] == [2, 2]
    assert all("operator must agree" in told for _, told in sent.alone)
    assert (sent.dry[0], sent.done[0]) == (0, 0)
    assert [status for status, _ in sent.again] == [2, 2]
    assert all("handed out before" in told for _, told in sent.again)
    assert sent.command.send("nosuch")[0] == 2


@pytest.mark.slow
def test_notices_can_be_checked_by_who_gets_them_and_their_way_is_kept(
    site: Sandbox, admin: httpx.Client, sent: Sent, tmp_path: Path
) -> None:
    keys = jwt.PyJWKSet.from_dict(site.call("/notices/jwks.json").body)
    every = admin.get(f"/admin/notices?incident={sent.incident}").json()["notices"]
    [first] = [one for one in every if one["version"] == 1 and one["notice"]["subjects_touched"]]
    file = sent.command.folder / f"{first['id']}.jws"
    claims = jwt.decode(file.read_text().strip(), keys.keys[0], algorithms=["EdDSA"])
    assert (claims["subjects_touched"], claims["incident"]) == (1, sent.incident)
    assert [(row["tenant"], row["resource"]) for row in claims["touched"]] == [
        ("contoso", "mailbox/minister")
    ]
    assert hashlib.sha256(b"minister").hexdigest() in claims["text"]
    assert {one["tenant"] for one in every} == {"contoso"}, "nobody is told in place of a tenant unknown"
    way = ["--channel", "mail", "--outcome", "bounced"]
    assert sent.command("delivered", first["id"], *way)[0] == 0
    assert sent.command("delivered", "nosuch", *way)[0] == 2
    deliveries = admin.get(f"/admin/notices/{first['id']}/deliveries").json()["deliveries"]
    assert [(one["channel"], one["outcome"]) for one in deliveries] == [
        ("file", "written"),
        ("mail", "bounced"),
    ]
    status, shown = sent.command("notices", sent.incident, "--out", str(tmp_path))
    assert status == 0
    assert "file: written, mail: bounced" in shown
    assert (tmp_path / file.name).read_text() == file.read_text(), "what was signed can be had again"


@pytest.mark.slow
def test_a_correction_supersedes_what_a_tenant_was_told(
    site: Sandbox, admin: httpx.Client, receiver: httpx.Client, attack: dict[str, Any], sent: Sent
) -> None:
    asked = attack["kid"], sent.incident
    report_forged(site, receiver, attack["kid"])
    until(lambda: not site.stores.observations.unjudged())
    status, told = sent.command.notify(*asked)
    assert status == 2
    assert "--correction" in told
    why = ["--correction", "One more was found.", "--operator", "ann"]
    status, told = sent.command.notify(*asked, *why, "--apply")
    assert status == 0, told
    request = told[told.index("change") :].partition(":")[0]
    assert sent.command("consent", request, "--operator", "bob")[0] == 0
    assert sent.command.send(request, "--apply")[0] == 0
    notices = admin.get(f"/admin/notices?incident={sent.incident}").json()["notices"]
    [second] = [one for one in notices if one["version"] == 2]
    [before] = [one for one in notices if one["version"] == 1 and one["tenant"] == second["tenant"]]
    assert second["notice"]["supersedes"] == before["id"]
    assert f"replaces notice {before['id']}: One more was found." in second["text"]
    assert second["notice"]["uses_accepted"] == before["notice"]["uses_accepted"] + 1


@pytest.mark.parametrize("go", [[], ["--apply"]])
def test_what_cannot_be_done_is_refused_dry_and_done_alike(
    site: Sandbox,
    admin: httpx.Client,
    attack: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    go: list[str],
) -> None:
    done = acted(admin)[0]
    incident = incident_about(admin, attack["kid"])
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    key, inside = ["--key", attack["kid"]], ["--out", str(tmp_path / "file" / "out")]
    for command, reason in (
        (["relax", "nosuch"], "no such realm"),
        (["relax", "consumer"], "No response has raised"),
        (["apply", done["id"]], "carried out already"),
        (["apply", "nosuch"], "no such response"),
        (["act", "dance", "consumer"], "cannot be read"),
        (["act", "end_family", "nobody"], "No token of this family"),
        (["send", "nosuch", "--out", str(tmp_path)], "there are no drafts"),
        (["notify", *key, "--incident", "nosuch"], "no such incident"),
        (["notify", *key, "--incident", incident, "--operator", "a b"], "--operator"),
        (["notify", *key, "--incident", incident, "--operator", "ann", *inside], "cannot write"),
    ):
        before = changes(admin)
        assert main(["respond", *command, *go, "--state", str(site.state)]) == 2, command
        assert reason in capsys.readouterr().err, command
        if command[0] != "act":  # an attempt is in the audit trail before it is made
            assert changes(admin) == before, command


@pytest.mark.parametrize("asked", [["incidents", "list"], ["respond", "list"]])
def test_what_happened_is_shown_on_the_command_line(
    site: Sandbox, attack: dict[str, Any], capsys: pytest.CaptureFixture[str], asked: list[str]
) -> None:
    assert main([*asked, "--state", str(site.state)]) == 0
    assert attack["kid"] in capsys.readouterr().out.replace("\n", "")
    assert main([*asked, "--json", "--state", str(site.state)]) == 0
    assert attack["kid"] in capsys.readouterr().out
