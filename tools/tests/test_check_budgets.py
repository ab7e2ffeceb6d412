import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from check_budgets import FILE_LINES, SIGNER_LINES, SIGNER_SOURCE, code_lines, over_budget, signer_lines
from repo import ROOT

MakeTree = Callable[[dict[str, str]], Path]

LINE = "x = 1\n"


def test_a_file_at_the_limit_passes_and_one_line_more_fails(tree: MakeTree) -> None:
    root = tree({"a.py": LINE * FILE_LINES, "b.py": LINE * (FILE_LINES + 1)})
    assert [finding.path for finding in over_budget(root)] == ["b.py"]


def test_blank_lines_and_comments_count(tree: MakeTree) -> None:
    root = tree({"a.py": "\n" * FILE_LINES + "# one more\n"})
    assert [finding.path for finding in over_budget(root)] == ["a.py"]


def test_the_signer_as_a_whole_has_a_budget(tree: MakeTree) -> None:
    parts = SIGNER_LINES // FILE_LINES + 1
    full = {f"{SIGNER_SOURCE}s/m{part}.py": LINE * (SIGNER_LINES // parts) for part in range(parts)}
    assert not list(over_budget(tree(full)))
    more = full | {f"{SIGNER_SOURCE}s/more.py": LINE * parts}
    assert [finding.path for finding in over_budget(tree(more))] == [SIGNER_SOURCE]


def test_only_code_counts_against_the_signers_budget() -> None:
    prose = '"""Says what it is for.\n\nAnd more.\n"""\n\n# why\n\n\ndef one():\n    """One."""\n    # how\n'
    assert code_lines(prose + "    return 1\n") == 2
    assert code_lines('x = """a\nb\nc"""\n') == 3, "a string that is used is code"
    assert code_lines("x = (\n    1,\n    # two\n    3,\n)\n") == 4


def test_the_signers_client_is_outside_its_budget_and_its_namesakes_are_not(tree: MakeTree) -> None:
    root = tree(
        {
            f"{SIGNER_SOURCE}sealwright_signer/client.py": LINE * 2,
            f"{SIGNER_SOURCE}sealwright_signer/custody/client.py": LINE * 3,
        }
    )
    assert signer_lines(root) == 3


def test_the_signers_tests_are_outside_its_budget(tree: MakeTree) -> None:
    parts = {f"packages/signer/tests/t{part}.py": LINE * FILE_LINES for part in range(5)}
    assert not list(over_budget(tree(parts)))


def test_the_program_fails_loudly_on_a_violation(tree: MakeTree) -> None:
    root = tree({"big.py": LINE * (FILE_LINES + 1)})
    for name in ("repo.py", "check_budgets.py"):
        (root / "tools").mkdir(exist_ok=True)
        (root / "tools" / name).write_text((ROOT / "tools" / name).read_text())
    ran = subprocess.run(
        [sys.executable, "tools/check_budgets.py"], cwd=root, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "big.py: 401 lines" in ran.stdout
