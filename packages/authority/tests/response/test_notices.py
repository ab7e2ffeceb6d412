"""Each tenant is told its own, the proven apart from the rest; a correction replaces what was wrong."""

from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from authority_support.postgres import POSTGRESQL, database
from sealwright.admin.model import Action, Approval, ChangeRequest, Consent
from sealwright.admin.rules import approval_of
from sealwright.errors import Refused
from sealwright.response.affected import Missing, Question, Reach, Scope, Touched
from sealwright.response.notices import (
    Delivery,
    Notice,
    SignedNotice,
    approval_details,
    changed,
    composed,
    publish,
    signed_notice,
    text_of,
)
from sealwright.store.db import make_tables, open_state
from sealwright.store.notices import SqlNoticeStore

NOW = 1_800_000_000.0


class Signer:
    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()

    def sign_notice(self, signing_input: bytes) -> bytes:
        return self.key.sign(signing_input)

    def notice_kid(self) -> str:
        return "notice-key"


@pytest.fixture(params=["sqlite", POSTGRESQL])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlNoticeStore]:
    if request.param == "postgresql":
        with database() as engine:
            make_tables(engine)
            yield SqlNoticeStore(engine)
        return
    engine = open_state(tmp_path)
    yield SqlNoticeStore(engine)
    engine.dispose()


def touched(tenant: str, subject: str, accepted: int) -> Touched:
    return Touched(
        tenant=tenant,
        sub_digest=subject,
        client_id="app",
        audience="mail",
        resource="mailbox",
        reporter="mail",
        tokens=1,
        accepted=accepted,
        refused=1,
        first_at=NOW - 60,
        last_at=NOW,
    )


def whole() -> Scope:
    def reach(tenant: str, subjects: int) -> Reach:
        return Reach(
            tenant=tenant, subjects=subjects, tokens=9, touched_subjects=0, first_at=NOW - 99, last_at=NOW
        )

    return Scope(
        question=Question(kid="key-1", since=NOW - 3_600, until=NOW),
        realm="enterprise",
        audiences=["mail"],
        touched=[
            touched("tenant-a", "alice", 2),
            touched("tenant-a", "arthur", 0),
            touched("tenant-b", "bob", 1),
        ],
        reach=[reach("tenant-a", 10), reach("tenant-b", 777), reach("tenant-c", 5)],
        missing=[Missing("silent_reporter", "files", "reported nothing")],
        hours=[],
    )


def approved(*notices: Notice) -> Approval:
    request = ChangeRequest(
        id="change-1",
        action=Action.SEND_NOTICES,
        subject="incident-1",
        details=approval_details(list(notices)),
        requested_by="operator:a",
        requested_at=NOW,
    )
    return approval_of(request, [Consent("change-1", "operator:b", NOW)], NOW)


def test_a_tenant_is_told_its_own_figures_and_nobody_elses() -> None:
    notice = composed(whole(), "incident-1", "tenant-a", NOW)
    assert (notice.subjects_touched, notice.uses_accepted, notice.uses_refused) == (2, 2, 2)
    assert notice.subjects_in_reach == 10
    text = text_of(notice)
    assert "tenant-b" not in text
    assert "777" not in text
    assert "How the key was taken is not known." in text
    assert "files: reported nothing." in text


def test_a_tenant_that_was_only_in_reach_is_told_so_and_not_that_it_was_touched() -> None:
    text = text_of(composed(whole(), "incident-1", "tenant-c", NOW))
    assert "No use of a forged token was reported." in text
    assert "5 subjects of yours could have been touched: in reach, with nothing proven." in text
    assert "Treat the data" not in text


def test_a_tenant_that_was_not_in_reach_gets_no_notice() -> None:
    with pytest.raises(Refused, match="not_affected"):
        composed(whole(), "incident-1", "tenant-z", NOW)


def test_a_notice_is_signed_so_that_others_can_check_it() -> None:
    signer, notice = Signer(), composed(whole(), "incident-1", "tenant-a", NOW)
    signed = signed_notice(notice, signer)
    assert jwt.get_unverified_header(signed)["typ"] == "sealwright-notice+jwt"
    claims = jwt.decode(signed, signer.key.public_key(), algorithms=["EdDSA"])
    assert claims["id"] == notice.id
    assert claims["text"] == text_of(notice)


def test_a_correction_supersedes_and_says_what_was_wrong(store: SqlNoticeStore) -> None:
    first = composed(whole(), "incident-1", "tenant-a", NOW)
    store.add([SignedNotice(first, "signed")])
    with pytest.raises(Refused, match="correction_unexplained"):
        composed(whole(), "incident-1", "tenant-a", NOW + 9, before=first)
    second = composed(
        whole(), "incident-1", "tenant-a", NOW + 9, store.latest("incident-1", "tenant-a"), "More found."
    )
    store.add([SignedNotice(second, "signed")])
    assert (second.version, second.supersedes) == (2, first.id)
    assert f"replaces notice {first.id}: More found." in text_of(second)
    assert store.latest("incident-1", "tenant-a") == second
    assert store.latest("incident-1", "tenant-b") is None


def test_what_was_sent_is_never_changed(store: SqlNoticeStore) -> None:
    notice = composed(whole(), "incident-1", "tenant-a", NOW)
    store.add([SignedNotice(notice, "signed")])
    other = composed(whole(), "incident-1", "tenant-b", NOW)
    with pytest.raises(Refused, match="notice_exists"):
        store.add([SignedNotice(other, "signed"), SignedNotice(notice, "otherwise")])
    assert store.notice(notice.id) == SignedNotice(notice, "signed")
    assert store.notice(other.id) is None, "all or none"
    assert store.of_incident("incident-1") == [SignedNotice(notice, "signed")]
    assert store.of_incident("incident-2") == []


def test_a_notice_that_is_not_the_next_version_is_not_sent(store: SqlNoticeStore) -> None:
    first = composed(whole(), "incident-1", "tenant-a", NOW)
    publish([first], "incident-1", store, Signer(), approved(first), NOW)
    with pytest.raises(Refused, match="notice_exists"):
        publish([first], "incident-1", store, Signer(), approved(first), NOW)
    third = replace(composed(whole(), "incident-1", "tenant-a", NOW, first, "More."), supersedes="another")
    with pytest.raises(Refused, match="notice_outdated"):
        publish([third], "incident-1", store, Signer(), approved(third), NOW)
    assert store.of_incident("incident-1")[0].notice == first


def test_who_was_told_wrongly_is_told_that_nothing_was_touched() -> None:
    first = composed(whole(), "incident-1", "tenant-b", NOW)
    nothing = replace(whole(), touched=[], reach=[])
    second = composed(nothing, "incident-1", "tenant-b", NOW, first, "The report was wrong.")
    assert changed(second, first)
    assert "Nothing of yours was touched or in reach" in text_of(second)
    assert not changed(replace(second, version=3, issued_at=NOW + 9), second)


def test_no_single_operator_sends_notices_and_an_approval_is_for_exactly_these(store: SqlNoticeStore) -> None:
    one, other = (composed(whole(), "incident-1", tenant, NOW) for tenant in ("tenant-a", "tenant-b"))
    changed = replace(one, known=["Nothing happened."])
    for wanted in ([one, other], [changed]):
        with pytest.raises(Refused, match="approval_mismatch"):
            publish(wanted, "incident-1", store, Signer(), approved(one), NOW)
    assert store.latest("incident-1", "tenant-a") is None
    assert len(publish([one, other], "incident-1", store, Signer(), approved(one, other), NOW)) == 2
    assert store.latest("incident-1", "tenant-b") == other


def test_every_attempt_to_deliver_is_kept_in_order(store: SqlNoticeStore) -> None:
    attempts = [
        Delivery(notice="n", tenant="tenant-a", channel="mail", at=NOW + number, outcome=outcome)
        for number, outcome in enumerate(("bounced", "accepted"))
    ]
    for attempt in attempts:
        store.log(attempt)
    assert store.deliveries("n") == attempts
    assert store.deliveries("other") == []


def test_a_name_in_another_spelling_is_the_same_operator() -> None:
    one = composed(whole(), "incident-1", "tenant-a", NOW)
    request = ChangeRequest(
        id="change-1",
        action=Action.SEND_NOTICES,
        subject="incident-1",
        details=approval_details([one]),
        requested_by="operator:root/ann",
        requested_at=NOW,
    )
    with pytest.raises(Refused, match="consents_missing"):
        approval_of(request, [Consent("change-1", "operator:root/Ann", NOW)], NOW)
