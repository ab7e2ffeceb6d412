"""What comes from the other side or lies where the gate writes costs it nothing and is not destroyed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sealwright_dumps.cli.main import main
from sealwright_dumps.drill.sandbox import Sandbox, small_core
from sealwright_dumps.errors import Misconfigured
from sealwright_dumps.gate import signing
from sealwright_dumps.gate.coredump import Listener
from sealwright_dumps.gate.spool import Spool


def ignore(_text: str) -> None:
    """Nobody listens."""


@pytest.mark.parametrize("kind", ["endless", "large", "nested", "pipe", "list", "text", "absent"])
def test_a_hostile_manifest_is_refused_in_one_line(
    place: Sandbox, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dump, manifest = tmp_path / "x.dump", tmp_path / "x.manifest.json"
    dump.write_bytes(small_core(b""))
    if kind == "endless":
        manifest = Path("/dev/zero")
    elif kind == "large":
        with manifest.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "pipe":
        os.mkfifo(manifest)
    elif kind != "absent":
        deep = '{"signature":"","manifest":' + "[" * 900 + "]" * 900 + "}"
        manifest.write_text({"nested": "[" * 100_000, "list": "[]", "text": deep}[kind])
    key = f"--gate-public-key={signing.public_text(place.gate.key)}"
    assert main(["verify", str(dump), f"--manifest={manifest}", key]) == 4
    said = capsys.readouterr().err
    assert said.startswith("sealwright-dumps: ")
    assert said.count("\n") == 1


def test_a_spool_that_others_may_enter_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(Misconfigured, match="chmod 700"):
        Spool(tmp_path, on_disk=True)
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_is_made_is_the_gates_alone(tmp_path: Path) -> None:
    Spool(tmp_path / "spool", on_disk=True)
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


def test_why_a_key_file_cannot_be_made_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "keygen", str(tmp_path / "absent" / "key")]) == 2
    assert "key-unwritable" in capsys.readouterr().err
    assert main(["gate", "keygen", str(tmp_path / "key")]) == 0
    assert main(["gate", "keygen", str(tmp_path / "key")]) == 2
    assert "key-exists" in capsys.readouterr().err


def test_a_second_gate_is_told_who_serves_the_socket_and_takes_nothing_away(place: Sandbox) -> None:
    path = place.gate.spool.root / "core.sock"
    first = Listener(place.gate, path, ignore)
    served = path.stat().st_ino
    with pytest.raises(Misconfigured, match=f"already-served: .* {os.getpid()} "):
        Listener(place.gate, path, ignore)
    assert path.stat().st_ino == served
    first.close()
    Listener(place.gate, path, ignore).close()  # the socket that is left is nobody's


@pytest.mark.enable_socket
def test_the_socket_of_another_program_is_left_alone(place: Sandbox) -> None:
    path = place.gate.spool.root / "core.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(path))
        other.listen(1)
        with pytest.raises(Misconfigured, match="another program"):
            Listener(place.gate, path, ignore)
    assert path.is_socket()


@pytest.mark.parametrize("kind", ["file", "folder", "link", "broken link"])
def test_what_is_no_socket_is_not_replaced_by_one(
    place: Sandbox, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, real = place.gate.spool.root / "core.sock", place.gate.spool.root / "real"
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("precious")
    else:
        path.symlink_to(real)
        if kind == "link":
            real.write_text("precious")
    assert main(["gate", "serve", *place.options, f"--socket={path}"]) == 2
    assert "socket-taken" in capsys.readouterr().err
    assert not path.is_socket()
    if kind in ("file", "link"):
        assert path.read_text() == "precious"


def test_a_socket_that_cannot_be_made_is_one_line(place: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "serve", *place.options, "--socket=/nonexistent/core.sock"]) == 2
    assert "socket-unusable" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "code"), [("/nonexistent", "folder-absent"), ("/proc", "folder-unwritable")]
)
def test_why_a_copy_cannot_be_written_is_said(
    tmp_path: Path, folder: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "core").write_bytes(small_core(b""))
    assert main(["redact", str(tmp_path / "core"), f"{folder}/out"]) == 5
    assert capsys.readouterr().err.startswith(f"sealwright-dumps: {code}: {folder}")
