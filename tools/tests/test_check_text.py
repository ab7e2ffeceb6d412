import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from check_text import EVERYWHERE, banned, findings, unhashed, unhashed_npm
from repo import ROOT

MakeTree = Callable[[dict[str, str]], Path]

# Each is put together here, so that this file does not break the rules that it tests.
BANNED = [
    "see /" + "work/main/x",
    '"/' + "tmp/" + 'bash_jobs.0/1"',
    "https://" + "pypi" + ".org/simple",
    "https://files." + "pythonhosted" + ".org/a.whl",
    "https://registry." + "npmjs" + ".org/a.tgz",
    "http://deb." + "debian" + ".org/debian",
    "https://proxy." + "golang" + ".org",
    "# TO" + "DO: later",
    "# FIX" + "ME",
    "# XX" + "X",
    "raise NotImplemented" + "Error",
    "x = y  # type: " + "ignore",
    '"""Placeholder ' + 'docstring."""',
    "-----BEGIN EC PRIVATE" + " KEY-----\nMHcCAQEEIHk5c0Vn\n",
]
ALLOWED = [
    "the work/life balance, /network/x, ./worker/x",
    "mkstemp /tmp/sealwright-XX" + "XXXX",
    "return NotImplemented",
    "x = y  # type: ignore[arg-type]",
    "-----BEGIN EC PRIVATE" + ' KEY-----" marks a key in PEM',
    "https://datatracker.ietf.org/doc/html/rfc9068",
]


@pytest.mark.parametrize("line", BANNED)
def test_a_banned_text_is_found_with_its_line(tree: MakeTree, line: str) -> None:
    found = list(findings(tree({"src/a.py": f"first = 1\n{line}\n"})))
    assert [(finding.path, finding.line) for finding in found] == [("src/a.py", 2)]


@pytest.mark.parametrize("line", ALLOWED)
def test_what_only_resembles_it_is_left_alone(tree: MakeTree, line: str) -> None:
    assert not list(findings(tree({"src/a.py": line})))


def test_files_that_git_ignores_and_binary_files_are_left_alone(tree: MakeTree) -> None:
    root = tree({".gitignore": "out/\n", "out/a.txt": BANNED[0]})
    (root / "image.bin").write_bytes(b"\0" + BANNED[0].encode())
    assert not list(findings(root))


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("a==1.0\n", "no hash for a"),
        ("a==1.0 \\\n    --hash=sha256:00\nb==2\n", "no hash for b"),
        ("a>=1.0 \\\n    --hash=sha256:00\n", "not an exact version"),
        ("--index-url https://example.org/simple\na==1 \\\n    --hash=sha256:00\n", "address in a lock file"),
        ("--find-links wheels\n", "address in a lock file"),
        ("a @ https://example.org/a.whl \\\n    --hash=sha256:00\n", "address in a lock file"),
    ],
)
def test_a_lock_file_without_hash_or_with_an_address_is_found(tree: MakeTree, entry: str, told: str) -> None:
    root = tree({"requirements/run.in": "a\n", "requirements/run.lock": entry})
    assert any(told in finding.message for finding in findings(root))


def test_our_lock_files_are_what_the_check_calls_good() -> None:
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    assert [lock.name for lock in locks] == ["dev.lock", "installer.lock", "run.lock"]
    for lock in locks:
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert not list(unhashed(lock.name, text))


def test_a_requirements_file_without_a_lock_file_is_found(tree: MakeTree) -> None:
    root = tree({"requirements/run.in": "a\n"})
    assert [finding.path for finding in findings(root)] == ["requirements/run.in"]


@pytest.mark.parametrize("fault", [{}, {"integrity": "sha512-x", "resolved": "https://example.org/a.tgz"}])
def test_an_npm_lock_file_without_hash_or_with_an_address_is_found(fault: dict[str, str]) -> None:
    good = {"": {"name": "bench"}, "node_modules/a": {"version": "1.0.0", "integrity": "sha512-x"}}
    assert not list(unhashed_npm("package-lock.json", json.dumps({"packages": good})))
    bad = good | {"node_modules/a": {"version": "1.0.0"} | fault}
    assert len(list(unhashed_npm("package-lock.json", json.dumps({"packages": bad})))) == 1


def test_a_decision_that_the_index_leaves_out_is_found(tree: MakeTree) -> None:
    files = {"docs/adr/README.md": "[0001](0001-a.md)", "docs/adr/0001-a.md": "", "docs/adr/0002-b.md": ""}
    assert [finding.path for finding in findings(tree(files))] == ["docs/adr/0002-b.md"]


def test_a_commit_message_is_held_to_the_same_bans_but_may_name_the_marks(tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.write_text(f"Mend it\n\n{BANNED[0]}\n")
    told = subprocess.run(
        [sys.executable, str(ROOT / "tools/check_text.py"), "--message", str(message)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert "message:3: path of one machine" in told.stdout
    assert not list(banned("message", BANNED[7], EVERYWHERE))
