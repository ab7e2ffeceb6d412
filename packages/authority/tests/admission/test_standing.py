"""The policy changes while signers serve: by its file, or by two operators; an image is revoked by one."""

import asyncio
import json
from collections.abc import Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any

import pytest

import sealwright_attest as attest
from sealwright.admin.memory import MemoryApprovalStore, MemoryAuditStore
from sealwright.admin.model import Consent
from sealwright.admin.service import Approvals, Auditor
from sealwright.admission.endorsements import Stored
from sealwright.admission.keeper import PolicyKeeper, Rules
from sealwright.admission.model import RevokedImage, StandingPolicy
from sealwright.admission.policy_desk import PolicyDesk
from sealwright.admission.standing import in_force, revoked_image
from sealwright.errors import Misconfigured, Refused, Unavailable
from sealwright.store.db import make_tables, open_engine
from sealwright.store.standing import SqlStandingStore

POLICY = """schema = 1
name = "lab"
revision = "1"
platforms = ["simulated"]
level = "simulated"
[measurements]
any = true
[[measurements.revoked]]
digest = "{old}"
reason = "an older hole"
since = 2026-05-01T00:00:00Z
grace_seconds = 60
""".format(old="22" * 48)
STRICTER = POLICY.replace('revision = "1"', 'revision = "2"').replace("any = true", "any = false")
IMAGE = "11" * 48


@dataclass
class Moment:
    at: float = 1_800_000_000.0

    def now(self) -> float:
        return self.at


@dataclass
class Files:
    text: str = POLICY
    changed: int = 0
    broken: bool = False

    def mark(self) -> Hashable:
        return self.changed

    def document(self) -> str:
        if self.broken:
            raise Misconfigured("unreadable_file", "gone")
        return self.text

    def beside(self) -> tuple[Stored, attest.Policy | None]:
        return Stored(), None

    def write(self, text: str) -> None:
        self.text, self.changed = text, self.changed + 1


@dataclass
class Site:
    """Supervisor's and authority's side over one state."""

    operators_decide: bool = False
    clock: Moment = field(default_factory=Moment)
    files: Files = field(default_factory=Files)
    trail: MemoryAuditStore = field(default_factory=MemoryAuditStore)
    used: list[Rules] = field(default_factory=list)

    def __post_init__(self) -> None:
        engine = open_engine("sqlite://")
        make_tables(engine)
        self.store, self.agreed = SqlStandingStore(engine), MemoryApprovalStore()
        self.auditor = Auditor(self.trail, self.clock)
        self.approvals = Approvals(self.agreed, self.auditor, self.clock)
        self.desk = PolicyDesk(self.store, self.approvals, self.auditor, self.clock, self.operators_decide)

        def note(action: str, subject: str, details: dict[str, Any]) -> None:
            self.auditor.write("system:supervisor", action, subject, details)

        deciding = self.agreed if self.operators_decide else None
        self.keeper = PolicyKeeper(self.files, self.store, deciding, note, self.clock, self.used.append)
        self.keeper.open()

    def look(self) -> str:
        """The hash that signers are appraised by after another look."""
        self.clock.at += 1
        self.keeper.look()
        return self.used[-1].in_force.policy.hash()

    def actions(self) -> list[str]:
        return [entry.action for entry in self.trail.page(0, 100)]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def hash_of(document: str) -> str:
    return attest.parse_policy(document.encode()).hash()


@pytest.fixture
def by_file() -> Site:
    return Site()


@pytest.fixture
def by_two() -> Site:
    return Site(operators_decide=True)


@pytest.mark.parametrize("form", ["toml", "json"])
def test_a_revoked_image_is_a_rule_of_the_policy_that_can_be_read_again(form: str) -> None:
    table = {"schema": 1, "name": "lab", "revision": "1", "platforms": ["sev-snp"]}
    document = POLICY if form == "toml" else json.dumps(table)
    made = in_force(document, [RevokedImage(IMAGE, "CVE-2026-0001", 1_790_000_000, 90, "alice")])
    before = attest.parse_policy(document.encode()).measurements.revoked
    *kept, rule = made.policy.measurements.revoked
    assert tuple(kept) == before
    assert rule.grace is not None
    assert (rule.digest, rule.reason, rule.grace.seconds) == (IMAGE, "CVE-2026-0001", 90)
    assert hash_of(made.document) == made.policy.hash() != hash_of(document)
    assert in_force(document, []).document == document


def test_a_document_that_cannot_hold_a_revocation_is_refused() -> None:
    bare = (
        '{"version":"1.0.0","anyOf":[{"authority":"https://a.example","allOf":[{"claim":"x","equals":"y"}]}]}'
    )
    with pytest.raises(Misconfigured, match="bare release document"):
        in_force(bare, [RevokedImage(IMAGE, "a hole", 0, 0, "alice")])


@pytest.mark.parametrize(
    ("digest", "reason", "grace"),
    [
        ("11" * 20, "a hole", 0),
        ("zz" * 48, "a hole", 0),
        (IMAGE, "", 0),
        (IMAGE, "a\nb", 0),
        (IMAGE, "a", -1),
    ],
)
def test_a_revocation_without_digest_reason_or_time_is_refused(digest: str, reason: str, grace: int) -> None:
    with pytest.raises(Refused, match="malformed_revocation"):
        revoked_image(digest, reason, grace, 0.0, "alice")


def test_a_changed_file_counts_and_is_written_down(by_file: Site) -> None:
    assert by_file.used[-1].in_force.policy.hash() == hash_of(POLICY)
    by_file.files.write(STRICTER)
    assert (by_file.look(), by_file.keeper.changes) == (hash_of(STRICTER), 1)
    assert by_file.actions() == ["admission_policy_in_force"] * 2
    latest = by_file.store.latest()
    assert latest is not None
    assert (latest.number, latest.document, latest.by) == (2, STRICTER, "file")
    assert (by_file.look(), by_file.keeper.changes) == (hash_of(STRICTER), 1)


@pytest.mark.parametrize("text", ["schema = 2", POLICY + "misspelt = 1\n", "{", ""])
def test_a_file_that_cannot_be_read_changes_nothing(by_file: Site, text: str) -> None:
    by_file.files.write(text)
    assert by_file.look() == hash_of(POLICY)
    by_file.files.broken = True
    by_file.files.changed += 1
    assert (by_file.look(), by_file.keeper.changes) == (hash_of(POLICY), 0)
    by_file.files.broken = False
    by_file.files.write(STRICTER)
    assert by_file.look() == hash_of(STRICTER)


def test_what_cannot_be_written_down_changes_nothing(by_file: Site) -> None:
    by_file.trail.down = True
    by_file.files.write(STRICTER)
    assert by_file.look() == hash_of(POLICY)
    by_file.trail.down = False
    assert by_file.look() == hash_of(STRICTER), "it is tried again"


def test_where_operators_decide_a_changed_file_waits(by_two: Site) -> None:
    by_two.files.write(STRICTER)
    assert by_two.look() == hash_of(POLICY)
    again = PolicyKeeper(
        by_two.files, by_two.store, by_two.agreed, lambda *_: None, by_two.clock, by_two.used.append
    )
    again.open()
    assert by_two.used[-1].in_force.policy.hash() == hash_of(POLICY), "nor does a restart put it in force"


def test_two_operators_put_a_policy_in_force(by_two: Site) -> None:
    request = run(by_two.desk.ask(STRICTER, "alice"))
    with pytest.raises(Refused, match="consents_missing"):
        run(by_two.desk.change(STRICTER, request))
    run(by_two.approvals.consent("alice", request))
    with pytest.raises(Refused, match="consents_missing"):
        run(by_two.desk.change(STRICTER, request))
    run(by_two.approvals.consent("bob", request))
    with pytest.raises(Refused, match="approval_mismatch"):
        run(by_two.desk.change(POLICY + "\n", request))


def test_an_agreed_policy_counts_and_names_who_agreed(by_two: Site) -> None:
    request = run(by_two.desk.ask(STRICTER, "alice"))
    run(by_two.approvals.consent("bob", request))
    assert run(by_two.desk.change(STRICTER, request)) == hash_of(STRICTER)
    assert (by_two.look(), by_two.keeper.changes) == (hash_of(STRICTER), 1)
    shown = run(by_two.desk.shown())
    assert (shown["policy"], shown["by"]) == (hash_of(STRICTER), "alice, bob")
    assert by_two.actions()[-1] == "change_admission_policy"
    with pytest.raises(Refused, match="already_granted"):
        run(by_two.desk.change(POLICY, request))


def test_an_agreement_is_for_the_policy_that_was_in_force_then(by_two: Site) -> None:
    first, other = run(by_two.desk.ask(STRICTER, "alice")), STRICTER + "# another\n"
    second = run(by_two.desk.ask(other, "alice"))
    for request in (first, second):
        run(by_two.approvals.consent("bob", request))
    run(by_two.desk.change(STRICTER, first))
    with pytest.raises(Refused, match="approval_mismatch"):
        run(by_two.desk.change(other, second))


def test_a_policy_that_nobody_agreed_to_is_not_followed(by_two: Site) -> None:
    now = int(by_two.clock.now())
    request = run(by_two.desk.ask(STRICTER, "mallory"))
    by_two.store.add(StandingPolicy(2, STRICTER, now, "mallory", "change-of-nobody"))
    assert by_two.look() == hash_of(POLICY)
    by_two.store.add(StandingPolicy(3, STRICTER, now, "mallory", request))
    assert by_two.look() == hash_of(POLICY), "one operator alone"
    by_two.agreed.add_consent(Consent(request, "bob", by_two.clock.now() + 60))
    assert by_two.look() == hash_of(POLICY), "agreed to afterwards"
    assert by_two.keeper.changes == 0
    by_two.keeper.open()
    assert by_two.used[-1].in_force.policy.hash() == hash_of(POLICY), "nor at the next start"


def test_where_the_file_decides_nobody_can_ask_for_another(by_file: Site) -> None:
    with pytest.raises(Refused, match="file_decides"):
        run(by_file.desk.ask(STRICTER, "alice"))


@pytest.mark.parametrize("document", ["", "{", "schema = 3", POLICY + "x = 1\n"])
def test_a_malformed_policy_cannot_be_asked_for(by_two: Site, document: str) -> None:
    with pytest.raises(Refused, match="bad_admission_policy"):
        run(by_two.desk.ask(document, "alice"))
    with pytest.raises(Refused, match="nothing_changes"):
        run(by_two.desk.ask(POLICY, "alice"))


@pytest.mark.parametrize("decide", [False, True])
def test_one_operator_revokes_an_image_for_good(decide: bool) -> None:
    site = Site(operators_decide=decide)
    told = run(site.desk.revoke(IMAGE.upper(), "CVE-2026-0001", 60, "alice"))
    assert (site.look(), site.keeper.changes) == (told, 1)
    assert [one.digest for one in site.used[-1].in_force.policy.measurements.revoked][-1] == IMAGE
    assert site.actions()[-1] == "revoke_image"
    with pytest.raises(Refused, match="already_revoked"):
        run(site.desk.revoke(IMAGE, "again", 0, "bob"))
    site.files.write(STRICTER)
    site.look()
    assert [one.digest for one in site.used[-1].in_force.policy.measurements.revoked][-1] == IMAGE


def test_a_revocation_that_cannot_be_written_down_is_not_made(by_file: Site) -> None:
    by_file.trail.down = True
    with pytest.raises(Unavailable):
        run(by_file.desk.revoke(IMAGE, "a hole", 0, "alice"))
    assert by_file.store.revoked() == []


def test_without_a_policy_there_is_nothing_to_change() -> None:
    engine = open_engine("sqlite://")
    make_tables(engine)
    auditor = Auditor(MemoryAuditStore(), Moment())
    approvals = Approvals(MemoryApprovalStore(), auditor, Moment())
    desk = PolicyDesk(SqlStandingStore(engine), approvals, auditor, Moment(), operators_decide=True)
    for work in (desk.shown(), desk.ask(POLICY, "alice"), desk.revoke(IMAGE, "a hole", 0, "alice")):
        with pytest.raises(Refused, match="no_policy"):
            run(work)
