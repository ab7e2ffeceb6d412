"""A database that was put back from a backup is noticed, and nothing is served from it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from authority_support.site import running
from sealwright.config import Config, StateConfig
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.steps import wait_for
from sealwright.errors import Misconfigured
from sealwright.wiring.restored import require_not_restored
from sealwright.wiring.stores import Stores

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("restored")]


def copy_of(database: Path, to: Path) -> None:
    source, target = sqlite3.connect(database), sqlite3.connect(to)
    with source, target:
        source.backup(target)
    source.close()
    target.close()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Path, Path]]:
    """A state that was stopped, a backup of its database from before the last tokens, and one of now."""
    folder = tmp_path_factory.mktemp("backup")
    with running() as site:
        database = site.state / "sealwright.db"
        copy_of(database, folder / "old.db")
        for _ in range(3):
            site.token()
        [log] = site.stores.ledger.logs()
        file = site.state / "ledger" / log.log_id / "checkpoint"
        before = int(file.read_text().splitlines()[1])
        site.token()
        wait_for(lambda: int(file.read_text().splitlines()[1]) > before or None, "a published head")
        site.stop()
        copy_of(database, folder / "new.db")
        yield site, folder / "old.db", folder / "new.db"


@contextlib.contextmanager
def with_database(site: Sandbox, backup: Path) -> Iterator[Config]:
    """The site's state with another database, in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="sealwright-test-") as name:
        state = Path(name)
        for part in ("ledger", "trust"):
            shutil.copytree(site.state / part, state / part)
        (state / "run").mkdir(mode=0o700)
        shutil.copyfile(backup, state / "sealwright.db")
        yield msgspec.structs.replace(site.config, state=StateConfig(directory=name))


def check(site: Sandbox, backup: Path) -> None:
    with with_database(site, backup) as config:
        stores = Stores.open(config, site.clock)
        require_not_restored(stores.ledger, stores.keys.latest_manifest(), config.state.path / "ledger")


def test_a_state_that_was_only_stopped_is_served_again(stopped: tuple[Sandbox, Path, Path]) -> None:
    site, _, new = stopped
    check(site, new)


def test_a_restored_database_is_refused_and_the_authority_says_so(
    stopped: tuple[Sandbox, Path, Path],
) -> None:
    site, old, _ = stopped
    with pytest.raises(Misconfigured, match="restored from a backup") as caught:
        check(site, old)
    assert caught.value.code == "state_rolled_back"
    with with_database(site, old) as site.config:
        site.start_authority()
        assert site.authority is not None
        assert site.authority.wait(timeout=60) != 0
    assert "older than what was published" in site.last_words()


def test_a_manifest_table_that_was_put_back_alone_disagrees_with_the_ledger(
    stopped: tuple[Sandbox, Path, Path], tmp_path: Path
) -> None:
    site, _, new = stopped
    changed = tmp_path / "changed.db"
    shutil.copyfile(new, changed)
    connection = sqlite3.connect(changed)
    with connection:
        connection.execute("UPDATE manifests SET jws = 'e30.e30.c2ln'")
    connection.close()
    with pytest.raises(Misconfigured, match="no statement of that manifest") as caught:
        check(site, changed)
    assert caught.value.code == "state_rolled_back"
