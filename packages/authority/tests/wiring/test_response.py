"""A running site: from a forged token that is reported to a revoked key."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest

from authority_support.answers import acted, strict_realms, until
from sealwright.cli.main import main
from sealwright.drills.sandbox import Sandbox
from sealwright.ledger.model import EventLeaf, parse_leaf

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("response")]


def test_the_rule_that_may_act_has_revoked_the_key_after_a_preview(
    site: Sandbox, admin: httpx.Client, attack: dict[str, Any]
) -> None:
    [done] = acted(admin)
    assert done["decision"]["subject"] == attack["kid"]
    assert done["preview"]["live_tokens"] >= 1
    key = site.stores.keys.get(attack["kid"])
    assert key is not None
    assert key.state == "revoked"


def test_the_rule_that_may_only_suggest_has_suggested(
    site: Sandbox, admin: httpx.Client, attack: dict[str, Any]
) -> None:
    assert attack
    told = admin.get("/admin/responses").json()["responses"]
    [suggested] = [one for one in told if one["decision"]["action"] == "require_strict"]
    assert (suggested["outcome"], suggested["decision"]["subject"]) == ("suggested", "enterprise")
    path = f"/admin/responses/{suggested['id']}/apply"
    assert admin.post(path, json={"dry": True}).json()["done"] is False
    assert strict_realms(site) == []
    assert admin.post(path, json={"dry": False}).json()["done"] is True
    until(lambda: strict_realms(site) == ["enterprise"])
    assert admin.post(path, json={"dry": False}).json()["error"] == "already_done"
    relax = "/admin/realms/enterprise/relax"
    assert admin.post(relax, json={"dry": True}).json()["done"] is False
    assert strict_realms(site) == ["enterprise"]
    assert admin.post(relax, json={"dry": False}).json()["done"] is True
    until(lambda: strict_realms(site) == [] or None)


def test_a_dry_run_refuses_what_there_is_not(site: Sandbox, admin: httpx.Client) -> None:
    for action in ("revoke_key", "disable_client", "require_strict", "end_family"):
        body = {"action": action, "subject": "nosuch", "reason": "drill"}
        dry, done = (admin.post("/admin/act", json=body | {"dry": dry}) for dry in (True, False))
        assert dry.status_code >= 400, action
        assert dry.json() == done.json(), action
    for command in ("keys rotate --realm x", "respond send x --out x", "respond playbook storm-0558 --key x"):
        assert main([*command.split(), "--state", str(site.state)]) == 2, command


def test_the_audit_entry_of_the_act_has_a_leaf_in_the_ledger(
    site: Sandbox, admin: httpx.Client, attack: dict[str, Any]
) -> None:
    entries = admin.get("/admin/audit", params={"limit": 1_000}).json()["entries"]
    [entry] = [one for one in entries if one["actor"] == "rule:revoke-stolen-key"]
    assert (entry["action"], entry["subject"]) == ("revoke_key", attack["kid"])

    def stated() -> bool:
        leaves = [
            parse_leaf(stored.leaf)
            for log in site.stores.ledger.logs()
            for stored in site.stores.ledger.entries(log.log_id, 0, log.size)
        ]
        return any(
            isinstance(leaf, EventLeaf) and leaf.members.get("digest") == entry["digest"] for leaf in leaves
        )

    until(stated)


def test_the_incident_has_the_alarm_and_the_responses_in_its_timeline(
    admin: httpx.Client, attack: dict[str, Any]
) -> None:
    incidents = admin.get("/admin/incidents").json()["incidents"]
    [incident] = [one for one in incidents if one["about"] == f"key {attack['kid']}"]
    shown = admin.get(f"/admin/incidents/{incident['id']}").json()
    assert {entry["what"] for entry in shown["timeline"]} == {"alarm", "response"}
    assert shown["timeline"][0]["code"] == "never_issued"
    assert admin.get("/admin/incidents/none").status_code == 404


def test_figures_count_alarms_and_incidents(admin: httpx.Client, attack: dict[str, Any]) -> None:
    assert attack

    def counted() -> bool:
        page = admin.get("/metrics").text
        return (
            'sealwright_alarms_total{code="never_issued",severity="critical"} 1.0' in page
            and 'sealwright_incidents_total{severity="critical"} 1.0' in page
            and 'sealwright_incidents_open{severity="critical"} 1.0' in page
        )

    until(counted)


def test_the_alarm_is_in_the_file_as_an_event(site: Sandbox, attack: dict[str, Any]) -> None:
    def events() -> list[Any]:
        try:
            with open(site.config.alarms.file, encoding="utf-8") as file:  # noqa: PTH123 - a name from a config
                return [json.loads(line) for line in file]
        except FileNotFoundError:
            return []

    told = until(events)
    assert {event["class_uid"] for event in told} == {2004}
    assert attack["digest"] in msgspec.json.encode(told).decode()
