"""`sealwright up` end to end: real processes on real ports, killed at will and carried on."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket]
PARTS = ("signer-0", "authority", "demo-guarded", "demo-ordinary")
PATIENCE = 60.0
UP = "Ctrl-C stops everything."


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def until(holds: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"{what} did not happen within {PATIENCE} s")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Site:
    """One state directory and the ports of everything on it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        names = ("SERVER__PORT", "DEMO__GUARDED_PORT", "DEMO__ORDINARY_PORT")
        self.authority, self.guarded, self.ordinary = ports = free_ports(3)
        self.environment = {"PATH": os.defpath, "SEALWRIGHT_MANIFEST__LIFE": "10s"} | {
            f"SEALWRIGHT_{name}": str(port) for name, port in zip(names, ports, strict=True)
        }
        self.output = folder / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", "-m", "sealwright", *arguments, "--state", str(self.state)],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def start(self) -> str:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", "sealwright", "up", "--state", str(self.state)],
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        process = self.process
        until(lambda: UP in self.output.read_text() or process.poll() is not None, "the start")
        assert UP in self.output.read_text(), self.output.read_text()
        return self.output.read_text()

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        status = self.process.wait(PATIENCE)
        self.process = None
        return status

    def pids(self) -> dict[str, int]:
        found = {}
        for line in (self.state / "log" / "up.jsonl").read_text().splitlines():
            entry = json.loads(line)
            if entry["message"] == "up":
                found[entry["facts"]["part"]] = entry["facts"]["pid"]
        return found

    def lines(self) -> list[str]:
        return [line for line in self.output.read_text().splitlines() if line.startswith(("TOKEN=", "curl "))]

    def try_lines(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Run the printed lines as they stand in a shell; what the mail API and the ledger answered."""
        ran = subprocess.run(
            ["sh", "-eu", "-c", "\n".join(self.lines())],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert ran.returncode == 0, ran.stderr
        mail, ledger = ran.stdout.splitlines()
        return json.loads(mail), json.loads(ledger)

    def works(self) -> bool:
        """Whether the printed lines do what they promise at this moment."""
        try:
            mail, ledger = self.try_lines()
        except (AssertionError, ValueError):
            return False
        return "messages" in mail and ledger == {**ledger, "issued": True}

    def token(self, realm: str) -> str:
        url = f"http://127.0.0.1:{self.authority}/{realm}/oauth2/token"
        secret = self.state / "demo" / f"{realm}.curl"
        told = subprocess.check_output(
            ["curl", "-sS", "-K", secret, "-d", "grant_type=client_credentials", url], text=True
        )
        token: str = json.loads(told)["access_token"]
        return token

    def read_mail(self, port: int, token: str) -> int:
        told = subprocess.check_output(
            ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}",
             f"http://127.0.0.1:{port}/messages"], text=True,
        )  # fmt: skip
        return int(told)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    if shutil.which("curl") is None:
        pytest.skip("CURL ABSENT: the printed lines cannot be tried; install curl")
    with tempfile.TemporaryDirectory(prefix="sw-") as name:  # short: a socket's path has 107 bytes at most
        yield Path(name)


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    site = Site(folder)
    yield site
    if site.process is not None:
        site.end()


@pytest.fixture
def up(site: Site) -> Site:
    if site.process is None:
        site.start()
    return site


def test_the_printed_lines_work_as_they_stand(up: Site) -> None:
    assert len(up.lines()) == 3
    mail, ledger = up.try_lines()
    assert mail["reader"] == "demo-enterprise"
    assert mail["guarded_by"] == "sealwright_validate"
    assert len(mail["messages"]) == 3
    assert ledger["issued"] is True


def test_secrets_are_shown_at_the_first_start_only(up: Site) -> None:
    shown = up.output.read_text()
    kept = json.loads((up.state / "demo" / "enterprise.json").read_text())
    assert (kept["client_secret"] in shown) is ("secret, once" in shown)
    assert up.end() == 0
    assert kept["client_secret"] not in up.start()


def test_mail_is_read_with_a_token_of_its_realm_only(up: Site) -> None:
    for port in (up.guarded, up.ordinary):
        assert up.read_mail(port, up.token("enterprise")) == 200
        assert up.read_mail(port, up.token("consumer")) == 401


def test_a_second_start_on_the_same_state_is_refused(up: Site) -> None:
    assert up.process is not None
    ran = up.run("up")
    assert ran.returncode == 2
    assert str(up.process.pid) in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    up.try_lines()


def test_a_port_that_is_taken_is_named_before_anything_starts(up: Site) -> None:
    with tempfile.TemporaryDirectory(prefix="sw-") as other:
        ran = subprocess.run(
            [sys.executable, "-I", "-m", "sealwright", "up", "--state", other],
            env=up.environment, capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert not (Path(other) / "log" / "signer-0.log").exists()
    assert ran.returncode == 2
    assert f"127.0.0.1:{up.authority}" in ran.stderr
    assert "SEALWRIGHT_SERVER__PORT" in ran.stderr


@pytest.mark.parametrize("part", PARTS)
def test_what_is_killed_comes_back_and_everything_works_again(up: Site, part: str) -> None:
    before = up.pids()
    os.kill(before[part], signal.SIGKILL)
    until(lambda: up.pids()[part] != before[part], f"the return of {part}")
    after = up.pids()
    assert {name: after[name] for name in PARTS if name != part} == {
        name: before[name] for name in PARTS if name != part
    }
    until(up.works, "the return of the service")


def test_a_signer_that_was_killed_is_replaced_by_another_incarnation(up: Site) -> None:
    file = up.state / "run" / "signers.json"
    [before] = json.loads(file.read_text())["signers"]
    token = up.token("enterprise")
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: up.pids()["signer-0"] != before["pid"], "the return of the signer")
    [after] = json.loads(file.read_text())["signers"]
    assert after["log_id"] != before["log_id"]
    assert up.read_mail(up.guarded, token) == 200, "what the dead signer signed stays valid"


def test_operators_see_keys_clients_ledger_and_alarms(up: Site) -> None:
    keys = json.loads(up.run("keys", "list", "--json").stdout)
    assert {key["realm"] for key in keys if key["state"] == "active"} == {"consumer", "enterprise"}
    shown = json.loads(up.run("keys", "show", keys[0]["kid"]).stdout)
    assert shown["kid"] == keys[0]["kid"]
    assert "d" not in shown["jwk"]
    clients = json.loads(up.run("clients", "list", "--json").stdout)
    assert {"demo-consumer", "demo-enterprise", "demo-mail-api"} <= {
        client["client_id"] for client in clients
    }
    token = up.token("enterprise")
    assert up.run("ledger", "check", token).returncode == 0
    forged = token[: token.rindex(".") - 4] + "AAAA" + token[token.rindex(".") :]
    refused = up.run("ledger", "check", forged)
    assert (refused.returncode, refused.stdout) == (2, "") or "not issued" in refused.stdout
    assert up.run("alarms", "--json").returncode == 0
    trail = up.run("audit", "--action", "policy_in_force")
    assert "system:authority policy_in_force" in trail.stdout


def test_a_client_is_planned_then_added_then_disabled(up: Site) -> None:
    plan = up.run("clients", "add", "consumer", "--id", "extra", "--scope", "mail.read")
    assert plan.returncode == 0
    assert "--apply" in plan.stderr
    assert "extra" not in up.run("clients", "list", "--json").stdout
    made = json.loads(
        up.run(
            "clients", "add", "consumer", "--id", "extra", "--scope", "mail.read", "--apply", "--json"
        ).stdout
    )
    assert made["client_id"] == "extra"
    assert made["client_secret"]
    assert up.run("clients", "disable", "extra").returncode == 0
    assert up.run("clients", "disable", "extra", "--apply").returncode == 0
    clients = json.loads(up.run("clients", "list", "--json").stdout)
    assert [client["enabled"] for client in clients if client["client_id"] == "extra"] == [False]
    unknown = up.run("clients", "disable", "nobody", "--apply")
    assert unknown.returncode == 2
    assert "nobody" in unknown.stderr


def test_it_stops_in_order_and_leaves_no_process(up: Site) -> None:
    pids = up.pids()
    root = (up.state / "trust" / "root.json").read_bytes()
    assert up.end() == 0
    assert not any(is_alive(pid) for pid in pids.values())
    told = up.output.read_text().splitlines()
    stopped = [line.split()[1] for line in told if line.endswith("stopped")]
    assert stopped == ["demo-ordinary", "demo-guarded", "authority", "signer-0"]
    assert list((up.state / "run").iterdir()) == []
    assert up.run("ledger", "fsck").returncode == 0
    up.start()
    assert (up.state / "trust" / "root.json").read_bytes() == root
    up.try_lines()


def test_interrupting_it_stops_it_as_well(up: Site) -> None:
    pids = up.pids()
    assert up.end(signal.SIGINT) == 0
    assert not any(is_alive(pid) for pid in pids.values())


def test_no_child_outlives_a_supervisor_that_is_killed(up: Site) -> None:
    pids = up.pids()
    assert up.end(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not any(is_alive(pid) for pid in pids.values()), "the end of every child")
    up.start()
    up.try_lines()
    fsck = json.loads(up.run("ledger", "fsck", "--json").stdout)
    assert fsck["sound"] is True
    assert fsck["tokens"] > 0
