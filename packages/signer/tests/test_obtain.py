"""A secret that was obtained by attestation is gone when its lease is; what is not for us is not taken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sealwright_signer import obtain


def test_the_file_is_removed_when_the_lease_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, seen = tmp_path / "pin", list[bytes]()
    monkeypatch.setattr(obtain, "obtain", lambda *_: (b"secret", 100))
    monkeypatch.setattr(obtain, "wait_until", lambda _end: seen.append(file.read_bytes()))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(
        "sys.argv", ["obtain", "--authority=a", "--purpose=p", "--collector=tpm", f"--out={file}"]
    )
    assert obtain.main() == 0
    assert (seen, file.exists(), capsys.readouterr().out) == ([b"secret"], False, "released until 100\n")


@pytest.mark.parametrize("name", ["there", "dangling", "absent/pin"])
def test_nothing_is_asked_for_that_could_not_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "there").write_bytes(b"mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    asked = list[object]()
    monkeypatch.setattr(obtain, "obtain", lambda *words: asked.append(words))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = ["obtain", "--authority=a", "--purpose=p", "--collector=tpm", f"--out={tmp_path / name}"]
    monkeypatch.setattr("sys.argv", words)
    assert (obtain.main(), asked) == (77, [])
    assert "not asked for" in capsys.readouterr().err
    assert (tmp_path / "there").read_bytes() == b"mine"


def test_the_lease_ends_when_its_time_is_over() -> None:
    times: Iterator[float] = iter([99.99, 100.0])
    obtain.wait_until(100, lambda: next(times))
    assert next(times, None) is None


def test_an_authority_that_is_not_there_releases_nothing(tmp_path: Path) -> None:
    with pytest.raises(obtain.NotReleased, match="does not answer"):
        obtain.obtain(tmp_path / "absent.sock", "hsm-pin", "simulated")


def test_an_unknown_collector_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(obtain.NotReleased, match="collectors are"):
        obtain.obtain(tmp_path / "absent.sock", "hsm-pin", "crystal-ball")
