"""The page on how a token is validated says what the code does."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from sealwright_validate.errors import PUBLIC_SENTENCES, Reason

PACKAGE = Path(__file__).resolve().parents[1]
PAGE = PACKAGE.parents[1] / "docs" / "validate.md"


@pytest.fixture
def make_page() -> ModuleType:
    found = spec_from_file_location("make_page", PACKAGE / "make_page.py")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_page_is_generated_from_the_code(make_page: ModuleType) -> None:
    if not PAGE.is_file():
        pytest.skip(f"PAGE ABSENT: {PAGE} is not beside this installation")
    page = PAGE.read_text(encoding="utf-8")
    assert make_page.generated(page) == page, "run python packages/validate/make_page.py"


def test_every_step_says_what_it_checks_in_one_sentence(make_page: ModuleType) -> None:
    for line in (
        *make_page.numbered(make_page.STEPS).splitlines(),
        *make_page.numbered(make_page.PROOF_STEPS).splitlines(),
    ):
        assert line.endswith(".")
        assert len(line) > 30


def test_every_reason_has_a_sentence_that_quotes_nothing() -> None:
    assert set(PUBLIC_SENTENCES) == set(Reason)
    for sentence in PUBLIC_SENTENCES.values():
        assert sentence.endswith(".")
        assert not set('"\\{}%') & set(sentence)
