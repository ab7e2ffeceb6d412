"""The shipped systemd unit, unchanged, as systemd itself runs it: sandbox, order of steps, core_pattern."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import sealwright_dumps
from sealwright_dumps.gate import policy, signing

UNIT = Path(__file__).parents[3] / "deploy" / "systemd" / "sealwright-dumps-gate.service"
PATTERN = Path("/proc/sys/kernel/core_pattern")
RUN = Path("/run/sealwright-dumps")
SECONDS = 120  # for what takes two
CRASH = "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (-1, -1)); os.abort()"


def until(condition: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)


@pytest.mark.parametrize("unit", [UNIT, UNIT.with_name("sealwright.service")], ids=lambda path: path.stem)
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path, unit: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("NO systemd-analyze (Debian: systemd): the unit cannot be verified")
    text = unit.read_text(encoding="utf-8")
    copy = tmp_path / unit.name
    copy.write_text(re.sub("=/usr/bin/sealwright[a-z-]* ", "=/bin/true ", text), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_the_unit_does_to_core_pattern_is_done_outside_its_sandbox() -> None:
    lines = [line for line in UNIT.read_text(encoding="utf-8").splitlines() if "/core_pattern'" in line]
    assert [line.partition("=")[2][:2] for line in lines] == ["+/", "+/"]


@pytest.mark.root
def test_the_kernel_takes_no_socket_from_another_mount_namespace(core_pattern: Path) -> None:
    """Why the unit must: a write from within its sandbox fails."""
    require_socket(core_pattern)
    script = f"echo @@/run/nobody.sock > {core_pattern}"
    assert subprocess.run(["sh", "-c", script], check=False).returncode == 0
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("NO MOUNT NAMESPACES: it cannot be tried from within one")
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], check=False, capture_output=True)
    assert done.returncode != 0


@contextlib.contextmanager
def own_cgroups() -> Iterator[list[Path]]:
    """A new group in each hierarchy, so that the nested systemd orders nothing but its own processes."""
    made: list[Path] = []
    try:
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
            fields = line.split()
            if fields[fields.index("-") + 1] in ("cgroup", "cgroup2"):
                top = Path(fields[4])
                group = top / f"sealwright-test-{os.getpid()}"
                group.mkdir()
                made.append(group)
                for name in ("cpuset.cpus", "cpuset.mems"):
                    if (group / name).exists() and not (group / "cgroup.controllers").exists():
                        (group / name).write_text((top / name).read_text())
        yield made
    finally:
        for group in made:
            until(partial(removed, group), lambda: "a group is still in use")


def removed(group: Path) -> bool:
    """Take a group away with all below it; not yet possible while a process of it is still ending."""
    below = [path for path in group.rglob("*") if path.is_dir()]
    try:
        for path in [*sorted(below, key=lambda p: -len(p.parts)), group]:
            path.rmdir()
    except OSError:
        return False
    return True


def require_possible() -> None:
    """Skip, saying why, where no systemd can be started in namespaces or the kernel asks no socket."""
    if os.geteuid() != 0 or not os.access(PATTERN, os.W_OK):
        pytest.skip("NOT ROOT: neither systemd nor core_pattern can be had")
    for program in ("/lib/systemd/systemd", "unshare", "nsenter", "pivot_root", "systemctl"):
        if shutil.which(program) is None:
            pytest.skip(f"NO {program}: the unit cannot be run by systemd")
    if RUN.exists():
        pytest.skip(f"{RUN} EXISTS: a gate may be running on this machine, and it is left alone")
    for path in (sys.base_prefix, sysconfig.get_path("purelib"), sealwright_dumps.__file__):
        if Path(path).stat().st_dev != Path("/").stat().st_dev:
            pytest.skip(f"{path} IS ON ANOTHER FILE SYSTEM: the nested root does not have it")


def require_socket(core_pattern: Path) -> None:
    """Skip where the kernel does not know the protocol."""
    try:
        core_pattern.write_text("@@/run/nobody.sock", encoding="ascii")
        core_pattern.write_text("|/bin/false", encoding="ascii")
    except OSError:
        pytest.skip("THIS KERNEL ASKS NO SOCKET for a core (it came with 6.17)")


def prepared(folder: Path) -> None:
    """Policy and key as an operator puts them into /etc/sealwright, and the unit as it is shipped."""
    (folder / "etc").mkdir()
    body = {
        "format": policy.FORMAT,
        "classes": [{"name": "all", "programs": ["*"], "accept": True, "approvals": 1}],
        "approvers": {},
        "largest_bytes": 1 << 30,
        "oldest_seconds": 3600,
    }
    (folder / "etc" / "dump-policy.json").write_text(json.dumps(body), encoding="utf-8")
    signing.make_key(folder / "etc" / "dump-gate.pem")
    (folder / "view").mkdir()
    (folder / "pattern").touch()
    shutil.copy(UNIT, folder)


class Nested:
    """A systemd that runs the unit. What the unit writes to core_pattern goes to the file `pattern`: the
    kernel takes a socket from the first mount namespace only, so the test passes it on.
    """

    def __init__(self, folder: Path, groups: list[Path]) -> None:
        self.pattern = folder / "pattern"
        names = {
            "WORK": str(folder),
            "UNIT": UNIT.name,
            "BASE": sys.base_prefix,
            "SITE": sysconfig.get_path("purelib"),
            "SOURCE": str(Path(sealwright_dumps.__file__).parents[1]),
            "PYTHON": f"python{sys.version_info.major}.{sys.version_info.minor}",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        enter = "".join(f"echo $$ > {group}/cgroup.procs; " for group in groups)
        shut = "unshare --mount --pid --fork --uts --ipc --cgroup --kill-child"
        script = f"set -e; {enter} exec {shut} sh {Path(__file__).with_name('nested.sh')}"
        with (folder / "said").open("wb") as said:
            self.process = subprocess.Popen(["/bin/sh", "-c", script], env=names, stdout=said, stderr=said)
        self._said = folder / "said"

    def told(self) -> str:
        """What everybody said, for a failure."""
        said = [self._said.read_text(errors="replace"), self.pattern.read_text()]
        said += [path.read_text() for path in RUN.glob("said")]
        if self.process.poll() is None:
            said.append(self.inside("systemctl", "status", "--no-pager", "--full", UNIT.name).stdout)
        return "\n".join(said)

    def pid(self) -> int:
        """Of its first process, in our numbers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", f"--target={self.pid()}", "--mount", "--pid", "--root", "--wd=/"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, check=False)

    def shown(self, *names: str) -> list[str]:
        """Properties of the unit, in systemd's order."""
        asked = [f"--property={name}" for name in names]
        return self.inside("systemctl", "show", "--value", *asked, UNIT.name).stdout.split()

    def crash(self) -> None:
        """One process inside, which dies with a core. nsenter would die of the same signal, outside."""
        self.inside(
            "sh", "-c", f"LD_LIBRARY_PATH=/opt/gate-base/lib /opt/gate/bin/python -I -c '{CRASH}'; true"
        )

    def end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def nested(tmp_path: Path, core_pattern: Path) -> Iterator[Nested]:
    require_possible()
    require_socket(core_pattern)
    prepared(tmp_path)
    RUN.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", str(RUN)], check=True)
    try:
        with own_cgroups() as groups:
            systemd = Nested(tmp_path, groups)
            try:
                yield systemd
            finally:
                systemd.end()
    finally:
        subprocess.run(["umount", "--lazy", str(RUN)], check=True)
        RUN.rmdir()


def states() -> list[tuple[str, str, str]]:
    found = []
    for path in sorted(RUN.glob("spool/records/*.json")):
        body = json.loads(path.read_text(encoding="utf-8"))
        found.append((body["state"], body["origin"]["route"], body["reason"]))
    return found


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_unit_takes_crashes_restarts_and_leaves_none_when_stopped(
    nested: Nested, core_pattern: Path
) -> None:
    socket = f"@@{RUN}/core.sock"
    until(lambda: nested.pattern.read_text().strip() == socket, nested.told)
    core_pattern.write_text(nested.pattern.read_text(), encoding="ascii")
    nested.crash()
    until(lambda: states() == [("redacted", "socket", "")], lambda: f"{states()} {nested.told()}")
    assert list(RUN.glob("spool/quarantine/*")) == []
    steps = nested.inside("cat", "/var/lib/sealwright-dumps/ledger.jsonl").stdout.splitlines()
    assert [json.loads(line)["step"] for line in steps] == ["quarantined", "redacted"]

    nested.inside("kill", "-KILL", *nested.shown("MainPID"))
    until(lambda: nested.shown("NRestarts", "ActiveState") in (["1", "active"], ["active", "1"]), nested.told)
    until(lambda: nested.pattern.read_text().strip() == socket, nested.told)
    nested.crash()
    until(lambda: states() == [("redacted", "socket", "")] * 2, lambda: f"{states()} {nested.told()}")

    assert nested.inside("systemctl", "stop", UNIT.name).returncode == 0, nested.told()
    assert nested.pattern.read_text().strip() == "|/bin/false"
