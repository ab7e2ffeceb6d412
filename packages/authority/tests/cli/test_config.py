"""What `config` prints reads back as the configuration that it was made from."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sealwright.cli.config import as_toml
from sealwright.cli.main import main
from sealwright.config import Config, KeyConfig, RealmConfig, ServerConfig, StateConfig, load, problems

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)


@given(
    port=st.integers(1, 65_535),
    directory=TEXT,
    use=st.integers(3_660, 40_000),
    realms=st.dictionaries(
        NAMES, st.lists(st.from_regex(r"[!-~]{1,12}", fullmatch=True), min_size=1, unique=True)
    ),
)
@example(port=1, directory='\x7f " \\ \n \u2028', use=3_660, realms={})
@settings(deadline=None)
def test_toml_reads_back_as_the_configuration(
    tmp_path_factory: pytest.TempPathFactory,
    port: int,
    directory: str,
    use: int,
    realms: dict[str, list[str]],
) -> None:
    named = {name: RealmConfig(audiences=tuple(audiences)) for name, audiences in realms.items()}
    config = Config(
        server=ServerConfig(port=port),
        state=StateConfig(directory=directory),
        keys=KeyConfig(use=use),
        realms=Config().realms | named,
    )
    if list(problems(config)):
        return
    file = tmp_path_factory.mktemp("config") / "sealwright.toml"
    file.write_text(as_toml(config), "utf-8")
    assert load(file, {})[0] == config


def test_check_says_where_it_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[server]\nport = 9001\n")
    assert main(["config", "check", str(file)]) == 0
    shown = capsys.readouterr()
    assert "port = 9001" in shown.out
    assert str(file) in shown.err


def test_check_as_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--json"]) == 0
    shown = msgspec.json.decode(capsys.readouterr().out)
    assert shown["may_run"] is True
    assert shown["config"]["server"]["port"] == 8420


def test_check_refuses_what_may_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[manifest]\nlife = 601\n[signers]\ncount = 0\n")
    assert main(["config", "check", str(file)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "manifest.life" in shown.err
    assert "signers.count" in shown.err
