"""Two weeks in which every kind of lie is told once, and who names it: the table of docs/ledger-lies.md.

The honest site raises no complaint in all that time; each lie is told on a copy of it, on its own day.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from authority_support.fortnight import STEP, Copy, Fortnight, NoDigests, Seen
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.merkle import leaf_hash
from sealwright.ledger.model import Place
from sealwright.ledger.receipts import Receipts, render
from sealwright.ledger.tiles import decode_bundle, encode_bundle
from sealwright_validate.conformance.ledger import path_of
from sealwright_validate.encoding import decode_base64url

PAGE = Path(__file__).resolve().parents[4] / "docs" / "ledger-lies.md"
DAYS = 14
STEPS = DAYS * 86_400 // STEP
OBSERVERS = ("authority", "fsck", "monitor", "newcomer", "witness", "validator")
Lie = Callable[[Copy], None]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("fortnight")]


def nothing(copy: Copy) -> None:
    """nobody lies"""
    copy.go_on()


def row_edited(copy: Copy) -> None:
    """a leaf is edited in the database"""
    copy.sql("UPDATE leaves SET leaf = substr(leaf, 1, 110) || x'00000000' WHERE idx = 20 AND log = LOG")
    copy.go_on()


def rows_reordered(copy: Copy) -> None:
    """two leaves change places in the database"""
    for before, after in ((20, -1), (21, 20), (-1, 21)):
        copy.sql("UPDATE leaves SET idx = ? WHERE idx = ? AND log = LOG", after, before)
    copy.go_on()


def row_deleted(copy: Copy) -> None:
    """a leaf is deleted from the database"""
    copy.sql("DELETE FROM leaves WHERE idx = 20 AND log = LOG")
    copy.go_on()


def database_rolled_back(copy: Copy) -> None:
    """the database is restored from an older copy, and the files are made anew from it"""
    copy.engine.dispose()
    for file in copy.directory.glob("sealwright.db*"):
        file.unlink()
    shutil.copy(copy.world.yesterday, copy.directory / "sealwright.db")
    shutil.rmtree(copy.files)
    copy.go_on()


def entry_edited(copy: Copy) -> None:
    """a published entry is edited"""
    copy.go_on()
    leaves = published(copy)
    leaves[20] = leaves[20][:-1] + bytes([leaves[20][-1] ^ 1])
    write_bundle(copy, leaves)


def entries_reordered(copy: Copy) -> None:
    """two published entries change places"""
    copy.go_on()
    leaves = published(copy)
    leaves[20], leaves[21] = leaves[21], leaves[20]
    write_bundle(copy, leaves)


def entries_truncated(copy: Copy) -> None:
    """the published entries are cut off"""
    copy.go_on()
    write_bundle(copy, published(copy)[:20])


def tile_edited(copy: Copy) -> None:
    """a published tile is edited"""
    copy.go_on()
    tile = newest(copy, "0")
    data = bytearray(tile.read_bytes())
    data[20 * 32] ^= 1
    tile.write_bytes(data)


def stale_head(copy: Copy) -> None:
    """an older head is served, with everything under it"""
    old = copy.file("checkpoint").read_bytes()
    copy.go_on()
    copy.file("checkpoint").write_bytes(old)


def logs_swapped(copy: Copy) -> None:
    """the files of one log are served as those of another"""
    copy.go_on()
    other = copy.world.live[1].log_id
    shutil.rmtree(copy.file(""))
    shutil.copytree(copy.files / other, copy.file(""))


def forked_after_going_back(copy: Copy) -> None:
    """the log goes back and grows otherwise under its own key: database, files and all"""
    size = copy.journal.size
    copy.journal = copy.journal_at(size - 12)
    copy.sql("DELETE FROM leaves WHERE idx >= ? AND log = LOG", size - 12)
    roots = b"".join(copy.journal._tree._roots)
    copy.sql("UPDATE logs SET size = ?, frontier = ? WHERE id = LOG", size - 12, roots)
    shutil.rmtree(copy.file(""))
    for _ in range(3):
        copy.go_on()


def shown_to_one_only(copy: Copy) -> None:
    """one relying party alone is shown a tree with another leaf in it"""
    copy.go_on()
    place = int(str(json_part(copy.token)["jti"]).split(".")[1])
    leaves = [entry.leaf for entry in copy.store.entries(copy.seat.log_id, 0, place + 1)]
    leaves[3] = copy.statement("audit", "ff" * 32)
    fork = copy.journal_at(0)
    fork.append(leaves)
    path = path_of([leaf_hash(leaf) for leaf in leaves], place)
    copy.receipt = render(leaves[place], place, path, fork.checkpoint)


def manifest_unlogged(copy: Copy) -> None:
    """a manifest is signed beside the signer's own book-keeping"""
    copy.go_on()
    served = json.loads(copy.served["/manifest"])
    members = json_part(served["manifest"])
    members["version"] += 1
    served["manifest"] = copy.seat.signer.identity.document("sealwright-manifest+jwt", members)
    copy.served["/manifest"] = json.dumps(served).encode()


def log_left_out(copy: Copy) -> None:
    """a new log list, properly logged, leaves a log out"""
    listed = json.loads(json.loads(copy.served["/ledger/log-list.json"])["log_list"])
    listed |= {"version": listed["version"] + 1, "logs": listed["logs"][1:]}
    text, index = json.dumps(listed), copy.journal.size
    copy.go_on(copy.statement("log-list", sha256(text.encode()).hexdigest()))
    receipt = Receipts(copy.store, LedgerFiles(copy.files), NoDigests()).at(Place(copy.seat.log_id, index))
    document = {"root_version": 1, "log_list": text, "receipt": receipt}
    copy.served["/ledger/log-list.json"] = json.dumps(document).encode()


LIES: tuple[Lie, ...] = (
    row_edited,
    rows_reordered,
    row_deleted,
    database_rolled_back,
    entry_edited,
    entries_reordered,
    entries_truncated,
    tile_edited,
    stale_head,
    logs_swapped,
    forked_after_going_back,
    shown_to_one_only,
    manifest_unlogged,
    log_left_out,
)


def newest(copy: Copy, kind: str) -> Path:
    """The first tile of a kind as it is published now."""
    whole = copy.file(f"tile/{kind}/000")
    if whole.is_file():
        return whole
    return max(copy.file(f"tile/{kind}/000.p").iterdir(), key=lambda file: int(file.name))


def published(copy: Copy) -> list[bytes]:
    return list(decode_bundle(newest(copy, "entries").read_bytes()))


def write_bundle(copy: Copy, leaves: list[bytes]) -> None:
    newest(copy, "entries").write_bytes(encode_bundle(leaves))


def json_part(jws: str) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(decode_base64url(jws.split(".")[1]))
    return members


def named(seen: Seen) -> dict[str, frozenset[str]]:
    return {observer: getattr(seen, observer) for observer in OBSERVERS}


def row(lie: Lie, seen: Seen) -> str:
    """One line of the table."""
    cells = [", ".join(f"`{code}`" for code in sorted(codes)) or "-" for codes in named(seen).values()]
    return f"| {lie.__doc__} | {' | '.join(cells)} |"


@pytest.fixture(scope="module")
def fortnight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[str], dict[Lie, Seen]]]:
    """Every complaint about the honest site, and who named which lie."""
    # Thrown away afterwards: where memory can hold it, no disk is waited for.
    memory = Path("/dev/shm")  # noqa: S108 - a directory of our own in it
    place = Path(tempfile.mkdtemp(prefix="sealwright-fortnight-", dir=memory if memory.is_dir() else None))
    try:
        (place / "site").mkdir(mode=0o700)
        world = Fortnight(place / "site")
        complaints: list[str] = []
        seen: dict[Lie, Seen] = {}
        days = {8 + 7 * number: lie for number, lie in enumerate((nothing, *LIES))}
        for step in range(STEPS):
            complaints += [f"step {step}: {told}" for told in world.step(step)]
            lie = days.get(step)
            if lie is not None:
                copy = Copy(world, place / lie.__name__)
                lie(copy)
                seen[lie] = copy.looks()
        yield complaints, seen
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_the_honest_site_raises_no_complaint_in_two_weeks(
    fortnight: tuple[list[str], dict[Lie, Seen]],
) -> None:
    complaints, seen = fortnight
    assert complaints == []
    assert named(seen[nothing]) == dict.fromkeys(OBSERVERS, frozenset())


@pytest.mark.parametrize("lie", LIES, ids=[lie.__name__ for lie in LIES])
def test_each_lie_is_named_by_somebody(fortnight: tuple[list[str], dict[Lie, Seen]], lie: Lie) -> None:
    _, seen = fortnight
    assert any(named(seen[lie]).values())


def test_the_page_says_who_sees_what(fortnight: tuple[list[str], dict[Lie, Seen]]) -> None:
    if not PAGE.is_file():
        pytest.skip(f"PAGE ABSENT: {PAGE} is not beside this installation")
    _, seen = fortnight
    expected = "\n".join(row(lie, seen[lie]) for lie in LIES)
    _, _, table = PAGE.read_text(encoding="utf-8").partition("|---|---|---|---|---|---|---|\n")
    found = table.partition("<!-- end of lies -->")[0].rstrip("\n")
    assert found == expected, f"the table must be:\n{expected}"
