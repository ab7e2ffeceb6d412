from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sealwright_dumps.cli.main import main
from sealwright_dumps.corpus import build, containers
from sealwright_dumps.corpus.build import Site
from sealwright_dumps.corpus.keys import Keys
from sealwright_dumps.errors import DumpsError, Misconfigured, Refused, Unavailable
from sealwright_dumps.gate import ledger, policy, signing
from sealwright_dumps.gate.coredump import Listener
from sealwright_dumps.gate.model import Approval, Origin, State
from sealwright_dumps.gate.service import Gate
from sealwright_dumps.gate.spool import Spool, file_system_of
from sealwright_dumps.gate.verify import require_released

PROGRAM = "/usr/bin/signer"


@dataclass
class Steps:
    """A ledger that keeps steps in memory, and can fail."""

    steps: list[str] = field(default_factory=list)
    broken: bool = False

    def append(self, step: str, fields: Mapping[str, Any]) -> None:
        if self.broken:
            raise Unavailable("ledger-unwritable", "no room")
        assert "name" in fields or step == "rejected"
        self.steps.append(step)


@dataclass
class Person:
    name: str
    file: Path
    public: str


@dataclass
class Place:
    """A gate in a temporary folder, with two people."""

    gate: Gate
    steps: Steps
    people: list[Person]
    options: list[str]

    def approve(self, name: str, person: Person) -> int:
        digest = self.gate.spool.get(name).manifest_sha256
        signature = signing.sign_approval(signing.load_key(person.file), digest)
        return self.gate.approve(name, Approval(person.name, digest, signature))

    def redacted(self, data: bytes, program: str = "/usr/bin/other") -> str:
        record = self.gate.take_in(io.BytesIO(data).read, Origin("pipe", program))
        return self.gate.process(record.name).name


@pytest.fixture
def place() -> Iterator[Place]:
    root = Path(tempfile.mkdtemp())
    people = []
    for name in ("alice", "bob"):
        file = root / f"{name}.pem"
        people.append(Person(name, file, signing.make_key(file)))
    body = {
        "format": policy.FORMAT,
        "classes": [
            {"name": "never", "programs": ["*/vault*"], "accept": False, "approvals": 1},
            {"name": "signer", "programs": ["*/signer"], "accept": True, "approvals": 2},
            {"name": "other", "programs": ["*"], "accept": True, "approvals": 1},
        ],
        "approvers": {person.name: person.public for person in people},
        "largest_bytes": 1 << 26,
        "oldest_seconds": 3600,
        "spool_on_disk": True,
    }
    (root / "policy.json").write_text(json.dumps(body))
    signing.make_key(root / "gate.pem")
    (root / "outside").mkdir(mode=0o700)
    steps = Steps()
    (root / "spool").mkdir(mode=0o700)
    gate = Gate(
        Spool(root / "spool", on_disk=True),
        policy.load(root / "policy.json"),
        steps,
        signing.load_key(root / "gate.pem"),
        root / "outside",
        workers=1,
    )
    options = [f"--spool={root}/spool", f"--policy={root}/policy.json", f"--outside={root}/outside"]
    yield Place(gate, steps, people, [*options, f"--gate-key={root}/gate.pem", "--workers=1"])
    shutil.rmtree(root)


def small_core() -> bytes:
    general = [0] * 27
    general[16], general[19] = 0x400123, 0x7FFC00000100
    notes = containers.note(1, containers.status(general))
    secret = os.urandom(4096)
    return containers.elf_core([containers.Region(0x7FFC00000000, secret * 2)], notes)


def code_of(call: Any) -> str:
    with pytest.raises(DumpsError) as caught:
        call()
    return caught.value.code


def test_a_dump_with_keys_goes_the_whole_way_and_is_clean(place: Place, site: Site, keys: Keys) -> None:
    planted = build.core(site, keys)
    record = place.gate.take_in(io.BytesIO(planted.data).read, Origin("pipe", PROGRAM))
    assert record.state is State.QUARANTINED
    assert place.gate.process(record.name).state is State.REDACTED
    assert not place.gate.spool.quarantined(record.name).exists()
    assert place.approve(record.name, place.people[0]) == 1
    assert code_of(lambda: place.gate.release(record.name)) == "not-approved"
    assert place.approve(record.name, place.people[1]) == 2
    released = place.gate.release(record.name)
    scalar = site.keys.ec.private_numbers().private_value.to_bytes(32, "little")
    assert scalar not in released.read_bytes()
    assert place.steps.steps == ["quarantined", "redacted", "approved", "approved", "released"]


def test_one_person_cannot_be_two(place: Place) -> None:
    name = place.redacted(small_core(), PROGRAM)
    assert place.approve(name, place.people[0]) == 1
    assert place.approve(name, place.people[0]) == 1
    assert code_of(lambda: place.gate.release(name)) == "not-approved"


def test_a_stranger_or_a_signature_over_another_dump_is_refused(place: Place) -> None:
    first, second = place.redacted(small_core()), place.redacted(small_core())
    alice = place.people[0]
    other = place.gate.spool.get(second).manifest_sha256
    key = signing.load_key(alice.file)
    approval = Approval("alice", other, signing.sign_approval(key, other))
    assert code_of(lambda: place.gate.approve(first, approval)) == "approval-of-another"
    assert (
        code_of(lambda: place.gate.approve(second, replace(approval, approver="mallory")))
        == "unknown-approver"
    )
    assert (
        code_of(lambda: place.gate.approve(second, replace(approval, approver="bob"))) == "approval-signature"
    )


def test_a_released_file_verifies_and_a_changed_one_does_not(place: Place) -> None:
    name = place.redacted(small_core())
    place.approve(name, place.people[0])
    released = place.gate.release(name)
    manifest = released.with_suffix(".manifest.json")
    gate_key = signing.public_text(place.gate.key)
    alice = {"alice": place.people[0].public}
    assert require_released(released, manifest, gate_key, alice)["name"] == name
    assert (
        code_of(lambda: require_released(released, manifest, place.people[1].public, {}))
        == "manifest-signature"
    )
    bob = {"bob": place.people[1].public}
    assert code_of(lambda: require_released(released, manifest, gate_key, bob)) == "approval-signature"
    body = json.loads(manifest.read_text())
    body["manifest"]["kept_bytes"] = {}
    manifest.with_name("forged").write_text(json.dumps(body))
    forged = manifest.with_name("forged")
    assert code_of(lambda: require_released(released, forged, gate_key, {})) == "manifest-signature"
    with released.open("r+b") as file:
        file.seek(200)
        file.write(b"\x01")
    assert code_of(lambda: require_released(released, manifest, gate_key, {})) == "file-changed"


def test_a_program_whose_dumps_are_not_taken_leaves_only_a_leaf(place: Place) -> None:
    origin = Origin("pipe", "/opt/vault-agent")
    assert code_of(lambda: place.gate.take_in(io.BytesIO(small_core()).read, origin)) == "not-accepted"
    assert place.steps.steps == ["rejected"]
    assert list(place.gate.spool.records()) == []


@pytest.mark.parametrize("data", [b"not a dump" * 100, small_core()[:700], b"\x7fELF" + bytes(5000)])
def test_what_cannot_be_redacted_is_refused_and_gone(place: Place, data: bytes) -> None:
    record = place.gate.take_in(io.BytesIO(data).read, Origin("pipe", "/usr/bin/other"))
    done = place.gate.process(record.name)
    assert done.state is State.REFUSED
    assert done.reason
    assert not place.gate.spool.quarantined(record.name).exists()
    assert place.steps.steps == ["quarantined", "refused"]
    assert code_of(lambda: place.gate.release(record.name)) == "wrong-state"


def test_nothing_and_too_much_are_refused(place: Place) -> None:
    origin = Origin("pipe", "/usr/bin/other")
    assert code_of(lambda: place.gate.take_in(io.BytesIO(b"").read, origin)) == "scanned-nothing"

    def endless(size: int) -> bytes:
        return bytes(size)

    assert code_of(lambda: place.gate.take_in(endless, origin)) == "too-large"
    assert list(place.gate.spool.quarantined("x").parent.iterdir()) == []


def test_without_a_ledger_nothing_happens(place: Place) -> None:
    place.steps.broken = True
    origin = Origin("pipe", "/usr/bin/other")
    assert code_of(lambda: place.gate.take_in(io.BytesIO(small_core()).read, origin)) == "ledger-unwritable"
    assert list(place.gate.spool.quarantined("x").parent.iterdir()) == []
    place.steps.broken = False
    name = place.redacted(small_core())
    place.approve(name, place.people[0])
    place.steps.broken = True
    assert code_of(lambda: place.gate.release(name)) == "ledger-unwritable"
    assert list(place.gate.outside.iterdir()) == []


def test_a_symlink_a_hard_link_and_a_pipe_are_not_taken_in(place: Place, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_bytes(small_core())
    (tmp_path / "symlink").symlink_to(real)
    os.mkfifo(tmp_path / "pipe")
    for name in ("symlink", "pipe", "absent"):
        assert (
            code_of(lambda name=name: place.gate.take_in_file(tmp_path / name, "/usr/bin/other"))
            == "not-a-dump"
        )
    os.link(real, tmp_path / "second")
    assert code_of(lambda: place.gate.take_in_file(real, "/usr/bin/other")) == "not-a-dump"


def test_a_file_that_grows_while_it_is_taken_in_is_refused(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "real"
    real.write_bytes(small_core())
    original = Spool.take

    def take(self: Spool, read: Any, largest: int) -> tuple[str, int, str]:
        done = original(self, read, largest)
        with real.open("ab") as file:
            file.write(b"more")
        return done

    monkeypatch.setattr(Spool, "take", take)
    assert code_of(lambda: place.gate.take_in_file(real, "/usr/bin/other")) == "changed-while-read"
    assert [record.state for record in place.gate.spool.records()] == [State.REFUSED]


def test_a_dump_replaced_in_quarantine_is_refused(place: Place) -> None:
    record = place.gate.take_in(io.BytesIO(small_core()).read, Origin("pipe", "/usr/bin/other"))
    path = place.gate.spool.quarantined(record.name)
    path.unlink()
    path.write_bytes(small_core())
    assert place.gate.process(record.name).reason == "changed-in-quarantine"


def test_a_redacted_copy_replaced_before_release_is_refused(place: Place) -> None:
    name = place.redacted(small_core())
    place.approve(name, place.people[0])
    path = place.gate.spool.redacted(name)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert code_of(lambda: place.gate.release(name)) == "output-changed"
    assert list(place.gate.outside.iterdir()) == []


def test_a_manifest_replaced_before_release_is_refused(place: Place) -> None:
    name = place.redacted(small_core())
    place.approve(name, place.people[0])
    path = place.gate.spool.manifest(name)
    body = json.loads(path.read_text())
    body["output"]["sha256"] = "0" * 64
    path.write_text(json.dumps(body))
    assert code_of(lambda: place.gate.release(name)) == "manifest-changed"


def test_an_old_dump_and_another_policy_are_refused(place: Place) -> None:
    name = place.redacted(small_core())
    place.approve(name, place.people[0])
    late = replace(place.gate, now=lambda: datetime.now(UTC) + timedelta(hours=2))  # noqa: TID251  # a later clock
    assert code_of(lambda: late.release(name)) == "too-old"
    other = replace(place.gate, policy=replace(place.gate.policy, sha256="0" * 64))
    assert code_of(lambda: other.release(name)) == "policy-changed"


def test_an_outside_folder_that_others_can_write_is_a_misconfiguration(place: Place) -> None:
    name = place.redacted(small_core())
    place.approve(name, place.people[0])
    place.gate.outside.chmod(0o777)
    with pytest.raises(Misconfigured):
        place.gate.release(name)


def test_a_spool_on_a_disk_needs_the_policys_word(tmp_path: Path) -> None:
    if file_system_of(tmp_path) in ("tmpfs", "ramfs"):
        pytest.skip("the temporary folder of this machine is on tmpfs")
    tmp_path.chmod(0o700)
    with pytest.raises(Misconfigured):
        Spool(tmp_path, on_disk=False)


def test_two_dumps_at_once_do_not_mix(place: Place) -> None:
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(place.redacted(small_core()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 3
    assert all(place.gate.spool.get(name).state is State.REDACTED for name in names)


@pytest.mark.parametrize("name", ["../x", "", "a" * 31, "A" * 32, "0" * 31 + "/"])
def test_a_name_that_is_not_ours_is_refused(place: Place, name: str) -> None:
    assert code_of(lambda: place.gate.spool.get(name)) == "unknown-dump"


@pytest.mark.parametrize(
    "change",
    [
        {"classes": []},
        {"classes": [{"name": "x", "programs": ["*"], "accept": True, "approvals": 0}]},
        {"format": "other"},
        {"surprise": 1},
        {"largest_bytes": 0},
    ],
)
def test_a_policy_that_is_too_open_or_unknown_is_a_misconfiguration(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    body: dict[str, Any] = {
        "format": policy.FORMAT,
        "classes": [{"name": "x", "programs": ["*"], "accept": True, "approvals": 1}],
        "approvers": {},
        "largest_bytes": 1,
        "oldest_seconds": 1,
    }
    (tmp_path / "policy").write_text(json.dumps(body | change))
    with pytest.raises(Misconfigured):
        policy.load(tmp_path / "policy")


def test_a_step_taken_out_of_the_ledger_shows(tmp_path: Path) -> None:
    log = ledger.FileLedger(tmp_path / "log")
    for step in ("a", "b", "c", "d"):
        log.append(step, {"name": "x"})
    assert ledger.require_unbroken(tmp_path / "log") == 4
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    for broken in ([lines[0], lines[2], lines[3]], [lines[0], lines[1].replace(b'"b"', b'"B"'), *lines[2:]]):
        (tmp_path / "log").write_bytes(b"".join(broken))
        with pytest.raises(Refused):
            ledger.require_unbroken(tmp_path / "log")


def test_the_commands_do_the_same(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "core").write_bytes(small_core())
    assert main(["gate", "intake", *place.options, "--program=/usr/bin/other", str(tmp_path / "core")]) == 0
    name = json.loads(capsys.readouterr().out)["name"]
    person = place.people[0]
    assert main(["gate", "release", *place.options, name]) == 4
    assert main(["gate", "approve", *place.options, name, "--as=alice", f"--person-key={person.file}"]) == 0
    assert main(["gate", "release", *place.options, name]) == 0
    path = capsys.readouterr().out.splitlines()[-1]
    key = f"--gate-public-key={signing.public_text(place.gate.key)}"
    assert main(["verify", path, key, f"--approver=alice={person.public}"]) == 0
    assert main(["gate", "check", *place.options]) == 0
    assert "4 steps" in capsys.readouterr().out.splitlines()[-1]


CRASH = "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()"


@pytest.fixture
def core_pattern() -> Iterator[Path]:
    """The machine's core_pattern, put back afterwards. It is global, so tests that change it take a lock."""
    pattern = Path("/proc/sys/kernel/core_pattern")
    if os.geteuid() != 0 or not os.access(pattern, os.W_OK):
        pytest.skip("needs root to change core_pattern")
    with Path(tempfile.gettempdir(), "core_pattern.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = pattern.read_text(encoding="ascii")
        yield pattern
        pattern.write_text(before, encoding="ascii")


@pytest.mark.root
@pytest.mark.slow
def test_the_kernel_asks_the_gate_before_it_writes_a_core(place: Place, core_pattern: Path) -> None:
    socket_path = place.gate.spool.root / "core.sock"
    listener = Listener(place.gate, socket_path)
    try:
        core_pattern.write_text(f"@@{socket_path}", encoding="ascii")
    except OSError:
        pytest.skip("this kernel has no coredump socket protocol (it came with 6.17)")
    threading.Thread(target=listener.serve_one, daemon=True).start()
    subprocess.run([sys.executable, "-c", CRASH], check=False, stderr=subprocess.DEVNULL)
    listener.settle()
    records = list(place.gate.spool.records())
    assert [(r.state, r.origin.route, r.reason) for r in records] == [(State.REDACTED, "socket", "")], (
        listener.refusals
    )
    assert records[0].origin.program == os.path.realpath(sys.executable)
    assert records[0].size > 1 << 20
    listener.close()


@pytest.mark.root
@pytest.mark.slow
def test_the_gate_refuses_before_a_byte_is_written(place: Place, core_pattern: Path) -> None:
    never = policy.Class("never", ("*",), accept=False, approvals=1)
    gate = replace(place.gate, policy=replace(place.gate.policy, classes=(never,)))
    socket_path = gate.spool.root / "core.sock"
    listener = Listener(gate, socket_path)
    try:
        core_pattern.write_text(f"@@{socket_path}", encoding="ascii")
    except OSError:
        pytest.skip("this kernel has no coredump socket protocol (it came with 6.17)")
    threading.Thread(target=listener.serve_one, daemon=True).start()
    subprocess.run([sys.executable, "-c", CRASH], check=False, stderr=subprocess.DEVNULL)
    listener.settle()
    assert list(gate.spool.records()) == []
    assert place.steps.steps == ["rejected"]
    assert "not-accepted" in listener.refusals[0]
    listener.close()


@pytest.mark.root
@pytest.mark.slow
def test_the_pipe_handler_takes_a_core_on_older_kernels(
    place: Place, core_pattern: Path, tmp_path: Path
) -> None:
    script = tmp_path / "handler"
    options = " ".join(place.options)
    script.write_text(
        f"#!/bin/sh\nexec {sys.executable} -m sealwright_dumps gate pipe {options} "
        f'--program="$1" >>{tmp_path}/said 2>&1\n'
    )
    script.chmod(0o755)
    core_pattern.write_text(f"|{script} %E", encoding="ascii")
    unlimited = CRASH.replace("(0, 0)", "(-1, -1)")
    subprocess.run([sys.executable, "-c", unlimited], check=False, stderr=subprocess.DEVNULL)
    for _ in range(300):
        records = list(place.gate.spool.records())
        if records and records[0].state is not State.QUARANTINED:
            break
        threading.Event().wait(0.2)
    assert [(r.state, r.origin.route) for r in records] == [(State.REDACTED, "pipe")], (
        tmp_path / "said"
    ).read_text()
