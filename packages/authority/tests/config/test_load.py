"""Reading the configuration: precedence, refusals with hints, units."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealwright.config import Config, load, load_effective, write_effective
from sealwright.config.durations import seconds, spoken
from sealwright.errors import Misconfigured


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sealwright.toml"


def refusal(toml: str, file: Path, environment: dict[str, str] | None = None) -> Misconfigured:
    file.write_text(toml)
    with pytest.raises(Misconfigured) as caught:
        load(file, environment or {})
    return caught.value


def test_defaults_run_without_a_file() -> None:
    config, source = load(None, {"PATH": "/usr/bin", "SEALWRIGHT_VECTORS": "/somewhere"})
    assert config == Config()
    assert (source.file, source.variables) == (None, ())


def test_file_then_environment_then_options(file: Path) -> None:
    file.write_text('[server]\nport = 9001\nhost = "127.0.0.2"\n[keys]\nuse = "8h"\n')
    environment = {"SEALWRIGHT_SERVER__PORT": "9002", "SEALWRIGHT_DEMO__ENABLED": "off"}
    config, source = load(file, environment, {"state.directory": "/elsewhere"})
    assert (config.server.host, config.server.port) == ("127.0.0.2", 9002)
    assert config.keys.use == 8 * 3600
    assert not config.demo.enabled
    assert config.state.directory == "/elsewhere"
    assert source.file == file
    assert source.variables == ("SEALWRIGHT_DEMO__ENABLED", "SEALWRIGHT_SERVER__PORT")


def test_the_environment_can_name_the_file(file: Path) -> None:
    file.write_text("[server]\nport = 9001\n")
    config, source = load(None, {"SEALWRIGHT_CONFIG": str(file)})
    assert config.server.port == 9001
    assert source.file == file


def test_a_file_that_names_a_realm_names_all_of_them(file: Path) -> None:
    file.write_text('[demo]\nenabled = false\n[realms.staff]\naudiences = ["https://api.example"]\n')
    config, _ = load(file, {"SEALWRIGHT_REALMS__STAFF__MAX_LIFETIME": "15m"})
    assert list(config.realms) == ["staff"]
    assert config.realms["staff"].max_lifetime == 900


def test_a_default_realm_can_be_tightened_by_the_environment() -> None:
    config, _ = load(
        None, {"SEALWRIGHT_REALMS__ENTERPRISE__AUDIENCES": "https://a.example, https://b.example"}
    )
    assert config.realms["enterprise"].audiences == ("https://a.example", "https://b.example")
    assert config.realms["consumer"] == Config().realms["consumer"]


@pytest.mark.parametrize(
    ("toml", "place", "hint"),
    [
        ("[server]\nprot = 1", "server.prot", '"port"'),
        ("[sever]\nport = 1", "sever", '"server"'),
        ("[realms.enterprise]\nmax_lifetme = 5", "realms.enterprise.max_lifetme", '"max_lifetime"'),
        ("[manifest]\nqqqqqqqq = 5", "manifest.qqqqqqqq", "life"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(
    toml: str, place: str, hint: str, file: Path
) -> None:
    error = refusal(toml, file)
    assert error.code == "unknown_key"
    assert place in error.public
    assert hint in error.public
    assert str(file) in error.public


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("SEALWRIGHT_SERVER__PROT", '"port"'),
        ("SEALWRIGHT_SEVER__PORT", '"server"'),
        ("SEALWRIGHT_SERVER__PORT__X", "server.port.x"),
        ("SEALWRIGHT_SERVER_PORT", "SEALWRIGHT_SERVER__PORT"),
        ("SEALWRIGHT_REALMS__ENTERPRISE__AUDIENCE", '"audiences"'),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_one(name: str, hint: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(None, {name: "1"})
    assert caught.value.code == "unknown_key"
    assert name in caught.value.public
    assert hint in caught.value.public


@pytest.mark.parametrize(
    ("toml", "place"),
    [
        ('[server]\nport = "eighty"', "server.port"),
        ("[server]\nport = 1.5", "server.port"),
        ("server = 5", "server"),
        ("[keys]\nuse = 1.5", "keys.use"),
        ('[keys]\nuse = "6 hours"', "keys.use"),
        ('[keys]\nuse = "-6h"', "keys.use"),
        ('[demo]\nenabled = "yes"', "demo.enabled"),
        ("[realms.enterprise]\naudiences = [1]", "realms"),
        ("[realms.enterprise]\nmax_lifetime = 60", "audiences"),
        ("realms = 3", "realms"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_place(toml: str, place: str, file: Path) -> None:
    error = refusal(toml, file)
    assert error.code == "wrong_type"
    assert place in error.public


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEALWRIGHT_SERVER__PORT", "eighty"),
        ("SEALWRIGHT_SERVER__PORT", "٣"),
        ("SEALWRIGHT_DEMO__ENABLED", "perhaps"),
        ("SEALWRIGHT_KEYS__USE", "6x"),
        ("SEALWRIGHT_REALMS__ENTERPRISE", "x"),
        ("SEALWRIGHT_SERVER__HOST__", "x"),
    ],
)
def test_a_variable_of_the_wrong_type_is_refused_with_its_name(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=name):
        load(None, {name: value})


def test_what_is_no_toml_is_refused(file: Path) -> None:
    assert refusal("[server", file).code == "bad_toml"


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"absent\.toml"):
        load(tmp_path / "absent.toml", {})


def test_children_read_exactly_what_was_checked(tmp_path: Path) -> None:
    config, _ = load(None, {"SEALWRIGHT_SERVER__PORT": "9003"})
    write_effective(config, tmp_path / "config.json")
    assert load_effective(tmp_path / "config.json") == config
    assert (tmp_path / "config.json").stat().st_mode & 0o077 == 0


def test_children_refuse_a_configuration_that_breaks_a_rule(tmp_path: Path) -> None:
    broken = msgspec.to_builtins(Config()) | {"manifest": {"life": 100_000}}
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(broken))
    with pytest.raises(Misconfigured, match="manifest"):
        load_effective(tmp_path / "config.json")


@given(st.integers(min_value=0, max_value=10**11))
def test_durations_are_read_back_as_they_are_spoken(duration: int) -> None:
    assert seconds(spoken(duration)) == duration
    assert seconds(str(duration)) == duration


@given(st.text(max_size=12))
def test_a_duration_is_read_or_refused(text: str) -> None:
    try:
        read = seconds(text)
    except ValueError as error:
        said = str(error)
    else:
        said = "duration"
        assert read >= 0
    assert "duration" in said


SCALARS = st.one_of(st.integers(), st.booleans(), st.text(max_size=8), st.floats(allow_nan=False), st.none())
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["server", "port", "realms", "enterprise", "keys", "use", "life"]), st.text()
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["server", "keys", "realms", "manifest", "demo", "zzz"]), TREES))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_tree_of_values_runs_or_is_refused_by_name(tree: dict[str, object]) -> None:
    """A good configuration or a Misconfigured with a text; nothing else comes out of any input."""
    from sealwright.config.load import _converted
    from sealwright.config.rules import require_runnable
    from sealwright.config.shape import fitted

    try:
        config = _converted(fitted(tree, Config, "a test"))
        require_runnable(config)
    except Misconfigured as error:
        outcome: object = error.code and error.public
    else:
        outcome = config.realms
    assert outcome


@given(
    st.dictionaries(
        st.from_regex(r"SEALWRIGHT_[A-Z_]{0,20}", fullmatch=True), st.text(max_size=10), max_size=3
    )
)
@settings(deadline=None)
def test_any_environment_runs_or_is_refused_by_name(environment: dict[str, str]) -> None:
    environment.pop("SEALWRIGHT_CONFIG", None)
    try:
        outcome: object = load(None, environment)
    except Misconfigured as error:
        outcome = error.public
    assert outcome
