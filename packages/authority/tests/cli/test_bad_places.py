"""A file or folder that cannot be read or written is one clear line and exit status 2, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealwright.cli.main import main


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "simulate", "--days", "1", "--draw", "FILE/x.svg"],
        ["keys", "simulate", "--days", "1", "--draw", "ABSENT/x.svg"],
        ["root", "new-key", "ABSENT/k"],
        ["root", "new-key", "FILE/k"],
        ["lab", "score", "ABSENT"],
        ["lab", "score", "EMPTY"],
        ["lab", "generate", "FILE/world", "--events", "1000"],
        ["lab", "generate", "FILE", "--events", "1000"],
        ["ledger", "fingerprints", "FILE/prints"],
        ["ledger", "fingerprints", "FILE"],
        ["dumps", "corpus", "FILE/corpus"],
        ["dumps", "corpus", "FILE"],
    ],
)
def test_a_place_that_cannot_be_used_is_named_in_one_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] == "lab":
        pytest.importorskip("ibis", reason="the lab needs sealwright[detect]")
    (tmp_path / "FILE").write_text("not a folder", encoding="utf-8")
    (tmp_path / "EMPTY").mkdir()
    places = ("FILE", "ABSENT", "EMPTY")
    named = [str(tmp_path / word) if word.startswith(places) else word for word in arguments]
    assert main(named) == 2
    said = capsys.readouterr().err
    assert str(tmp_path) in said
    assert len(said.splitlines()) == 1


def test_a_host_whose_folder_cannot_be_used_says_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    assert (
        main(["signer", "key", "--state", str(tmp_path / "file")]) == 78
    )  # that program's own status: EX_CONFIG
    said = capsys.readouterr().err
    assert str(tmp_path / "file") in said
    assert len(said.splitlines()) == 1


def test_a_file_nested_beyond_reason_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "deep.toml"
    file.write_text("a=" + 5_000 * "[" + 5_000 * "]", encoding="utf-8")
    assert main(["config", "check", str(file)]) == 2
    said = capsys.readouterr().err
    assert str(file) in said
    assert len(said.splitlines()) == 1


def test_a_state_directory_that_no_system_can_open_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nul.toml"
    file.write_text('[state]\ndirectory = "a\\u0000b"\n', encoding="utf-8")
    assert main(["config", "check", str(file)]) == 2
    assert "state.directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ('[admission]\nrelease = { x = "/nosuch" }\n', "admission.release"),
        ('[witness]\npolicy = "/nosuch"\n', "witness.policy"),
        ('[admission]\npolicy = "/nosuch"\n', "admission.policy"),
        ('[witness]\npolicy = "a\\u0000b"\n', "witness.policy"),
        ("[realms.shop]\n", "realms.shop"),
        ("[realms.shop]\naudiences = []\n", "realms.shop"),
    ],
)
def test_what_would_not_come_up_does_not_pass_the_check(
    written: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(written, encoding="utf-8")
    assert main(["config", "check", str(file)]) == 2
    assert named in capsys.readouterr().err


def test_up_starts_nothing_when_a_named_file_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('[witness]\npolicy = "/nosuch"\n', encoding="utf-8")
    assert main(["up", "--config", str(file), "--state", str(tmp_path / "state")]) == 2
    assert "witness.policy" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["keys", "simulate", "--days", "nan"], "--days nan"),
        (["keys", "simulate", "--days", "0"], "--days 0"),
        (["keys", "simulate", "--days", "1", "--draw-days", "-1"], "--draw-days -1"),
        (["respond", "playbook", "nosuch"], "storm-0558"),
        (["respond", "playbook", "storm-0558", "--step", "nosuch"], "contain"),
    ],
)
def test_a_value_out_of_reach_is_named(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert named in said
    assert len(said.splitlines()) == 1
