from __future__ import annotations

from sealwright.detection.adoption import AudienceSeen, adoption
from sealwright.detection.model import ValidatorFacts, ValidatorStatus

NOW = 1_800_000_000.0
AUDIENCES = {"enterprise": ("https://mail.example", "https://files.example")}


def status(
    instance: str, *, library: str = "sealwright-validate", heard: float = NOW - 10
) -> ValidatorStatus:
    facts = ValidatorFacts(name="mail", instance=instance, library=library, version="1", mode="async")
    return ValidatorStatus("rp", facts, heard)


def seen(audience: str, instance: str, tokens: int = 5) -> AudienceSeen:
    return AudienceSeen(audience, "rp", instance, tokens)


def test_an_audience_that_a_standard_validator_reports_for_is_covered() -> None:
    told = adoption(AUDIENCES, [status("a")], [seen("https://mail.example", "a")], 10, {}, since=0, now=NOW)
    assert [one.covered for one in told.audiences] == [True, False]
    assert (told.validated, told.share) == (5, 0.5)


def test_another_library_or_a_silent_validator_covers_nothing() -> None:
    others = [status("a", library="homegrown"), status("b", heard=NOW - 4_000)]
    reports = [seen("https://mail.example", "a"), seen("https://mail.example", "b")]
    told = adoption(AUDIENCES, others, reports, 10, {"enterprise": 3}, since=0, now=NOW)
    assert not any(one.covered for one in told.audiences)
    assert len(told.silent) == 1
    assert told.plain_jwks_fetches == {"enterprise": 3}


def test_without_tokens_there_is_no_share() -> None:
    assert adoption(AUDIENCES, [], [], 0, {}, since=0, now=NOW).share is None


def test_those_who_validate_otherwise_are_shown_beside() -> None:
    others = [status("a"), status("b", library="homegrown"), status("introspection", library="introspection")]
    reports = [seen("https://mail.example", name, tokens) for name, tokens in (("a", 5), ("b", 2))]
    reports.append(seen("https://files.example", "introspection", 3))
    told = adoption(AUDIENCES, others, reports, 10, {}, since=0, now=NOW)
    mail, files = told.audiences
    assert (mail.covered, mail.tokens, mail.other_tokens) == (True, 5, 2)
    assert (files.covered, files.tokens, files.other_tokens) == (False, 0, 3)
    assert files.others == ("mail (introspection 1, async, introspection)",)
    assert told.validated == 5
