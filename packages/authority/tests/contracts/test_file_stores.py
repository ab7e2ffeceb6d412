"""Cold storage is the same in a directory and in an object store: one contract, on every implementation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from authority_support.objects import BUCKET, REAL, access_file, real_store, small_store
from sealwright.errors import Misconfigured, Unavailable
from sealwright.ledger.folder import Folder
from sealwright.ledger.ports import FileStore
from sealwright.store.objects import Bucket

pytest.importorskip("obstore", reason="NOT TESTED: object stores need obstore (sealwright[objects])")
pytestmark = pytest.mark.enable_socket
URL = f"s3://{BUCKET}/some/place"


@pytest.fixture(params=["directory", "small S3 server", REAL])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileStore]:
    if request.param == "directory":
        yield Folder(tmp_path / "cold")
    elif request.param == "small S3 server":
        with small_store() as server:
            yield Bucket(URL, access_file(tmp_path, server.url))
    elif shutil.which(REAL) is None:
        pytest.skip(f"NOT TESTED: cold storage in a real S3 server ({REAL} is not installed)")
    else:
        with real_store(tmp_path / "objects") as url:
            yield Bucket(URL, access_file(tmp_path, url))


def test_what_is_written_is_read_back_until_it_is_removed(files: FileStore) -> None:
    assert files.read("log/tile/0/000") is None
    files.write("log/tile/0/000", b"first")
    files.write("log/tile/0/000", bytes(range(256)) * 40)
    assert files.read("log/tile/0/000") == bytes(range(256)) * 40
    files.write("log/empty", b"")
    assert files.read("log/empty") == b""
    assert files.read("log") is None
    files.remove("log/tile/0/000")
    files.remove("log/tile/0/000")
    assert files.read("log/tile/0/000") is None
    assert files.read("log/empty") == b""


def test_names_and_folders_are_those_of_what_is_there(files: FileStore) -> None:
    assert list(files.names("log")) == []
    assert files.folders() == []
    names = {f"log/tile/{kind}/x001/{number:03d}" for kind in ("0", "entries") for number in range(5)}
    for name in sorted(names | {"logbook/a", "other/tile/0/000"}):
        files.write(name, name.encode())
    assert set(files.names("log/tile")) == names
    assert set(files.names("log")) == names
    assert files.folders() == ["log", "logbook", "other"]
    assert {files.read(name) for name in names} == {name.encode() for name in names}


def test_a_store_that_is_away_or_knows_us_not_is_unavailable(tmp_path: Path) -> None:
    with small_store() as server:
        stranger = Bucket(URL, access_file(tmp_path, server.url, "somebody-else"))
        with pytest.raises(Unavailable, match="cold_storage"):
            stranger.read("a")
        bucket = Bucket(URL, access_file(tmp_path, server.url))
        bucket.write("a", b"a")
        url = server.url
    gone = Bucket(URL, access_file(tmp_path, url))
    for ask in (lambda: gone.read("a"), lambda: gone.write("a", b""), lambda: list(gone.names("a"))):
        with pytest.raises(Unavailable, match="cold_storage"):
            ask()


@pytest.mark.parametrize(
    ("url", "access"),
    [
        ("nothing://bucket", 'aws_region = "a"'),
        (URL, "not toml"),
        (URL, "aws_region = 5"),
        (URL, 'no_such_setting = "a"'),
    ],
)
def test_what_names_no_object_store_is_refused_at_once(tmp_path: Path, url: str, access: str) -> None:
    file = tmp_path / "access.toml"
    file.touch(mode=0o600)
    file.write_text(access)
    with pytest.raises(Misconfigured, match="cold_storage"):
        Bucket(url, file)
    file.chmod(0o644)
    with pytest.raises(Misconfigured, match="open_file"):
        Bucket(url, file)
