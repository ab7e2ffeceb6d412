"""Exactly those touched, everything in reach, the two kept apart, and no tenant sees another's rows."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("ibis", reason="THE EXTRA `detect` IS ABSENT: install sealwright[detect]")

from sealwright.detection.catalogue.world import ACTIVE_KEY, DAY, MAIL, NOW, World, digest_of
from sealwright.detection.engine import DuckEngine, write_segment
from sealwright.errors import Refused
from sealwright.response.affected import Question, Scope, of_tenant
from sealwright.response.report import as_csv, as_html, as_json
from sealwright.response.scope import scope

Asked = Callable[[World, Question], Scope]
KEY = Question(kid=ACTIVE_KEY, since=NOW - DAY, until=NOW + 1)


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckEngine]:
    opened = DuckEngine(Path("no lake yet"))
    yield opened
    opened.close()


@pytest.fixture
def asked(tmp_path: Path, engine: DuckEngine) -> Asked:
    def ask(world: World, question: Question) -> Scope:
        for table, rows in world.finish().rows.items():
            if rows:
                write_segment(tmp_path, table, "1", rows)
        engine.lake = tmp_path
        return scope(engine.tables(), question)

    return ask


def forged_use(world: World, name: str, subject: str, **changes: object) -> None:
    token = world.forge(digest=digest_of(name), sub_digest=digest_of(subject), tenant=None)
    world.observe(token, **changes)


def test_forged_uses_are_touched_and_genuine_ones_are_only_in_reach(asked: Asked) -> None:
    world = World()
    world.observe(world.issue(sub_digest=digest_of("bob"), tenant="tenant-b"))
    forged_use(world, "f1", "alice")
    forged_use(world, "f2", "alice", verdict="key_of_other_realm")
    found = asked(world, KEY)
    assert [(row.tenant, row.sub_digest, row.tokens) for row in found.touched] == [
        ("tenant-a", digest_of("alice"), 2)
    ]
    assert (found.touched[0].accepted, found.touched[0].refused) == (1, 1)
    assert [(row.tenant, row.subjects, row.touched_subjects) for row in found.reach] == [
        ("tenant-a", 1, 1),
        ("tenant-b", 1, 0),
    ]
    assert found.realm == "enterprise"
    assert [(hour.tenant, hour.uses) for hour in found.hours] == [("tenant-a", 2)]


def test_a_name_that_two_tenants_have_is_put_before_neither(asked: Asked) -> None:
    """A service account is called alike everywhere: whose it was, only the relying party can say."""
    world = World()
    for tenant in ("tenant-b", "tenant-c"):
        world.issue(sub_digest=digest_of("admin"), tenant=tenant)
    forged_use(world, "f1", "admin")
    assert [row.tenant for row in asked(world, KEY).touched] == ["(unknown)"]
    world = World()
    for tenant in ("tenant-b", "tenant-c"):
        world.issue(sub_digest=digest_of("admin"), tenant=tenant)
    token = world.forge(digest=digest_of("f2"), sub_digest=digest_of("admin"), tenant="tenant-c")
    world.observe(token)
    found = asked(world, KEY)
    assert [row.tenant for row in found.touched] == ["tenant-c"]
    assert "unplaced" not in {gap.kind for gap in found.missing}


def test_uses_that_no_tenant_can_be_told_of_are_named_as_missing(asked: Asked) -> None:
    world = World()
    forged_use(world, "f1", "stranger")
    found = asked(world, KEY)
    [gap] = [gap for gap in found.missing if gap.kind == "unplaced"]
    assert gap.count == 1
    assert [gap.count for gap in of_tenant(found, "tenant-a").missing if gap.kind == "unplaced"] == [None]


def test_reach_is_by_tenant_where_only_relying_parties_know_the_tenants(asked: Asked) -> None:
    """A live ledger has no tenants. One token of a service is used for two; one is used by nobody."""
    world = World()
    service = world.issue(tenant=None, sub_digest=digest_of("service"))
    for tenant, who in (("tenant-b", "bob"), ("tenant-b", "bill"), ("tenant-c", "carol")):
        world.observe(service | {"tenant": tenant, "sub_digest": digest_of(who)})
    world.observe(service | {"tenant": "tenant-b", "sub_digest": digest_of("bob")})
    world.issue(tenant=None, sub_digest=digest_of("silent"))
    found = asked(world, KEY)
    reach = {row.tenant: (row.subjects, row.tokens) for row in found.reach}
    assert reach == {"tenant-a": (1, 2), "tenant-b": (2, 1), "tenant-c": (1, 1), "(unknown)": (1, 1)}
    assert [gap.count for gap in found.missing if gap.kind == "unplaced_reach"] == [1]


def test_with_a_time_alone_every_key_is_asked_about(asked: Asked) -> None:
    world = World()
    world.key("key-2", realm="consumer")
    world.issue(kid="key-2", realm="consumer", sub_digest=digest_of("carol"), tenant="tenant-c")
    forged_use(world, "f1", "alice")
    world.observe(world.forge(kid="key-2", digest=digest_of("other-key"), tenant="tenant-c"))
    found = asked(world, Question(since=NOW - DAY, until=NOW + 1))
    assert {row.kid for row in found.touched} == {ACTIVE_KEY, "key-2"}
    assert found.realm == "consumer enterprise"
    assert {row.tenant for row in found.reach} == {"tenant-a", "tenant-c"}
    assert "every key" in as_html(found)


def test_an_unverified_refusal_is_no_proof_and_is_named_as_missing(asked: Asked) -> None:
    world = World()
    forged_use(world, "junk", "alice", verdict="bad_signature", signature="unverified")
    found = asked(world, KEY)
    assert found.touched == []
    assert [gap.kind for gap in found.missing if gap.about == "refusals"] == ["unverified"]


def test_time_and_key_bound_the_answer(asked: Asked) -> None:
    world = World()
    forged_use(world, "early", "alice", at=NOW - 2 * DAY)
    world.key("key-2")
    world.observe(world.forge(kid="key-2", digest=digest_of("other-key")))
    assert asked(world, KEY).touched == []


def test_a_client_can_be_asked_about(asked: Asked) -> None:
    world = World()
    world.observe(world.issue(client_id="evil-app", sub_digest=digest_of("bob"), tenant="tenant-b"))
    world.observe(world.forge(client_id="evil-app", digest=digest_of("evil")))
    found = asked(world, Question(client_id="evil-app", since=NOW - DAY, until=NOW + 1))
    assert [row.client_id for row in found.touched] == ["evil-app"]
    assert [row.tenant for row in found.reach] == ["tenant-b"]


def test_silent_reporters_and_unreported_audiences_are_named(asked: Asked) -> None:
    world = World()
    world.key("key-wide", audiences=[MAIL, "https://files.enterprise.example"])
    world.add(
        "validators", reporter="files", instance="f-1", heard_at=NOW, manifest_version=1, manifest_age=1.0
    )
    found = asked(world, Question(kid="key-wide", since=NOW - DAY, until=NOW + 1))
    kinds = {(gap.kind, gap.about) for gap in found.missing}
    assert ("silent_reporter", "files") in kinds
    assert ("unreported_audience", "https://files.enterprise.example") in kinds
    assert ("unreported_audience", MAIL) not in kinds


@pytest.mark.parametrize(
    "question",
    [
        Question(since=1, until=1),
        Question(kid="a", client_id="b", since=0, until=1),
        Question(kid="key-of-nobody", since=0, until=1),
        Question(client_id="client-of-nobody", since=0, until=1),
    ],
)
def test_a_question_without_a_sense_is_refused(question: Question, asked: Asked) -> None:
    with pytest.raises(Refused):
        asked(World(), question)


def two_tenants(asked: Asked) -> Scope:
    world = World()
    world.issue(sub_digest=digest_of("bob"), tenant="tenant-b")
    forged_use(world, "f1", "alice")
    forged_use(world, "f2", "bob", resource="=cmd|' /C calc'!A0", reporter="<script>alert(1)</script>")
    return asked(world, KEY)


def test_no_tenant_sees_another_tenants_rows(asked: Asked) -> None:
    own = of_tenant(two_tenants(asked), "tenant-a")
    assert {row.tenant for row in own.touched} | {row.tenant for row in own.reach} == {"tenant-a"}
    assert [(hour.tenant, hour.uses) for hour in own.hours] == [("tenant-a", 1)]
    for told in (as_json(own), as_csv(own), as_html(own)):
        assert "tenant-b" not in told
        assert digest_of("bob")[:16] not in told
    assert "<rect " in as_html(own), "its own time line"


def test_the_json_report_says_it_all(asked: Asked) -> None:
    told = json.loads(as_json(two_tenants(asked)))
    assert len(told["touched"]) == 2
    assert told["question"]["kid"] == ACTIVE_KEY


def test_the_csv_report_keeps_the_sets_apart_and_runs_no_formula(asked: Asked) -> None:
    found = two_tenants(asked)
    lines = list(csv.DictReader(io.StringIO(as_csv(found))))
    kinds = [line["set"] for line in lines]
    assert kinds == ["touched"] * 2 + ["could_have_been"] * 2 + ["missing_evidence"] * len(found.missing)
    assert not any(value.startswith("=") for line in lines for value in line.values())
    assert {line["tenant"] for line in lines if line["set"] == "could_have_been"} == {"tenant-a", "tenant-b"}
    named = {line["evidence"] for line in lines if line["set"] == "missing_evidence"}
    assert named == {f"{gap.kind}: {gap.about}" for gap in found.missing}


def test_the_html_report_is_escaped_whole_and_has_a_picture(asked: Asked) -> None:
    page = as_html(two_tenants(asked))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<rect ") == 1
    assert "Missing evidence" in page
    HTMLParser().feed(page)


def test_the_time_line_is_true_to_scale_and_does_not_grow_with_the_time(asked: Asked) -> None:
    world = World()
    for number, ago in enumerate((20 * DAY, 20 * DAY - 60, 5 * DAY, 60)):
        forged_use(world, f"f{number}", "alice", at=NOW - ago)
    page = as_html(asked(world, Question(kid=ACTIVE_KEY, since=NOW - 30 * DAY, until=NOW)))
    lefts = [float(left) for left in re.findall(r'<rect x="([0-9.]+)"', page)]
    assert len(lefts) == 3
    assert lefts[0] == 0
    assert abs(lefts[1] / 960 - 0.75) < 0.02, "fifteen of twenty days"
    assert 940 < lefts[2] < 960
