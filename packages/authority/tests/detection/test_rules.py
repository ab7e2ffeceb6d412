"""What is an alarm, and what is not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwright.detection.model import (
    Code,
    Judgement,
    KeyFacts,
    KeyStatus,
    LeafFacts,
    LedgerSight,
    Observation,
    Place,
    Seen,
    Severity,
)
from sealwright.detection.rules import REPORTER_SKEW, REVOCATION_GRACE, alarm_id, alarm_of, judge, place_of

NOW = 1_800_000_000.0
LOG = "abcdefghijklmnop"
PLACE = Place(LOG, 7)
JTI = f"{LOG}.7.abcdefghijkl"
KID = "K" * 43
DIGEST = "d" * 64
MAIL = "https://mail.enterprise.example"
ISSUER = "https://issuer.example/enterprise"
KEY = KeyFacts(
    kid=KID,
    realm="enterprise",
    issuer=ISSUER,
    audiences=(MAIL,),
    use_from=NOW - 1_000,
    use_until=NOW + 1_000,
    verify_until=NOW + 4_600,
    max_lifetime=3_600,
    status=KeyStatus.ACTIVE,
)
GENUINE = LedgerSight(NOW, {LOG: 8}, {PLACE: LeafFacts(1, DIGEST, KID)})
NOTHING = LedgerSight(NOW, {}, {})


def seen(**changes: Any) -> Seen:
    fields: dict[str, Any] = {
        "id": "0" * 32,
        "at": NOW - 1,
        "verdict": "accepted",
        "signature": "valid",
        "digest": DIGEST,
        "kid": KID,
        "jti": JTI,
        "iss": ISSUER,
        "aud": (MAIL,),
        "iat": int(NOW) - 60,
        "exp": int(NOW) + 540,
        "client_id": "mail-client",
    }
    return Seen("mail", "i-1", NOW, Observation(**(fields | changes)))


def key(**changes: Any) -> KeyFacts:
    fields: dict[str, Any] = {name: getattr(KEY, name) for name in KEY.__struct_fields__}
    return KeyFacts(**(fields | changes))


def codes(judgement: Judgement) -> list[Code]:
    return [finding.code for finding in judgement.findings]


def test_a_genuine_accepted_token_raises_nothing() -> None:
    assert judge(seen(), GENUINE, KEY) == Judgement()


@pytest.mark.parametrize(
    ("sight", "reason"),
    [
        (NOTHING, "no_such_log"),
        (LedgerSight(NOW, {LOG: 7}, {}), "beyond_end"),
    ],
)
def test_a_place_that_the_ledger_does_not_have_was_never_issued(sight: LedgerSight, reason: str) -> None:
    judgement = judge(seen(), sight, KEY)
    assert codes(judgement) == [Code.NEVER_ISSUED]
    assert judgement.findings[0].facts["reason"] == reason
    assert judgement.findings[0].severity is Severity.CRITICAL


@pytest.mark.parametrize(
    "jti",
    [
        None,
        "",
        "x",
        f"{LOG}.07.abcdefghijkl",
        f"{LOG}.-7.abcdefghijkl",
        f"{LOG}.7.abcdefghijkl\n",
        f"{LOG}.7",
        f"{LOG}.\u0667.abcdefghijkl",
        f"{LOG.upper()}.7.abcdefghijkl",
        f"{LOG}.{'9' * 19}.abcdefghijkl",
    ],
)
def test_a_jti_that_names_no_place_was_never_issued(jti: str | None) -> None:
    assert place_of(jti) is None
    judgement = judge(seen(jti=jti), GENUINE, KEY)
    assert codes(judgement) == [Code.NEVER_ISSUED]
    assert judgement.findings[0].facts["reason"] == "no_place"


def test_another_token_at_its_place_is_a_digest_mismatch_that_names_both() -> None:
    judgement = judge(seen(digest="e" * 64), GENUINE, KEY)
    assert codes(judgement) == [Code.DIGEST_MISMATCH]
    assert judgement.findings[0].facts["issued_digest"] == DIGEST


def test_a_key_event_at_its_place_is_a_digest_mismatch() -> None:
    sight = LedgerSight(NOW, {LOG: 8}, {PLACE: LeafFacts(2, DIGEST, KID)})
    assert codes(judge(seen(), sight, KEY)) == [Code.DIGEST_MISMATCH]


def test_another_key_than_the_ledger_has_is_a_kid_mismatch() -> None:
    assert codes(judge(seen(kid="O" * 43), GENUINE, key(kid="O" * 43))) == [Code.KID_MISMATCH]


def test_an_unknown_key_is_its_own_alarm_beside_never_issued() -> None:
    assert codes(judge(seen(kid=None), NOTHING, None)) == [Code.NEVER_ISSUED, Code.UNKNOWN_KEY]


@pytest.mark.parametrize(
    "changes", [{"iss": "https://issuer.example/consumer"}, {"aud": (MAIL, "https://other.example")}]
)
def test_a_token_outside_its_keys_realm_is_named_so(changes: dict[str, Any]) -> None:
    judgement = judge(seen(**changes), NOTHING, KEY)
    assert codes(judgement) == [Code.NEVER_ISSUED, Code.KEY_OF_OTHER_REALM]
    assert judgement.findings[1].facts["key_realm"] == "enterprise"


@pytest.mark.parametrize(
    ("changes", "outside"),
    [
        ({"iat": int(NOW) - 1_001, "exp": int(NOW)}, True),
        ({"iat": int(NOW) - 1_000, "exp": int(NOW)}, False),
        ({"iat": int(NOW) + 999, "exp": int(NOW) + 1_500}, False),
        ({"iat": int(NOW) + 1_000, "exp": int(NOW) + 1_500}, True),
        ({"iat": int(NOW) + 999, "exp": int(NOW) + 4_600}, True),  # also too long
    ],
)
def test_a_key_outside_its_window_or_lifetime_is_named_so(changes: dict[str, Any], outside: bool) -> None:
    found = codes(judge(seen(**changes), GENUINE, KEY))
    assert bool(found) is outside


def test_a_token_that_outlives_its_key_is_outside_the_window() -> None:
    short = key(verify_until=NOW + 500)
    assert codes(judge(seen(), GENUINE, short)) == [Code.KEY_OUTSIDE_WINDOW]


def test_a_longer_life_than_the_realm_allows_is_named_so() -> None:
    found = codes(judge(seen(iat=int(NOW) - 60, exp=int(NOW) + 3_541), GENUINE, KEY))
    assert found == [Code.LIFETIME_BEYOND_POLICY]
    assert codes(judge(seen(iat=int(NOW) - 60, exp=int(NOW) + 3_540), GENUINE, KEY)) == []


def test_use_of_a_retired_key_is_named_so_beyond_the_skew_of_clocks() -> None:
    retired = key(status=KeyStatus.RETIRED, retired_at=NOW - 1 - REPORTER_SKEW)
    assert codes(judge(seen(), GENUINE, retired)) == []
    assert codes(judge(seen(at=NOW - 0.5), GENUINE, retired)) == [Code.KEY_RETIRED]


def test_a_late_report_of_a_use_before_the_retirement_is_no_alarm() -> None:
    retired = key(status=KeyStatus.RETIRED, retired_at=NOW - 3_600)
    assert codes(judge(seen(at=NOW - 3_700), GENUINE, retired)) == []


def test_a_reporters_fast_clock_does_not_move_a_use_past_a_revocation() -> None:
    revoked = key(status=KeyStatus.REVOKED, revoked_at=NOW - 2)
    assert codes(judge(seen(at=NOW + 500), GENUINE, revoked)) == []


def test_a_revoked_key_that_a_validator_still_accepts_is_high_not_critical() -> None:
    revoked = key(status=KeyStatus.REVOKED, revoked_at=NOW - 1.5 - REVOCATION_GRACE)
    judgement = judge(seen(), GENUINE, revoked)
    assert [(finding.code, finding.severity) for finding in judgement.findings] == [
        (Code.KEY_REVOKED, Severity.HIGH)
    ]


def test_a_token_from_before_a_bounded_revocation_is_spared() -> None:
    revoked = key(status=KeyStatus.REVOKED, revoked_at=NOW - 50, issued_before=NOW - 55)
    assert codes(judge(seen(iat=int(NOW) - 56), GENUINE, revoked)) == []
    assert codes(judge(seen(iat=int(NOW) - 55), GENUINE, revoked)) == [Code.KEY_REVOKED]


@pytest.mark.parametrize("status", [KeyStatus.STAGED, KeyStatus.ACTIVE, KeyStatus.VERIFY_ONLY])
def test_a_genuine_token_that_was_refused_is_nobodys_alarm(status: KeyStatus) -> None:
    assert judge(seen(verdict="token_expired"), GENUINE, key(status=status)) == Judgement()


REVOKED = key(status=KeyStatus.REVOKED, revoked_at=NOW - 900)
RETIRED = key(status=KeyStatus.RETIRED, retired_at=NOW - 900)


@pytest.mark.parametrize(
    ("ended", "code", "severity"),
    [
        (REVOKED, Code.REVOKED_KEY_PRESENTED, Severity.MEDIUM),
        (RETIRED, Code.RETIRED_KEY_PRESENTED, Severity.LOW),
    ],
)
def test_a_genuine_token_refused_after_its_keys_end_is_one_alarm_for_each_key_and_reporter(
    ended: KeyFacts, code: Code, severity: Severity
) -> None:
    (finding,) = judge(seen(verdict="key_revoked"), GENUINE, ended).findings
    assert (finding.code, finding.severity) == (code, severity)
    other_place, other_digest = Place(LOG, 6), "e" * 64
    sight = LedgerSight(NOW, {LOG: 8}, {other_place: LeafFacts(1, other_digest, KID)})
    another = seen(verdict="key_revoked", digest=other_digest, jti=f"{LOG}.6.abcdefghijkl")
    (again,) = judge(another, sight, ended).findings
    assert alarm_of(seen(), finding, NOW).id == alarm_of(another, again, NOW + 5).id
    elsewhere = Seen("files", "i-2", NOW, another.observation)
    (apart,) = judge(elsewhere, sight, ended).findings
    assert alarm_of(elsewhere, apart, NOW).id != alarm_of(seen(), finding, NOW).id


def test_nobody_without_a_signature_of_ours_can_say_that_a_revoked_key_is_still_used() -> None:
    assert judge(seen(verdict="key_revoked", signature="unverified"), GENUINE, REVOKED) == Judgement()


def test_a_forgery_under_a_revoked_key_stays_critical() -> None:
    judgement = judge(seen(verdict="key_revoked"), NOTHING, REVOKED)
    assert codes(judgement) == [Code.NEVER_ISSUED, Code.KEY_REVOKED]
    assert {finding.severity for finding in judgement.findings} == {Severity.CRITICAL}


def test_a_refusal_while_a_revocation_spreads_or_of_a_spared_token_is_nobodys_alarm() -> None:
    just = key(status=KeyStatus.REVOKED, revoked_at=NOW - REVOCATION_GRACE)
    assert judge(seen(verdict="key_revoked"), GENUINE, just) == Judgement()
    bounded = key(status=KeyStatus.REVOKED, revoked_at=NOW - 50, issued_before=NOW - 55)
    assert judge(seen(verdict="token_expired", iat=int(NOW) - 56), GENUINE, bounded) == Judgement()


def test_a_refused_forgery_with_a_valid_signature_is_an_alarm_all_the_same() -> None:
    found = codes(judge(seen(verdict="key_of_other_realm", iss="https://other.example"), NOTHING, KEY))
    assert found == [Code.NEVER_ISSUED, Code.KEY_OF_OTHER_REALM]


def test_a_refusal_with_an_unverified_signature_is_never_an_alarm() -> None:
    assert judge(seen(verdict="signature_invalid", signature="unverified"), NOTHING, None) == Judgement()


def test_an_acceptance_with_an_unverified_signature_is_judged() -> None:
    assert Code.NEVER_ISSUED in codes(judge(seen(signature="unverified"), NOTHING, KEY))


@pytest.mark.parametrize("verdict", ["accepted", "expired"])
def test_what_the_ledger_cannot_show_yet_is_held_not_alarmed(verdict: str) -> None:
    behind = LedgerSight(NOW - 0.001, {LOG: 7}, {})
    assert judge(seen(verdict=verdict), behind, KEY) == Judgement((), held=True)


def test_a_token_dated_in_the_future_is_not_held_for_it() -> None:
    judgement = judge(seen(iat=int(NOW) + 60, exp=int(NOW) + 120), LedgerSight(NOW, {LOG: 7}, {}), KEY)
    assert codes(judgement) == [Code.NEVER_ISSUED]
    assert not judgement.held


def test_what_is_certain_without_the_ledger_is_told_while_it_is_held() -> None:
    behind = LedgerSight(NOW - 5, {}, {})
    judgement = judge(seen(iss="https://other.example"), behind, KEY)
    assert codes(judgement) == [Code.KEY_OF_OTHER_REALM]
    assert judgement.held


def test_a_mismatch_is_certain_however_far_behind_the_sight_is() -> None:
    behind = LedgerSight(NOW - 500, GENUINE.sizes, GENUINE.leaves)
    judgement = judge(seen(digest="e" * 64), behind, KEY)
    assert codes(judgement) == [Code.DIGEST_MISMATCH]
    assert not judgement.held


def test_facts_tell_what_was_seen_and_carry_no_token() -> None:
    facts = judge(seen(), NOTHING, KEY).findings[0].facts
    assert facts["iss"] == ISSUER
    assert facts["aud"] == [MAIL]
    assert facts["verdict"] == "accepted"
    assert not any("token" in name for name in facts)


def test_an_alarm_is_the_same_for_every_report_of_one_token_and_differs_by_code() -> None:
    one, other = seen(), Seen("another", "i-9", NOW + 9, seen(id="1" * 32).observation)
    finding = judge(one, NOTHING, KEY).findings[0]
    assert alarm_of(one, finding, NOW).id == alarm_of(other, finding, NOW + 9).id
    assert alarm_id(Code.NEVER_ISSUED, DIGEST) != alarm_id(Code.KEY_REVOKED, DIGEST)
    assert alarm_id(Code.NEVER_ISSUED, DIGEST) != alarm_id(Code.NEVER_ISSUED, "e" * 64)


@given(
    verdict=st.sampled_from(["accepted", "expired", "key_revoked"]),
    lag=st.floats(min_value=0, max_value=10_000),
    late=st.floats(min_value=0, max_value=100_000),
    iat=st.integers(min_value=int(NOW) - 1_000, max_value=int(NOW) + 999),
    life=st.integers(min_value=1, max_value=3_600),
)
def test_no_genuine_token_within_policy_ever_raises_an_alarm(
    verdict: str, lag: float, late: float, iat: int, life: int
) -> None:
    """However late its report is and however far behind the ledger's sight: it is found or held."""
    report = Seen(
        "mail", "i-1", NOW + late, seen(verdict=verdict, iat=iat, exp=iat + life, at=NOW).observation
    )
    assert judge(report, LedgerSight(NOW + late, GENUINE.sizes, GENUINE.leaves), KEY).findings == ()
    assert judge(report, LedgerSight(NOW + late - lag - 0.01, {LOG: 7}, {}), KEY) == Judgement((), held=True)


@given(
    digest=st.text("0123456789abcdef", min_size=64, max_size=64).filter(lambda text: text != DIGEST),
    index=st.integers(min_value=0, max_value=100),
    verdict=st.sampled_from(["accepted", "expired", "audience_mismatch"]),
    iat=st.integers(min_value=0, max_value=2**40),
)
def test_a_forgery_with_a_valid_signature_always_raises_a_critical_alarm(
    digest: str, index: int, verdict: str, iat: int
) -> None:
    forged = seen(digest=digest, jti=f"{LOG}.{index}.abcdefghijkl", verdict=verdict, iat=iat, exp=iat + 60)
    judgement = judge(forged, GENUINE, KEY)
    assert codes(judgement)[0] in {Code.NEVER_ISSUED, Code.DIGEST_MISMATCH}
    assert all(finding.severity is Severity.CRITICAL for finding in judgement.findings)
