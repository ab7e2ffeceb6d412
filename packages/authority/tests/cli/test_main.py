"""The program is quick to ask, and an operator's mistake is one line and exit status 2, never a traceback."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from sealwright.cli.main import COMMANDS, LEAVES, PROGRAMS, main
from sealwright.supervisor.host import memory_shortage

HEAVY = ("sqlalchemy", "httpx", "uvicorn", "starlette", "cryptography", "jwt", "msgspec")


def sealwright(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-m", "sealwright", *arguments],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_help_names_every_command_and_loads_none() -> None:
    code = (
        "import sys\n"
        "from sealwright.cli.main import main\n"
        "status = main(['--help'])\n"
        "sys.stderr.write(' '.join(sys.modules))\n"
        "sys.exit(status)\n"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0
    for name, entry in COMMANDS.items():
        assert (f"  {name} " in ran.stdout) is not entry.hidden
    assert all(f"  {name} " in ran.stdout for name in LEAVES)
    loaded = {name.split(".")[0] for name in ran.stderr.split()}
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("leaf", ["", *sorted(LEAVES)])
def test_every_program_says_the_version_of_its_distribution(
    leaf: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*filter(None, [leaf]), "--version"]) == 0
    program = PROGRAMS.get(leaf, f"sealwright-{leaf}") if leaf else "sealwright"
    distribution = f"sealwright-{leaf}" if leaf else "sealwright"
    assert capsys.readouterr().out == f"{program} {version(distribution)}\n"


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"up"}))
def test_every_command_shows_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert "Usage: sealwright" in capsys.readouterr().out


def test_up_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--config", "--state", "--no-demo", "--log-level"))


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upp"]) == 2
    assert "upp" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["config", "check"], {"SEALWRIGHT_SERVER__PROT": "1"}, "server.prot"),
        (["config", "check", "absent.toml"], {}, "absent.toml"),
        (["up"], {"SEALWRIGHT_KEYS__LEAD": "10s"}, "keys.lead"),
        (["keys", "list", "--state", "/nowhere"], {}, "sealwright up"),
        (["alarms", "--state", "/nowhere"], {}, "sealwright up"),
        (["clients", "list", "--state", "/nowhere"], {}, "sealwright up"),
        (["ledger", "fsck", "--state", "/nowhere"], {}, "--state"),
        (["ledger", "check", "a.b", "--state", "/nowhere"], {}, "--state"),
        (["authority", "--effective", "/nowhere", "--parent", "1"], {}, ""),
        (["up", "--state", "/proc/nowhere"], {}, "/proc/nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_no_traceback(
    arguments: list[str], environment: dict[str, str], said: str
) -> None:
    ran = sealwright(*arguments, **environment)
    assert ran.returncode in ({1, 2} if arguments[0] == "authority" else {2})
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) <= 1


def test_a_command_is_imported_only_when_it_is_asked_for() -> None:
    code = "import sys, sealwright.cli.main; sys.exit('sealwright.cli.up' in sys.modules)"
    assert subprocess.run([sys.executable, "-I", "-c", code], check=False).returncode == 0


def test_every_command_has_its_file() -> None:
    import sealwright.cli

    folder = Path(sealwright.cli.__file__).parent
    assert all((folder / f"{entry.module}.py").is_file() for entry in COMMANDS.values())


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_a_leaf_is_called_under_its_own_name_with_its_own_arguments(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list(sys.argv)
    program = PROGRAMS.get(name, f"sealwright-{name}")
    assert main([name, "--help"]) == 0
    assert f"usage: {program} " in capsys.readouterr().out
    assert main([name, "--no-such-option"]) != 0
    assert program in capsys.readouterr().err
    assert sys.argv == before


def test_doctor_shows_what_a_real_signer_says(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["signer"]["started"] is True
    states = {measure["state"] for measure in shown["signer"]["isolation"]}
    assert states <= {"on", "off", "impossible"}
    assert status == int("off" in states or bool(memory_shortage()))
    assert all(fact["reason"] for fact in shown["host"])
    assert "collector" in shown["signer"]["note"]
    assert {"configfs-tsm", "sev-guest", "nsm", "tpm"} <= {
        probe["collector"] for probe in shown["collectors"]
    }


def test_drills_are_listed_and_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "list", "--json"]) == 0
    assert "storm-0558" in json.loads(capsys.readouterr().out)
    assert main(["drill", "run", "storm-0559"]) == 2
    assert "storm-0558" in capsys.readouterr().err


def test_version_names_every_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {"sealwright", "sealwright-signer", "sealwright-validate", "python"} <= set(shown)
    assert "not installed" not in shown.values()
