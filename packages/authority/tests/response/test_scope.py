"""Exactly those touched, everything in reach, the two kept apart, and no tenant sees another's rows."""

import csv
import io
import json
import random
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
    assert sum(uses for _, uses in found.hours) == 2


def test_exactly_the_forged_subjects_are_listed_among_many_genuine(
    tmp_path: Path, engine: DuckEngine
) -> None:
    """100,000 genuine uses and 250 forged ones on known subjects: those and no other."""
    world, chance = World(), random.Random(558)
    for number in range(100_000):
        who = f"user-{number % 5_000}"
        token = world.issue(
            sub_digest=digest_of(who), tenant=f"tenant-{number % 5_000 % 40}", iat=int(NOW - 3_000)
        )
        world.observe(token, at=NOW - chance.uniform(0, 2_900), reporter=f"rp-{number % 7}")
    victims = {f"user-{chance.randrange(5_000)}" for _ in range(250)}
    for victim in victims:
        forged_use(world, f"forged-{victim}", victim, at=NOW - chance.uniform(0, 2_900))
    for table, rows in world.finish().rows.items():
        if rows:
            write_segment(tmp_path, table, "1", rows)
    engine.lake = tmp_path
    found = scope(engine.tables(), KEY)
    assert {row.sub_digest for row in found.touched} == {digest_of(victim) for victim in victims}
    homes = {digest_of(f"user-{n}"): f"tenant-{n % 40}" for n in range(5_000)}
    assert all(row.tenant == homes[row.sub_digest or ""] for row in found.touched)


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
        Question(since=0, until=1),
        Question(kid="a", client_id="b", since=0, until=1),
        Question(kid="key-of-nobody", since=0, until=1),
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
    for told in (as_json(own), as_csv(own), as_html(own)):
        assert "tenant-b" not in told
        assert digest_of("bob")[:16] not in told


def test_the_json_report_says_it_all(asked: Asked) -> None:
    told = json.loads(as_json(two_tenants(asked)))
    assert len(told["touched"]) == 2
    assert told["question"]["kid"] == ACTIVE_KEY


def test_the_csv_report_keeps_the_two_sets_apart_and_runs_no_formula(asked: Asked) -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(two_tenants(asked)))))
    assert [line["set"] for line in lines] == ["touched"] * 2 + ["could_have_been"] * 2
    assert not any(value.startswith("=") for line in lines for value in line.values())
    assert {line["tenant"] for line in lines if line["set"] == "could_have_been"} == {"tenant-a", "tenant-b"}


def test_the_html_report_is_escaped_whole_and_has_a_picture(asked: Asked) -> None:
    page = as_html(two_tenants(asked))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<rect ") == 1
    assert "Missing evidence" in page
    HTMLParser().feed(page)
