"""The page on how a token is validated says what the code does."""

from pathlib import Path

import pytest

from sealwright_validate.errors import PUBLIC_SENTENCES, Reason
from sealwright_validate.explain import what_it_checks
from sealwright_validate.steps import STEPS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "validate.md"


@pytest.fixture
def page() -> str:
    if not PAGE.is_file():
        pytest.skip(f"PAGE ABSENT: {PAGE} is not beside this installation")
    return PAGE.read_text(encoding="utf-8")


def test_every_step_is_on_the_page_in_order_and_in_the_words_of_the_code(page: str) -> None:
    lines = [f"{number}. {what_it_checks(step)}" for number, step in enumerate(STEPS, 1)]
    assert "\n".join(lines) in page


def test_every_reason_is_on_the_page(page: str) -> None:
    assert [reason for reason in Reason if f"`{reason}`" not in page] == []


def test_every_reason_has_a_sentence_that_quotes_nothing() -> None:
    assert set(PUBLIC_SENTENCES) == set(Reason)
    for sentence in PUBLIC_SENTENCES.values():
        assert sentence.endswith(".")
        assert not set('"\\{}%') & set(sentence)
