"""The gate's ledger is true: nothing leaves without a line, and no line tells of what did not leave."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sealwright_dumps.cli.main import main
from sealwright_dumps.drill.sandbox import Sandbox, small_core
from sealwright_dumps.errors import DumpsError, Unavailable
from sealwright_dumps.gate import service
from sealwright_dumps.gate.coredump import receive
from sealwright_dumps.gate.ledger import FileLedger, require_unbroken
from sealwright_dumps.gate.model import Origin, State
from sealwright_dumps.redact.snapshot import write_all

OTHER = Origin("pipe", "/usr/bin/other")


@pytest.fixture
def chained(place: Sandbox) -> Sandbox:
    """A gate whose ledger is its file, as the commands have it."""
    return replace(place, gate=replace(place.gate, ledger=FileLedger(chain_of(place))))


def chain_of(place: Sandbox) -> Path:
    return place.gate.spool.root / "ledger.jsonl"


def steps(place: Sandbox) -> list[str]:
    return [str(step["step"]) for step in require_unbroken(chain_of(place))]


def code_of(call: Any) -> str:
    with pytest.raises(DumpsError) as caught:
        call()
    return caught.value.code


def ready(place: Sandbox) -> str:
    name = place.redacted(small_core(b""))
    place.approve(name, place.people[0])
    return name


class Full:
    """An outside folder with no room left."""

    def __init__(self) -> None:
        self.full = True
        self._real = write_all

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._real(descriptor, data, offset)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Full:
    disk = Full()
    monkeypatch.setattr(service, "write_all", disk.write)
    return disk


def test_a_release_onto_a_full_disk_is_told_as_withheld_and_can_be_tried_again(
    chained: Sandbox, disk: Full, capsys: pytest.CaptureFixture[str]
) -> None:
    name = ready(chained)
    assert main(["gate", "release", *chained.options, name]) == 5
    assert capsys.readouterr().err.startswith("sealwright-dumps: outside-unwritable: ")
    assert list(chained.gate.outside.iterdir()) == []
    assert steps(chained)[-2:] == ["releasing", "withheld"]
    disk.full = False
    assert main(["gate", "release", *chained.options, name]) == 0
    assert steps(chained)[-2:] == ["releasing", "released"]
    assert steps(chained).count("released") == 1


def test_of_two_releases_at_once_one_is_told(chained: Sandbox) -> None:
    name = ready(chained)
    codes: list[str] = []

    def release() -> None:
        try:
            chained.gate.release(name)
        except DumpsError as error:
            codes.append(error.code)

    threads = [threading.Thread(target=release) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == ["wrong-state"]
    assert steps(chained).count("released") == 1


class Cut(BaseException):
    """The gate ends here, as by a kill: nothing catches it."""


class CutLedger:
    """A ledger before whose `at` step the gate is killed."""

    def __init__(self, real: FileLedger, at: str) -> None:
        self._real, self._at = real, at

    def append(self, step: str, fields: Mapping[str, Any]) -> None:
        if step == self._at:
            raise Cut
        self._real.append(step, fields)

    def last_step(self, name: str) -> str:
        return self._real.last_step(name)


@pytest.mark.parametrize(("at", "end"), [("releasing", "withheld"), ("released", "released")])
def test_a_release_that_was_cut_off_is_settled_by_the_next_command(
    chained: Sandbox, at: str, end: str
) -> None:
    name = ready(chained)
    cut = replace(chained.gate, ledger=CutLedger(FileLedger(chain_of(chained)), at))
    with pytest.raises(Cut):
        cut.release(name)
    assert "released" not in steps(chained)
    assert main(["gate", "check", *chained.options]) == 0
    assert main(["gate", "process", *chained.options]) == 0
    assert steps(chained)[-1] == end
    settled = chained.gate.spool.get(name).state
    assert settled is (State.RELEASED if end == "released" else State.REDACTED)
    if settled is State.REDACTED:
        chained.gate.release(name)
    assert steps(chained).count("released") == 1
    assert main(["gate", "check", *chained.options]) == 0


def test_a_cut_off_release_is_not_taken_for_done_by_what_someone_else_put_there(chained: Sandbox) -> None:
    name = ready(chained)
    cut = replace(chained.gate, ledger=CutLedger(FileLedger(chain_of(chained)), "released"))
    with pytest.raises(Cut):
        cut.release(name)
    (chained.gate.outside / f"{name}.dump").write_bytes(small_core())
    assert code_of(lambda: chained.gate.release(name)) == "output-exists"
    assert "released" not in steps(chained)


def test_a_ledger_that_fails_after_the_copy_leaves_the_release_open_until_it_works(chained: Sandbox) -> None:
    class Silent(CutLedger):
        def append(self, step: str, fields: Mapping[str, Any]) -> None:
            if step == self._at:
                raise Unavailable("authority-silent", "nobody answers")
            super().append(step, fields)

    name = ready(chained)
    gate = replace(chained.gate, ledger=Silent(FileLedger(chain_of(chained)), "released"))
    assert code_of(lambda: gate.release(name)) == "authority-silent"
    assert steps(chained)[-1] == "releasing"
    assert chained.gate.release(name).exists()
    assert steps(chained)[-1] == "released"


@pytest.mark.parametrize("kind", ["symlink", "pipe", "absent", "second name", "empty", "sparse"])
def test_every_file_that_is_refused_at_the_door_leaves_a_line(
    chained: Sandbox, tmp_path: Path, kind: str
) -> None:
    real, path = tmp_path / "real", tmp_path / "path"
    real.write_bytes(small_core())
    if kind == "symlink":
        path.symlink_to(real)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "second name":
        path.hardlink_to(real)
    elif kind in ("empty", "sparse"):
        path.touch()
        os.truncate(path, 1 << 40 if kind == "sparse" else 0)
    code = code_of(lambda: chained.gate.take_in_file(path, "/usr/bin/other"))
    [step] = require_unbroken(chain_of(chained))
    assert (step["step"], step["reason"], step["route"]) == ("rejected", code, "file")
    assert step["program"] == "/usr/bin/other"


def test_a_program_with_a_name_that_is_no_text_is_written_down(chained: Sandbox) -> None:
    origin = Origin("pipe", os.fsdecode(b"/opt/\xff/vault" + b"x" * 5000))
    assert code_of(lambda: chained.gate.take_in(io.BytesIO(b"x").read, origin)) == "not-accepted"
    [step] = require_unbroken(chain_of(chained))
    assert step["program"].startswith("/opt/\\udcff/vaultx")
    assert len(step["program"]) == 256


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.enable_socket
def test_a_peer_that_asks_wrongly_or_goes_away_leaves_a_line(
    chained: Sandbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    theirs.shutdown(socket.SHUT_WR)
    code = code_of(lambda: receive(chained.gate, ours))
    [step] = require_unbroken(chain_of(chained))
    assert (step["step"], step["reason"], step["route"]) == ("rejected", code, "socket")


def test_nothing_is_taken_in_on_a_broken_chain(chained: Sandbox) -> None:
    for _ in range(3):
        chained.gate.take_in(io.BytesIO(small_core()).read, OTHER)
    lines = chain_of(chained).read_bytes().splitlines(keepends=True)
    before = chained.gate.spool.in_quarantine()
    for broken in (
        [lines[0], lines[1].replace(b"other", b"ether"), lines[2]],
        [b'{"index":0}\n'],
        [b"[" * 100_000 + b"\n"],
        [b"[]\n"],
        [*lines, b'{"half":'],
        [],
    ):
        chain_of(chained).write_bytes(b"".join(broken))
        assert code_of(lambda: chained.gate.take_in(io.BytesIO(b"x").read, OTHER)) == "ledger-damaged"
        assert chain_of(chained).read_bytes() == b"".join(broken)
        fresh = replace(chained.gate, ledger=FileLedger(chain_of(chained)))
        if broken:
            assert (
                code_of(lambda fresh=fresh: fresh.take_in(io.BytesIO(b"x").read, OTHER)) == "ledger-damaged"
            )
    assert chained.gate.spool.in_quarantine() == before


def test_a_chain_that_others_continued_is_continued(chained: Sandbox) -> None:
    for _ in range(2):
        for log in (chained.gate.ledger, FileLedger(chain_of(chained))):
            log.append("rejected", {})
    assert len(require_unbroken(chain_of(chained))) == 4


def test_a_fresh_spool_checks(place: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "check", *place.options]) == 0
    assert capsys.readouterr().out.startswith("0 steps")


@pytest.mark.parametrize("gone", range(1, 6))
def test_lines_cut_off_the_end_of_the_ledger_show(
    chained: Sandbox, gone: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chained.gate.release(ready(chained))
    assert main(["gate", "check", *chained.options]) == 0
    lines = chain_of(chained).read_bytes().splitlines(keepends=True)
    assert len(lines) == 5
    chain_of(chained).write_bytes(b"".join(lines[:-gone]))
    capsys.readouterr()
    assert main(["gate", "check", *chained.options]) == 4
    assert "ledger-incomplete" in capsys.readouterr().err


def test_an_approval_or_a_file_outside_without_a_line_shows(chained: Sandbox) -> None:
    name = ready(chained)
    whole = chain_of(chained).read_bytes()
    chain_of(chained).write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    assert main(["gate", "check", *chained.options]) == 4
    chain_of(chained).write_bytes(whole)
    assert main(["gate", "check", *chained.options]) == 0
    (chained.gate.outside / f"{name}.dump").write_bytes(b"smuggled")
    assert main(["gate", "check", *chained.options]) == 4


def test_a_refused_dump_can_be_tried_again_or_destroyed(
    chained: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object) -> None:
        raise Unavailable("no-room", "no room")

    with monkeypatch.context() as patched:
        patched.setattr(service, "redact_snapshot", broken)
        names = [chained.redacted(small_core(b"")) for _ in range(2)]
    assert [chained.gate.spool.get(name).state for name in names] == [State.REFUSED] * 2
    assert main(["gate", "process", *chained.options]) == 0
    assert chained.gate.spool.in_quarantine() == sorted(names)
    assert main(["gate", "process", *chained.options, f"--again={names[0]}"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["state"] == "redacted"
    assert main(["gate", "drop", *chained.options, names[1]]) == 0
    assert chained.gate.spool.in_quarantine() == []
    assert steps(chained)[-2:] == ["redacted", "dropped"]
    assert main(["gate", "process", *chained.options, f"--again={names[1]}"]) == 4
    assert main(["gate", "drop", *chained.options, names[0]]) == 4


def test_a_refused_dump_is_destroyed_when_its_time_is_over_or_the_room_is_needed(chained: Sandbox) -> None:
    gate = replace(
        chained.gate, policy=replace(chained.gate.policy, keep_refused=60, keep_refused_bytes=1500)
    )
    names = [
        gate.process(gate.take_in(io.BytesIO(bytes([n]) * 600).read, OTHER).name).name for n in (1, 2, 3)
    ]
    assert gate.spool.in_quarantine() == sorted(names[1:])
    assert steps(chained)[-1] == "dropped"
    assert gate.spool.get(names[0]).kept_until == ""
    later = replace(gate, now=lambda: chained.gate.now() + timedelta(seconds=61))
    later.recover()
    assert gate.spool.in_quarantine() == []
    assert steps(chained).count("dropped") == 3


def test_a_policy_can_have_refused_dumps_destroyed_at_once(chained: Sandbox) -> None:
    gate = replace(chained.gate, policy=replace(chained.gate.policy, keep_refused=0))
    record = gate.process(gate.take_in(io.BytesIO(b"no dump").read, OTHER).name)
    assert (record.state, record.kept_until) == (State.REFUSED, "")
    assert gate.spool.in_quarantine() == []
    assert require_unbroken(chain_of(chained))[-1]["kept_until"] == ""
