"""A root changes hands by threshold signatures, and validators follow from whatever they pinned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sealwright.admission.ceremony import Ceremony, public_of
from sealwright.admission.documents import new_private_key, thumbprint
from sealwright.admission.trust import open_root_of_trust, root_version
from sealwright.cli.main import main
from sealwright.errors import Refused
from sealwright.files import write_private
from sealwright_validate.root import advance_root, pinned_root

NOW = 1_800_000_000


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    open_root_of_trust(tmp_path / "trust", NOW)
    return tmp_path / "trust"


def keys(folder: Path, count: int) -> list[Path]:
    made = [folder / f"key-{number}.pem" for number in range(count)]
    for file in made:
        write_private(file, new_private_key())
    return made


def follow(trust: Path, first: int, last: int) -> int:
    root = pinned_root((trust / f"root-{first}.json").read_bytes())
    for version in range(first + 1, last + 1):
        root = advance_root(root, (trust / f"root-{version}.json").read_bytes())
    return root.version


def signed(trust: Path, *files: Path) -> Ceremony:
    ceremony = Ceremony(trust, NOW)
    for file in files:
        ceremony.sign(file.read_bytes(), str(file))
    return ceremony


def to_two_of_three(trust: Path, files: list[Path]) -> None:
    """Hand the root from its first key to two of three others."""
    ceremony = Ceremony(trust, NOW)
    for file in files:
        ceremony.add_key("root", public_of(file.read_bytes(), str(file)))
    first = public_of((trust / "root.key").read_bytes(), "root.key")
    ceremony.remove_key("root", thumbprint(first))
    ceremony.threshold(2)
    assert signed(trust, trust / "root.key", *files[:2]).publish() == 2


def test_two_of_three_take_over_and_a_validator_follows_from_the_first(trust: Path, tmp_path: Path) -> None:
    files = keys(tmp_path, 3)
    to_two_of_three(trust, files)
    assert (root_version(trust), follow(trust, 1, 2)) == (2, 2)
    Ceremony(trust, NOW).renew()
    assert signed(trust, files[0], files[2]).publish() == 3
    assert follow(trust, 1, 3) == 3
    assert open_root_of_trust(trust, NOW).version == 3


def test_the_old_key_alone_decides_nothing_any_more(trust: Path, tmp_path: Path) -> None:
    files = keys(tmp_path, 3)
    to_two_of_three(trust, files)
    ceremony = Ceremony(trust, NOW)
    ceremony.threshold(1)
    with pytest.raises(Refused, match="not_a_root_key"):
        ceremony.sign((trust / "root.key").read_bytes(), "root.key")
    with pytest.raises(Refused, match="signatures_missing"):
        signed(trust, files[0]).publish()
    assert root_version(trust) == 2


def test_new_keys_must_sign_as_well(trust: Path, tmp_path: Path) -> None:
    [file] = keys(tmp_path, 1)
    ceremony = Ceremony(trust, NOW)
    ceremony.add_key("root", public_of(file.read_bytes(), "key"))
    proposal = ceremony.threshold(2)
    assert ceremony.missing(proposal) == {"current": 1, "next": 2}
    with pytest.raises(Refused, match="signatures_missing"):
        signed(trust, trust / "root.key").publish()
    assert signed(trust, file).publish() == 2


def test_a_change_after_a_signature_needs_it_again(trust: Path, tmp_path: Path) -> None:
    [file] = keys(tmp_path, 1)
    ceremony = Ceremony(trust, NOW)
    ceremony.renew()
    assert signed(trust, trust / "root.key").pending() is not None
    assert not ceremony.add_key("root", public_of(file.read_bytes(), "key")).signatures


def test_the_key_that_admits_signers_is_not_taken_away(trust: Path, tmp_path: Path) -> None:
    [file] = keys(tmp_path, 1)
    ceremony = Ceremony(trust, NOW)
    [admission] = ceremony.current["roles"]["admission"]["keys"]
    ceremony.add_key("admission", public_of(file.read_bytes(), "key"))
    with pytest.raises(Refused, match="key_in_use"):
        ceremony.remove_key("admission", thumbprint(admission))
    write_private(trust / "admission.key", file.read_bytes())
    ceremony.remove_key("admission", thumbprint(admission))
    assert signed(trust, trust / "root.key").publish() == 2
    assert open_root_of_trust(trust, NOW).admission.jwk == public_of(file.read_bytes(), "key")


def only(ceremony: Ceremony) -> dict[str, str]:
    [jwk] = ceremony.current["roles"]["root"]["keys"]
    return dict(jwk)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (
            "below_threshold",
            lambda c: c.remove_key("root", thumbprint(c.current["roles"]["root"]["keys"][0])),
        ),
        ("unknown_key", lambda c: c.remove_key("root", "nobody")),
        ("bad_threshold", lambda c: c.threshold(2)),
        ("bad_threshold", lambda c: c.threshold(0)),
        ("unknown_role", lambda c: c.remove_key("boss", "x")),
        ("bad_key", lambda c: c.add_key("root", {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"})),
        ("key_known", lambda c: c.add_key("root", only(c))),
        ("nothing_proposed", lambda c: c.publish()),
    ],
)
def test_what_makes_no_root_is_refused_by_its_code(trust: Path, code: str, change: object) -> None:
    with pytest.raises(Refused) as caught:
        change(Ceremony(trust, NOW))  # type: ignore[operator] # a function of a ceremony
    assert caught.value.code == code
    assert root_version(trust) == 1


def test_the_commands_do_the_same(trust: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--trust", str(trust)]
    new = tmp_path / "new.pem"
    assert main(["root", "new-key", str(new)]) == 0
    kid = json.loads(capsys.readouterr().out)["kid"]
    assert main(["root", "add-key", str(new), *place]) == 0  # without --apply
    assert "nothing was changed" in capsys.readouterr().out
    assert main(["root", "rotate", "--apply", *place]) != 0
    for command in (["add-key", str(new)], ["threshold", "2"]):
        assert main(["root", *command, "--apply", *place]) == 0
    for file in (trust / "root.key", new):
        assert main(["root", "sign", "--key", str(file), "--apply", *place]) == 0
    assert main(["root", "rotate", "--apply", *place]) == 0
    capsys.readouterr()
    assert main(["root", "show", "--json", *place]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["current"]["version"] == 2
    assert told["current"]["roles"]["root"]["threshold"] == 2
    assert kid in told["current"]["roles"]["root"]["keys"]
    assert follow(trust, 1, 2) == 2


@pytest.mark.parametrize(
    "command",
    [["rotate"], ["discard"], ["remove-key", "x"], ["threshold", "5"], ["sign", "--key", "root.key"]],
)
def test_a_dry_run_refuses_what_apply_would(
    command: list[str], trust: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [str(trust / word) if word == "root.key" else word for word in command]
    assert main(["root", *named, "--trust", str(trust)]) == 2
    dry = capsys.readouterr()
    assert main(["root", *named, "--apply", "--trust", str(trust)]) == 2
    assert capsys.readouterr().err == dry.err
    assert not dry.out


def test_a_dry_run_changes_nothing(trust: Path) -> None:
    before = {file.name: file.read_bytes() for file in trust.iterdir()}
    assert main(["root", "renew", "--trust", str(trust)]) == 0
    assert {file.name: file.read_bytes() for file in trust.iterdir()} == before
    Ceremony(trust, NOW).renew()
    signed(trust, trust / "root.key")
    before = {file.name: file.read_bytes() for file in trust.iterdir()}
    for command in ("rotate", "discard"):
        assert main(["root", command, "--trust", str(trust)]) == 0
    assert {file.name: file.read_bytes() for file in trust.iterdir()} == before
