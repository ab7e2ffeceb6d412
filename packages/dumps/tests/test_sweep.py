from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sealwright_dumps import clock
from sealwright_dumps.cli.main import main
from sealwright_dumps.corpus.keys import Keys, pkcs8, traditional
from sealwright_dumps.sweep import allow


def sweep(*arguments: str) -> int:
    return main(["sweep", "--workers=1", "--quiet", *arguments])


def allow_file(folder: Path, **fields: Any) -> str:
    entry = {
        "kind": "pem",
        "path": "*/fixtures/*",
        "reason": "made for tests",
        "expires": (clock.now().date() + allow.LONGEST).isoformat(),
    } | fields
    file = folder / "allow.json"
    file.write_text(json.dumps({"format": allow.FORMAT, "entries": [entry]}))
    return str(file)


@pytest.fixture
def tree(tmp_path: Path, keys: Keys) -> Path:
    folder = tmp_path / "tree" / "fixtures"
    folder.mkdir(parents=True)
    (folder / "key.pem").write_bytes(pkcs8(keys.ec, pem=True))
    (tmp_path / "tree" / "readme").write_text("nothing here")
    return tmp_path / "tree"


def test_a_credential_in_a_tree_fails_the_check(tree: Path) -> None:
    assert sweep(str(tree)) == 1
    (tree / "fixtures" / "key.pem").unlink()
    assert sweep(str(tree)) == 0


def test_an_allowed_finding_passes_until_its_end(tree: Path, tmp_path: Path) -> None:
    assert sweep(f"--allow={allow_file(tmp_path)}", str(tree)) == 0
    assert sweep(f"--allow={allow_file(tmp_path, expires='2020-01-01')}", str(tree)) == 1


def test_an_expired_entry_is_named(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(f"--allow={allow_file(tmp_path, expires='2020-01-01')}", str(tree))
    assert "expired 2020-01-01" in capsys.readouterr().err


def test_an_entry_for_a_key_covers_that_key_only(tree: Path, tmp_path: Path, keys: Keys) -> None:
    import hashlib

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    spki = keys.ec.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key_id = "spki-sha256:" + hashlib.sha256(spki).hexdigest()
    listed = allow_file(tmp_path, kind="*", path="", key_id=key_id)
    assert sweep(f"--allow={listed}", str(tree)) == 0
    (tree / "other.pem").write_bytes(traditional(keys.rsa, pem=True))
    assert sweep(f"--allow={listed}", str(tree)) == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"reason": ""}, "`reason`"),
        ({"expires": "soon"}, "`expires` is a date"),
        ({"expires": "9999-12-31"}, "1096 days"),
        ({"kind": "*", "path": "x/*"}, "too broad"),
        ({"kind": "pem", "path": "*"}, "too broad"),
        ({"kind": "pem", "path": ""}, "too broad"),
        ({"kind": 1}, "object of texts"),
        ({"key-id": "x"}, "unknown member 'key-id'"),
    ],
)
def test_an_entry_without_reason_or_end_or_that_covers_everything_is_refused_and_named(
    tree: Path, tmp_path: Path, fields: dict[str, Any], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(f"--allow={allow_file(tmp_path, **fields)}", str(tree)) == 2
    said = capsys.readouterr().err
    assert said.startswith("sealwright-dumps: allow-entry: entry 1 of the allow-list: ")
    assert why in said


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", "[" * 100_000, "x", json.dumps({"format": allow.FORMAT, "entries": {}})],
    ids=["list", "nothing", "deep", "text", "wrong entries"],
)
def test_what_is_no_allow_list_is_refused_in_one_line(
    tree: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "allow.json"
    file.write_text(text)
    assert sweep(f"--allow={file}", str(tree)) == 2
    assert sweep(f"--allow={tmp_path / 'absent'}", str(tree)) == 2
    assert [line.split(":")[1][:7] for line in capsys.readouterr().err.splitlines()] == [" allow-"] * 2


def test_an_entry_without_an_end_says_what_is_missing(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "allow.json"
    entry = {"kind": "pem", "path": "x", "reason": "y"}
    file.write_text(json.dumps({"format": allow.FORMAT, "entries": [entry]}))
    assert sweep(f"--allow={file}", str(tree)) == 2
    assert "`expires` is missing" in capsys.readouterr().err


def test_a_sweep_of_nothing_is_not_a_clean_one(tmp_path: Path) -> None:
    assert sweep(str(tmp_path)) == 3
    (tmp_path / "empty").touch()
    assert sweep(str(tmp_path)) == 3


def test_a_repository_that_is_left_out_is_named(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "fixtures" / "key.pem").unlink()
    (tree / "inner" / ".git").mkdir(parents=True)
    assert sweep(str(tree)) == 0
    said = capsys.readouterr().err
    assert f"left out: {str(tree / 'inner' / '.git')!r}" in said
    assert "git log -p --all" in said


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert sweep(str(tmp_path / "absent")) == 3


def test_paths_or_staged_but_not_both(tmp_path: Path) -> None:
    assert sweep() == 2
    assert sweep("--staged", str(tmp_path)) == 2


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run(["git", "init", "-q"], check=True)
    return folder


def test_the_staged_content_counts_not_the_file_that_lies_there(repository: Path, keys: Keys) -> None:
    file = repository / "a file\nwith a break"
    file.write_bytes(pkcs8(keys.ec, pem=True))
    assert sweep("--staged") == 0
    subprocess.run(["git", "add", "--all"], check=True)
    file.write_text("clean again")
    assert sweep("--staged") == 1
    subprocess.run(["git", "add", "--all"], check=True)
    assert sweep("--staged") == 0


HOOK = """#!/bin/sh
exec {program} sweep --staged --quiet --workers 1
"""


def test_a_commit_with_a_key_is_refused_by_the_hook(repository: Path, keys: Keys) -> None:
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK.format(program=f"{sys.executable} -m sealwright_dumps"))
    hook.chmod(0o755)
    (repository / "key").write_bytes(pkcs8(keys.ec, pem=True))
    commit = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", "commit", "-qm", "x"]
    subprocess.run(["git", "add", "--all"], check=True)
    refused = subprocess.run(commit, check=False, capture_output=True)
    assert refused.returncode != 0
    assert b"BEGIN" not in refused.stdout + refused.stderr
    assert subprocess.run(["git", "rev-parse", "-q", "--verify", "HEAD"], check=False).returncode != 0
    (repository / "key").write_text("nothing here")
    subprocess.run(["git", "add", "--all"], check=True)
    assert subprocess.run(commit, check=False).returncode == 0


def tar_of(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return made.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["docker save", "oci layout"])
def test_a_key_in_a_layer_of_a_container_image_is_found_and_placed(
    tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str], pack: Callable[[bytes], bytes]
) -> None:
    layer = pack(tar_of({"etc/passwd": b"root:x:0:0::/:/bin/sh\n", "app/key.pem": pkcs8(keys.ec, pem=True)}))
    clean = pack(tar_of({"usr/bin/true": bytes(5000)}))
    files = {"manifest.json": b'[{"Layers": ["one.tar", "blobs/sha256/two"]}]', "one.tar": clean}
    image = tmp_path / "image.tar"
    image.write_bytes(tar_of({**files, "blobs/sha256/two": layer}))
    assert sweep("--json", str(image)) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert "blobs/sha256/two" in json.dumps(finding)
    assert "app/key.pem" in json.dumps(finding)
    image.write_bytes(tar_of({**files, "blobs/sha256/two": clean}))
    assert sweep(str(image)) == 0


def test_a_log_and_a_home_folder_are_swept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "home" / ".aws").mkdir(parents=True)
    secret = base64.b64encode(bytes(range(7, 247, 8))).decode()[:40]
    (tmp_path / "home" / ".aws" / "credentials").write_text(f"aws_secret_access_key = {secret}\n")
    lines = "".join(f"2026-01-01T00:00:{n:02} GET / 200\n" for n in range(60))
    token = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"
    (tmp_path / "home" / "app.log").write_text(f"{lines}authorization: token {token}\n{lines}")
    assert sweep("--json", str(tmp_path / "home")) == 1
    told = capsys.readouterr().out
    assert {one["kind"] for one in json.loads(told)["findings"]} == {"aws-secret-access-key", "github-token"}
    assert secret not in told
    assert token not in told


def test_outside_a_repository_staged_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert sweep("--staged") == 5
