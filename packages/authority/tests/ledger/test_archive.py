"""Segments that the authority itself moves, to a directory or a bucket; what it does when that is away."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from authority_support.archived import START, TOKENS, ArchivedSite
from authority_support.objects import BUCKET, SmallStore, access_file, small_store
from sealwright.admin.service import Auditor
from sealwright.cli.main import main
from sealwright.config import RetentionConfig
from sealwright.config.retention import DAY, retention_problems
from sealwright.errors import Refused, Unavailable
from sealwright.ledger import http
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.model import Place
from sealwright.ledger.receipts import Receipts
from sealwright.wiring import startcheck
from sealwright.wiring.keeping import Keeping
from sealwright.wiring.stores import Stores

pytest.importorskip("obstore", reason="NOT TESTED: object stores need obstore (sealwright[objects])")
pytestmark = pytest.mark.enable_socket
INDICES = (0, 255, 256, 599)


@pytest.fixture
def bucket() -> Iterator[SmallStore]:
    with small_store() as server:
        yield server


@pytest.fixture(params=["directory", "bucket"])
def site(request: pytest.FixtureRequest, tmp_path: Path, bucket: SmallStore) -> ArchivedSite:
    if request.param == "directory":
        return ArchivedSite(tmp_path)
    return in_bucket(tmp_path, bucket)


def in_bucket(directory: Path, bucket: SmallStore, **more: Any) -> ArchivedSite:
    access = str(access_file(directory, bucket.url))
    return ArchivedSite(directory, RetentionConfig(cold=f"s3://{BUCKET}/cold", access=access, **more))


class Running:
    """What an authority has open, and its schedule."""

    def __init__(self, site: ArchivedSite) -> None:
        self.stores = Stores.open(site.config, site.clock)
        self.files = LedgerFiles(site.files.hot, self.stores.cold)
        self.receipts = Receipts(self.stores.ledger, self.files, self.stores.digests)
        self.auditor = Auditor(self.stores.audit, site.clock)
        self._keeping = Keeping(site.config, site.clock, self.stores, self.auditor)

    def look(self) -> tuple[int, int]:
        return asyncio.run(self._keeping.once())

    def audited(self) -> list[tuple[str, str]]:
        return [(entry.actor, entry.action) for entry in asyncio.run(self.auditor.page(0, 10))]

    def get(self, path: str, **headers: str) -> httpx.Response:
        def announced(_kid: str) -> Place:
            raise Refused("unknown_key", "there is none")

        async def ask() -> httpx.Response:
            app = Starlette(routes=http.routes(self.receipts, self.files, announced))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
                return await client.get(path, headers=headers)

        return asyncio.run(ask())


def test_the_authority_moves_what_is_old_enough_by_itself(site: ArchivedSite) -> None:
    running, log_id = Running(site), site.scribe.log_id
    site.clock.time = START + 182 * DAY
    assert running.look() == (0, 0)
    receipts = [running.receipts.at(site.place(index)) for index in INDICES]
    served = running.get(f"/ledger/{log_id}/tile/entries/001")
    site.clock.time = START + 184 * DAY
    assert running.look() == (1, 0)
    again = running.get(f"/ledger/{log_id}/tile/entries/001")
    assert running.get(f"/ledger/{log_id}/tile/entries/003").status_code == 404
    assert not (site.files.hot / log_id / "tile/entries/001").exists()
    assert (again.status_code, again.content) == (200, served.content)
    assert again.headers["cache-control"] == served.headers["cache-control"]
    assert [running.receipts.at(site.place(index)) for index in INDICES] == receipts
    digest = hashlib.sha256(b"42").hexdigest()
    assert running.receipts.of_digest(digest) == running.receipts.at(site.place(42))
    assert running.audited() == [("system:retention", "move_segment")]
    assert running.look() == (0, 0)
    assert site.sound()
    assert site.records() == TOKENS


@pytest.mark.parametrize("what", ["log-list.json", "proof"])
def test_receipts_and_log_list_may_be_kept_and_asked_about(tmp_path: Path, what: str) -> None:
    site = ArchivedSite(tmp_path)
    running, list_file = Running(site), site.files.hot / "log-list.json"
    path = f"/ledger/{what}" + (f"?log={site.scribe.log_id}&index=7" if what == "proof" else "")
    if what != "proof":
        assert running.get(path).status_code == 503
        list_file.write_bytes(b"{}")
    first = running.get(path)
    assert (first.status_code, first.headers["cache-control"]) == (200, "public, no-cache")
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = running.get(path, **{"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert running.get(path, **{"if-none-match": '"other"'}).content == first.content
    list_file.write_bytes(b"[]")
    changed = running.get(path, **{"if-none-match": tag})
    assert changed.status_code == (304 if what == "proof" else 200)


def test_it_moves_nothing_where_it_was_told_not_to(tmp_path: Path) -> None:
    site = ArchivedSite(tmp_path, RetentionConfig(archive=False))
    site.clock.time = START + 400 * DAY
    assert len(site.keeper.due()) == 1
    assert Running(site).look() == (0, 0)
    assert len(site.keeper.due()) == 1


@pytest.mark.parametrize("archive", [False, True])
def test_it_removes_records_where_it_was_told_to_and_no_earlier(
    tmp_path: Path, bucket: SmallStore, archive: bool
) -> None:
    site = in_bucket(tmp_path, bucket, archive=archive, purge=True)
    running = Running(site)
    site.clock.time = START + 7_200 + 730 * DAY - 1
    assert running.look() == (int(archive), 0)
    site.clock.time += 1
    assert running.look() == (0, TOKENS)
    assert running.look() == (0, 0)
    assert ("system:retention", "purge_records") in running.audited()
    assert site.records() == 0
    assert site.sound()


def test_a_bucket_that_is_away_stops_nothing_and_loses_nothing(tmp_path: Path, bucket: SmallStore) -> None:
    site = in_bucket(tmp_path, bucket)
    site.clock.time = START + 184 * DAY
    bucket.away = True
    with pytest.raises(Unavailable, match="cold_storage"):
        Running(site).look()
    assert site.records() == TOKENS
    bucket.away = False
    assert Running(site).look() == (1, 0)
    bucket.away = True
    running = Running(site)
    check = (running.stores.ledger, None, site.files.hot, site.clock.time, running.stores.cold)
    assert startcheck.before_serving(*check) is False, "it serves, and checks later"
    with pytest.raises(Unavailable, match="cold_storage"):
        running.receipts.at(site.place(0))
    assert running.get(f"/ledger/{site.scribe.log_id}/tile/0/000").status_code == 503
    bucket.away = False
    assert startcheck.before_serving(*check) is True
    assert running.receipts.at(site.place(0))


def test_the_commands_work_on_a_bucket_as_on_a_directory(
    tmp_path: Path, bucket: SmallStore, capsys: pytest.CaptureFixture[str]
) -> None:
    site = in_bucket(tmp_path, bucket)
    file = tmp_path / "sealwright.toml"
    asked = site.config.retention
    file.write_text(
        f'[state]\ndirectory = "{tmp_path}"\n[retention]\ncold = "{asked.cold}"\naccess = "{asked.access}"\n'
    )
    configured = ["--config", str(file)]
    assert main(["ledger", "archive", "--apply", *configured]) == 0
    assert "moved leaves 0 to 600" in capsys.readouterr().out
    assert len(bucket.objects) == 1 + 2 * 3  # the segment; three bundles and their tiles
    assert main(["ledger", "fsck", *configured]) == 0
    name = f"cold/{site.scribe.log_id}/tile/entries/001"
    sound = bucket.objects[name]
    bucket.objects[name] = sound[:40] + bytes([sound[40] ^ 1]) + sound[41:]
    bucket.objects["cold/strange/tile/0/000"] = b"?"
    capsys.readouterr()
    assert main(["ledger", "fsck", *configured]) == 1
    told = capsys.readouterr().out
    assert "bundle_differs" in told
    assert "unknown_log" in told
    del bucket.objects["cold/strange/tile/0/000"]
    (tmp_path / "run").mkdir()
    assert main(["ledger", "fsck", "--repair", "--apply", *configured]) == 0
    assert bucket.objects[name] == sound


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        (RetentionConfig(cold="ftp://host/place"), "cold_storage"),
        (RetentionConfig(cold="s3://"), "cold_storage"),
        (RetentionConfig(access="access.toml"), "cold_storage"),
        (RetentionConfig(every=59), "retention_every"),
        (RetentionConfig(every=8 * DAY), "retention_every"),
    ],
)
def test_a_configuration_that_names_no_store_or_no_sound_time_is_refused(
    asked: RetentionConfig, rule: str
) -> None:
    assert [problem.rule for problem in retention_problems(asked)] == [rule]
    assert not list(retention_problems(RetentionConfig(cold="s3://bucket/a", access="access.toml")))
