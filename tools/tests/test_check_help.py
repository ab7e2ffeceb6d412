import subprocess

import pytest

from check_help import (
    RefusedCommandError,
    our_programs,
    renewed,
    require_help_command,
    run_help,
    stale_blocks,
)
from repo import ROOT

TRUE_BLOCK = "# Title\n\n<!-- help: sealwright --help -->\n```\nUsage: sealwright\n```\n\nMore.\n"


def printed(command: str) -> str:
    assert command == "sealwright --help"
    return "Usage: sealwright\n"


def fails(command: str) -> str:
    raise subprocess.CalledProcessError(2, command)


def test_a_block_that_equals_the_output_passes() -> None:
    assert not list(stale_blocks("README.md", TRUE_BLOCK, printed))


def test_a_block_that_differs_is_found_at_its_line_and_renewed() -> None:
    stale = TRUE_BLOCK.replace("Usage: sealwright", "Usage: seal")
    assert [finding.line for finding in stale_blocks("README.md", stale, printed)] == [3]
    assert renewed(stale, printed) == TRUE_BLOCK


def test_an_empty_block_is_filled() -> None:
    empty = TRUE_BLOCK.replace("Usage: sealwright\n", "")
    assert renewed(empty, printed) == TRUE_BLOCK


def test_a_mark_without_a_block_is_found() -> None:
    loose = "<!-- help: sealwright --help -->\n\n```\nUsage: sealwright\n```\n"
    assert len(list(stale_blocks("README.md", loose, printed))) == 1


def test_a_program_that_fails_is_found() -> None:
    assert len(list(stale_blocks("README.md", TRUE_BLOCK, fails))) == 1


@pytest.mark.parametrize(
    "command", ["rm -rf x", "sealwright up", "sealwright up; rm x", "make up", "--help", "sh -c x --help"]
)
def test_a_document_cannot_make_the_check_run_anything_but_help(command: str) -> None:
    with pytest.raises(RefusedCommandError):
        require_help_command(command, {"sealwright"})


def test_our_programs_are_those_that_the_distributions_declare() -> None:
    assert {"sealwright", "sealwright-signer", "sealwright-validate"} <= our_programs(ROOT)


def test_make_help_lists_every_target_with_one_line() -> None:
    targets = {
        line.split(":")[0]
        for line in (ROOT / "Makefile").read_text().splitlines()
        if line[:1].isalpha() and ":" in line and "=" not in line.split("#")[0]
    }
    assert {
        "env",
        "env-dev",
        "up",
        "test",
        "test-slow",
        "check",
        "drills",
        "bench",
        "lock",
        "clean",
    } <= targets
    listed = [line.split()[1] for line in run_help("make help").splitlines()]
    assert sorted(listed) == sorted(targets)
