from __future__ import annotations

import io
import json
import os
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sealwright_dumps.cli.main import main
from sealwright_dumps.corpus import build
from sealwright_dumps.corpus.build import Site
from sealwright_dumps.corpus.keys import Keys
from sealwright_dumps.drill.sandbox import Sandbox, small_core
from sealwright_dumps.errors import DumpsError, Misconfigured, Refused
from sealwright_dumps.gate import ledger, policy, signing
from sealwright_dumps.gate.authority import AuthorityLedger
from sealwright_dumps.gate.model import Approval, Origin, State
from sealwright_dumps.gate.spool import Spool, file_system_of
from sealwright_dumps.gate.verify import require_released

PROGRAM = "/usr/bin/signer"


def code_of(call: Any) -> str:
    with pytest.raises(DumpsError) as caught:
        call()
    return caught.value.code


def test_a_dump_with_keys_goes_the_whole_way_and_is_clean(place: Sandbox, site: Site, keys: Keys) -> None:
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
    assert place.steps.steps == [
        "quarantined",
        "redacted",
        "approved",
        "withheld",
        "approved",
        "releasing",
        "released",
    ]


def test_one_person_cannot_be_two(place: Sandbox) -> None:
    name = place.redacted(small_core(), PROGRAM)
    assert place.approve(name, place.people[0]) == 1
    assert place.approve(name, place.people[0]) == 1
    assert code_of(lambda: place.gate.release(name)) == "not-approved"


def test_a_stranger_or_a_signature_over_another_dump_is_refused(place: Sandbox) -> None:
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


def test_a_released_file_verifies_and_a_changed_one_does_not(place: Sandbox) -> None:
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


def test_a_program_whose_dumps_are_not_taken_leaves_only_a_leaf(place: Sandbox) -> None:
    origin = Origin("pipe", "/opt/vault-agent")
    assert code_of(lambda: place.gate.take_in(io.BytesIO(small_core()).read, origin)) == "not-accepted"
    assert place.steps.steps == ["rejected"]
    assert list(place.gate.spool.records()) == []


@pytest.mark.parametrize("data", [b"not a dump" * 100, small_core()[:700], b"\x7fELF" + bytes(5000)])
def test_what_cannot_be_redacted_is_refused_and_stays_in_quarantine(place: Sandbox, data: bytes) -> None:
    record = place.gate.take_in(io.BytesIO(data).read, Origin("pipe", "/usr/bin/other"))
    done = place.gate.process(record.name)
    assert done.state is State.REFUSED
    assert done.reason
    kept = place.gate.spool.quarantined(record.name)
    assert kept.read_bytes() == data
    assert kept.stat().st_mode & 0o777 == 0o600
    assert datetime.fromisoformat(done.kept_until) > place.gate.now()
    assert place.steps.steps == ["quarantined", "refused"]
    assert code_of(lambda: place.gate.release(record.name)) == "wrong-state"


def test_nothing_and_too_much_are_refused(place: Sandbox) -> None:
    origin = Origin("pipe", "/usr/bin/other")
    assert code_of(lambda: place.gate.take_in(io.BytesIO(b"").read, origin)) == "scanned-nothing"

    def endless(size: int) -> bytes:
        return bytes(size)

    assert code_of(lambda: place.gate.take_in(endless, origin)) == "too-large"
    assert list(place.gate.spool.quarantined("x").parent.iterdir()) == []


def test_without_a_ledger_nothing_happens(place: Sandbox) -> None:
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


def test_a_symlink_a_hard_link_and_a_pipe_are_not_taken_in(place: Sandbox, tmp_path: Path) -> None:
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
    place: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_a_dump_replaced_in_quarantine_is_refused(place: Sandbox) -> None:
    record = place.gate.take_in(io.BytesIO(small_core()).read, Origin("pipe", "/usr/bin/other"))
    path = place.gate.spool.quarantined(record.name)
    path.unlink()
    path.write_bytes(small_core())
    assert place.gate.process(record.name).reason == "changed-in-quarantine"


def test_a_redacted_copy_replaced_before_release_is_refused(place: Sandbox) -> None:
    name = place.redacted(small_core())
    place.approve(name, place.people[0])
    path = place.gate.spool.redacted(name)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert code_of(lambda: place.gate.release(name)) == "output-changed"
    assert list(place.gate.outside.iterdir()) == []


def test_a_manifest_replaced_before_release_is_refused(place: Sandbox) -> None:
    name = place.redacted(small_core())
    place.approve(name, place.people[0])
    path = place.gate.spool.manifest(name)
    body = json.loads(path.read_text())
    body["output"]["sha256"] = "0" * 64
    path.write_text(json.dumps(body))
    assert code_of(lambda: place.gate.release(name)) == "manifest-changed"


def test_an_old_dump_and_another_policy_are_refused(place: Sandbox) -> None:
    name = place.redacted(small_core())
    place.approve(name, place.people[0])
    late = replace(place.gate, now=lambda: datetime.now(UTC) + timedelta(hours=2))  # noqa: TID251  # a later clock
    assert code_of(lambda: late.release(name)) == "too-old"
    other = replace(place.gate, policy=replace(place.gate.policy, sha256="0" * 64))
    assert code_of(lambda: other.release(name)) == "policy-changed"


def test_an_outside_folder_that_others_can_write_is_a_misconfiguration(place: Sandbox) -> None:
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


def test_two_dumps_at_once_do_not_mix(place: Sandbox) -> None:
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(place.redacted(small_core()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 3
    assert all(place.gate.spool.get(name).state is State.REDACTED for name in names)


@pytest.mark.parametrize("name", ["../x", "", "a" * 31, "A" * 32, "0" * 31 + "/"])
def test_a_name_that_is_not_ours_is_refused(place: Sandbox, name: str) -> None:
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
    assert len(ledger.require_unbroken(tmp_path / "log")) == 4
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    for broken in ([lines[0], lines[2], lines[3]], [lines[0], lines[1].replace(b'"b"', b'"B"'), *lines[2:]]):
        (tmp_path / "log").write_bytes(b"".join(broken))
        with pytest.raises(Refused):
            ledger.require_unbroken(tmp_path / "log")


def test_the_commands_do_the_same(place: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert "6 steps" in capsys.readouterr().out.splitlines()[-1]


def test_a_step_that_the_authority_does_not_enter_is_not_taken(place: Sandbox) -> None:
    silent = AuthorityLedger(place.gate.spool.root / "no.sock", place.steps)
    gate = replace(place.gate, ledger=silent)
    assert code_of(lambda: gate.take_in(io.BytesIO(small_core()).read, Origin("pipe", PROGRAM))) == (
        "authority-silent"
    )
    assert list(gate.spool.records()) == []
    assert place.steps.steps == []
