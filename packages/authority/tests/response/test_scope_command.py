"""`sealwright respond scope` among 100,000 genuine uses lists the forged ones, to each tenant its own."""

import csv
import io
import json
import random
from pathlib import Path

import pytest

pytest.importorskip("ibis", reason="THE EXTRA `detect` IS ABSENT: install sealwright[detect]")

from sealwright.cli.main import main
from sealwright.config.durations import moment
from sealwright.detection.catalogue.world import ACTIVE_KEY, NOW, World, digest_of
from sealwright.detection.engine import write_segment

GENUINE, PEOPLE, TENANTS, FORGED = 100_000, 5_000, 40, 250
SPAN = 2_900
WHEN = ["--since", str(NOW - 3_600), "--until", str(NOW + 1)]
Victims = dict[str, int]
"""Digest of a subject to how many forged tokens were used for it."""


def home(person: int) -> str:
    return f"tenant-{person % TENANTS:02}"


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Victims]:
    """A lake: genuine uses of everybody, and forged ones for some, by the same apps at the same time."""
    world, chance = World(), random.Random(558)
    for number in range(GENUINE):
        person = number % PEOPLE
        subject = digest_of(f"user-{person}")
        token = world.issue(sub_digest=subject, tenant=home(person), iat=int(NOW - 3_000))
        world.observe(token, at=NOW - chance.uniform(0, SPAN), reporter=f"rp-{number % 7}")
    victims: Victims = {}
    for number in range(FORGED):
        subject = digest_of(f"user-{chance.randrange(PEOPLE)}")
        victims[subject] = victims.get(subject, 0) + 1
        token = world.forge(digest=digest_of(f"forged-{number}"), sub_digest=subject, tenant=None)
        verdict = chance.choice(["accepted", "key_of_other_realm"])
        world.observe(token, at=NOW - chance.uniform(0, SPAN), reporter=f"rp-{number % 7}", verdict=verdict)
    lake = tmp_path_factory.mktemp("lake")
    for table, rows in world.finish().rows.items():
        if rows:
            write_segment(lake, table, "1", rows)
    return lake, victims


def test_exactly_the_forged_uses_are_listed_as_touched(
    hidden: tuple[Path, Victims], capsys: pytest.CaptureFixture[str]
) -> None:
    lake, victims = hidden
    assert main(["respond", "scope", str(lake), "--key", ACTIVE_KEY, *WHEN]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    touched: Victims = {}
    for row in found["touched"]:
        touched[row["sub_digest"]] = touched.get(row["sub_digest"], 0) + row["tokens"]
    assert touched == victims
    homes = {digest_of(f"user-{person}"): home(person) for person in range(PEOPLE)}
    assert {row["sub_digest"]: row["tenant"] for row in found["touched"]} == {
        subject: homes[subject] for subject in victims
    }
    assert {row["kid"] for row in found["touched"]} == {ACTIVE_KEY}
    reach = {row["tenant"]: row for row in found["reach"]}
    for tenant in {home(person) for person in range(PEOPLE)} - {"tenant-a"}:
        own = [subject for subject in victims if homes[subject] == tenant]
        assert reach[tenant]["subjects"] == PEOPLE // TENANTS, "everybody could have been"
        assert reach[tenant]["touched_subjects"] == len(own), "and these were"
    assert [line for line in shown.err.splitlines() if "5/5" in line], "progress is told"


@pytest.mark.parametrize("form", ["csv", "html", "json"])
def test_a_tenant_gets_its_own_rows_in_every_form(
    hidden: tuple[Path, Victims], capsys: pytest.CaptureFixture[str], tmp_path: Path, form: str
) -> None:
    lake, victims = hidden
    out = tmp_path / "report"
    tenant = home(next(n for n in range(PEOPLE) if digest_of(f"user-{n}") in victims))
    asked = ["--key", ACTIVE_KEY, *WHEN, "--tenant", tenant, "--format", form, "--out", str(out)]
    assert main(["respond", "scope", str(lake), *asked]) == 0
    assert capsys.readouterr().out == ""
    told = out.read_text(encoding="utf-8")
    assert tenant in told
    others = {home(person) for person in range(PEOPLE)} - {tenant}
    assert not any(other in told for other in others)
    mine = {digest_of(f"user-{n}") for n in range(PEOPLE) if home(n) == tenant} & victims.keys()
    assert all(subject[:16] in told for subject in mine)
    assert not any(subject[:16] in told for subject in victims.keys() - mine)
    if form == "csv":
        lines = list(csv.DictReader(io.StringIO(told)))
        assert {line["sub_digest"] for line in lines if line["set"] == "touched"} == mine
        assert [line["tokens"] for line in lines if line["set"] == "could_have_been"] == [
            str(GENUINE // TENANTS)
        ]


@pytest.mark.parametrize(
    "asked",
    [
        [],
        ["--key", "key-of-nobody"],
        ["--client", "client-of-nobody"],
        ["--key", ACTIVE_KEY, "--tenant", "tenant-of-nobody"],
        ["--key", ACTIVE_KEY, "--client", "app"],
        ["--key", ACTIVE_KEY, "--since", "yesterday"],
        ["--key", ACTIVE_KEY, "--since", "7d", "--until", "8d"],
        ["--key", ACTIVE_KEY, "--out", "no/such/place"],
    ],
)
def test_a_question_that_cannot_be_answered_is_one_line_and_status_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: list[str]
) -> None:
    for table, rows in World().finish().rows.items():
        if rows:
            write_segment(tmp_path, table, "1", rows)
    assert main(["respond", "scope", str(tmp_path), *asked]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_lake_with_a_broken_file_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for table, rows in World().finish().rows.items():
        if rows:
            write_segment(tmp_path, table, "1", rows)
    (tmp_path / "observed" / "2.parquet").write_bytes(b"junk")
    assert main(["respond", "scope", str(tmp_path), "--key", ACTIVE_KEY]) == 2
    [said] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sealwright:")]
    assert "2.parquet" in said


def test_without_a_lake_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["respond", "scope", str(tmp_path / "none"), "--since", "7d"]) == 2
    assert main(["respond", "scope", "--since", "7d", "--state", str(tmp_path)]) == 2
    assert "no authority has run here" in capsys.readouterr().err


def test_times_are_read_as_people_write_them() -> None:
    assert moment("7d", NOW) == NOW - 7 * 86_400
    assert moment("1800000000.5", NOW) == 1_800_000_000.5
    assert moment("2026-11-22", NOW) == moment("2026-11-22T01:00+01:00", NOW) == 1_795_305_600
    for bad in ("", "soon", "2026-13-01", "-5", "1e9", "nan"):
        with pytest.raises(ValueError, match="is no time"):
            moment(bad, NOW)
