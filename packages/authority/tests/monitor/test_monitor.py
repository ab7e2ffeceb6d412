"""A monitor reads everything, is quiet while all fits, and names whatever does not."""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from authority_support.papersite import PaperSite, Seat
from sealwright import errors
from sealwright.ledger.follow import Follower
from sealwright.ledger.tiles import TileWriter, decode_bundle, encode_bundle
from sealwright.monitor.model import Alarm, Code
from sealwright.monitor.service import Monitor, Rules
from sealwright.monitor.state import StateFile
from sealwright_signer import jws
from sealwright_signer.journal import Journal, token_leaf
from sealwright_signer.tree import CompactRange
from sealwright_validate.encoding import decode_base64url
from sealwright_validate.errors import Misconfigured

RULES = Rules(grace=30, realms=("consumer", "enterprise"))
Site = tuple[PaperSite, Seat, Seat]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two incarnations with 600 and 40 tokens, published and listed."""
    made = PaperSite(tmp_path)
    first, second = made.new_seat(), made.new_seat()
    made.issue(first, count=300)
    made.issue(second, "consumer", 40)
    made.refresh()
    made.issue(first, count=300)
    made.refresh()
    return made, first, second


def monitor_of(site: PaperSite, rules: Rules = RULES, state: Path | None = None) -> Monitor:
    kept = StateFile(state) if state else None
    follower = Follower(site.fetch, site.root(), clock=site.clock, state_file=kept.trust if kept else None)
    return Monitor(follower, rules, clock=site.clock, state=kept)


def codes(alarms: list[Alarm]) -> set[tuple[str, str]]:
    return {(alarm.code.value, alarm.log_id) for alarm in alarms}


def live(site: PaperSite, monitor: Monitor, seconds: float = 30.0, step: float = 15.0) -> list[Alarm]:
    """Time passes in the ordinary way; every alarm that came."""
    found: list[Alarm] = []
    for _ in range(int(seconds / step)):
        site.clock.time += step
        site.refresh()
        found += monitor.round()
    return found


def test_an_honest_ledger_is_read_to_the_last_leaf_without_an_alarm(site: Site) -> None:
    paper, first, second = site
    monitor = monitor_of(paper)
    assert monitor.round() == []
    report = monitor.report()
    assert report.sound
    assert {log.log_id: log.verified for log in report.logs} == {
        seat.log_id: seat.signer.journal.size for seat in (first, second)
    }
    assert report.tally.tokens == 640
    assert report.tally.leaves == first.signer.journal.size + second.signer.journal.size


def test_growing_rotating_restarting_and_closing_raise_no_alarm(site: Site) -> None:
    paper, first, second = site
    monitor = monitor_of(paper)
    for step in range(12):
        assert live(paper, monitor) == []
        paper.issue(first, count=step * 7 + 1)
        if step == 3:
            paper.rotate(first, "enterprise")
        if step == 6:
            paper.close(second)
            second = paper.new_seat()
        if step == 9:
            paper.issue(second, count=300)
    assert live(paper, monitor) == []
    report = monitor.report()
    assert report.sound
    assert [log.state for log in report.logs] == ["ok", "final", "ok"]
    assert report.tally.leaves == sum(seat.signer.journal.size for seat in paper.seats)


def test_a_restarted_monitor_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    paper, first, _ = site
    monitor_of(paper, state=tmp_path / "m").round()
    paper.issue(first, count=9)
    paper.refresh()
    again = monitor_of(paper, state=tmp_path / "m")
    assert again.round() == []
    assert again.report().tally.leaves == 9 + 2  # and a manifest and a list


def edit_entry(paper: PaperSite, seat: Seat) -> None:
    file = paper.file(seat, "tile/entries/001")
    leaves = list(decode_bundle(file.read_bytes()))
    leaves[44] = leaves[44][:-1] + bytes([leaves[44][-1] ^ 1])
    file.write_bytes(encode_bundle(leaves))


def swap_entries(paper: PaperSite, seat: Seat) -> None:
    file = paper.file(seat, "tile/entries/001")
    leaves = list(decode_bundle(file.read_bytes()))
    leaves[44], leaves[45] = leaves[45], leaves[44]
    file.write_bytes(encode_bundle(leaves))


def cut_bundle(paper: PaperSite, seat: Seat) -> None:
    file = paper.file(seat, "tile/entries/001")
    leaves = list(decode_bundle(file.read_bytes()))
    file.write_bytes(encode_bundle(leaves[:44]))


def cut_inside_an_entry(paper: PaperSite, seat: Seat) -> None:
    file = paper.file(seat, "tile/entries/001")
    leaves = list(decode_bundle(file.read_bytes()))
    file.write_bytes(encode_bundle(leaves[:45])[:-3])


def remove_bundle(paper: PaperSite, seat: Seat) -> None:
    paper.file(seat, "tile/entries/001").unlink()


def edit_entry_and_its_tiles(paper: PaperSite, seat: Seat) -> None:
    """An entry in the last bundle, with every tile over it made to fit."""
    leaves = [entry.leaf for entry in paper.store.entries(seat.log_id, 0, seat.signer.journal.size)]
    note = paper.file(seat, "checkpoint").read_text()
    leaves = leaves[: int(note.split("\n")[1])]
    leaves[300] = leaves[300][:-1] + bytes([leaves[300][-1] ^ 1])
    shutil.rmtree(paper.file(seat, "tile"))
    writer = TileWriter(paper.file(seat, ""))
    for leaf in leaves:
        writer.append(leaf)
    writer.publish(note)


def edit_checkpoint(paper: PaperSite, seat: Seat) -> None:
    file = paper.file(seat, "checkpoint")
    lines = file.read_text().split("\n")
    file.write_text("\n".join([lines[0], str(int(lines[1]) + 1), *lines[2:]]))


def swap_logs(paper: PaperSite, seat: Seat) -> None:
    other = next(one for one in paper.seats if one is not seat)
    shutil.rmtree(paper.file(seat, ""))
    shutil.copytree(paper.file(other, ""), paper.file(seat, ""))


STORAGE: list[tuple[Callable[[PaperSite, Seat], None], Code, int | None]] = [
    (edit_entry, Code.ENTRY_EDITED, 300),
    (swap_entries, Code.ENTRY_EDITED, 300),
    (cut_bundle, Code.GAP, 300),
    (cut_inside_an_entry, Code.GAP, 300),
    (remove_bundle, Code.GAP, 256),
    (edit_entry_and_its_tiles, Code.TREE_DAMAGED, None),
    (edit_checkpoint, Code.CHECKPOINT_REFUSED, None),
    (swap_logs, Code.CHECKPOINT_REFUSED, None),
]


@pytest.mark.parametrize(("damage", "code", "index"), STORAGE, ids=[one[0].__name__ for one in STORAGE])
def test_damage_by_the_storage_is_named(
    site: Site, damage: Callable[[PaperSite, Seat], None], code: Code, index: int | None
) -> None:
    paper, first, _ = site
    damage(paper, first)
    alarms = monitor_of(paper).round()
    assert [(alarm.code, alarm.log_id, alarm.index) for alarm in alarms if alarm.log_id == first.log_id][
        :1
    ] == [(code, first.log_id, index)]


class Fork:
    """Another history of a log after `size` leaves, under the identity key itself, published in its place."""

    def __init__(self, paper: PaperSite, seat: Seat, size: int, more: int) -> None:
        journal = seat.signer.journal
        identity = seat.signer.identity
        self.journal = Journal(journal.origin, identity.public, identity.sign)
        self.journal._tree = CompactRange()
        stored = [entry.leaf for entry in paper.store.entries(seat.log_id, 0, journal.size)]
        token = next(leaf for leaf in reversed(stored) if leaf[1] == 1)
        self.leaves = stored[:size]
        self.leaves += [token[:2] + bytes([number]) + token[3:] for number in range(more)]
        self.journal.append(self.leaves)
        self._directory = paper.file(seat, "")

    def publish(self) -> None:
        shutil.rmtree(self._directory)
        writer = TileWriter(self._directory)
        for leaf in self.leaves:
            writer.append(leaf)
        writer.publish(self.journal.checkpoint)


@pytest.mark.parametrize(
    ("back", "more", "code"),
    [(5, 0, Code.ROLLBACK), (5, 2, Code.ROLLBACK), (5, 5, Code.SPLIT_VIEW), (5, 40, Code.SPLIT_VIEW)],
)
def test_a_log_that_goes_back_or_forks_under_its_own_key_is_named(
    site: Site, tmp_path: Path, back: int, more: int, code: Code
) -> None:
    paper, first, _ = site
    monitor_of(paper, state=tmp_path / "m").round()
    Fork(paper, first, first.signer.journal.size - back, more).publish()
    # Also by one that was restarted in between: it remembers.
    alarms = monitor_of(paper, state=tmp_path / "m").round()
    assert (code.value, first.log_id) in codes(alarms)


def test_a_fork_that_is_shown_to_a_newcomer_does_not_fit_the_log_list(site: Site) -> None:
    paper, first, _ = site
    Fork(paper, first, first.signer.journal.size - 5, 60).publish()
    assert (Code.SPLIT_VIEW.value, first.log_id) in codes(monitor_of(paper).round())


def test_a_stale_head_is_named_after_the_grace(site: Site) -> None:
    paper, first, _ = site
    old = paper.file(first, "checkpoint").read_bytes()
    monitor = monitor_of(paper)
    paper.issue(first, count=3)
    paper.refresh()
    paper.file(first, "checkpoint").write_bytes(old)
    assert monitor.round() == []
    paper.clock.time += RULES.grace
    assert (Code.ROLLBACK.value, first.log_id) in codes(monitor.round())


def test_a_log_that_stopped_is_named(site: Site) -> None:
    paper, first, second = site
    monitor = monitor_of(paper)
    monitor.round()
    paper.manifest(first)  # the authority goes on, and publishes nothing of it
    paper.clock.time += 45
    document = paper.served["/manifest"]
    assert monitor.round() == []
    paper.clock.time += 45
    paper.manifest(first)
    assert (Code.LOG_STOPPED.value, first.log_id) in codes(monitor.round())
    assert document != paper.served["/manifest"]
    quiet = monitor_of(paper, Rules(grace=30, quiet_after=3_000))
    paper.publish()
    quiet.round()
    found = live(paper, quiet, 3_200, 100)
    assert codes(found) == {(Code.LOG_STOPPED.value, second.log_id)}


def served_members(paper: PaperSite) -> dict[str, Any]:
    jws_served = json.loads(paper.served["/manifest"])["manifest"]
    members: dict[str, Any] = json.loads(decode_base64url(jws_served.split(".")[1]))
    return members


def hidden_manifest(paper: PaperSite, seat: Seat, **change: object) -> None:
    """The identity key signs a manifest beside the signer's own book-keeping."""
    members = served_members(paper)
    members = members | {"version": members["version"] + 1} | change
    paper.serve_manifest(seat, seat.signer.identity.document("sealwright-manifest+jwt", members))


def test_an_unlogged_manifest_is_named(site: Site) -> None:
    paper, first, _ = site
    monitor = monitor_of(paper)
    monitor.round()
    hidden_manifest(paper, first)
    assert monitor.round() == []
    paper.clock.time += 31
    assert (Code.UNLOGGED_MANIFEST.value, first.log_id) in codes(monitor.round())


def test_a_key_that_no_log_announced_is_named(site: Site) -> None:
    paper, first, _ = site
    monitor = monitor_of(paper)
    monitor.round()
    members = served_members(paper)
    public = jws.public_jwk(generate_private_key(SECP256R1()).public_key())
    kid = jws.thumbprint(public)
    alien = members["keys"][0] | {"kid": kid, "jwk": public | {"alg": "ES256", "kid": kid, "use": "sig"}}
    hidden_manifest(paper, first, keys=[*members["keys"], alien])
    monitor.round()
    paper.clock.time += 31
    found = codes(monitor.round())
    assert (Code.UNEXPECTED_KEY.value, alien["incarnation"]) in found
    assert (Code.UNLOGGED_MANIFEST.value, first.log_id) in found


def test_an_incarnation_that_is_not_listed_is_named(site: Site) -> None:
    paper, first, _ = site
    monitor = monitor_of(paper)
    monitor.round()
    unlisted = paper.new_seat()
    paper.publish()
    found: list[Alarm] = []
    for _ in range(3):
        paper.clock.time += 15
        paper.manifest(first)
        paper.publish()
        found += monitor.round()
    assert (Code.UNKNOWN_INCARNATION.value, unlisted.log_id) in codes(found)


def append(paper: PaperSite, seat: Seat, leaf: bytes) -> None:
    """The identity key signs a leaf that the signer's own rules would never make."""
    seat.signer.journal.append([leaf])
    paper.do(seat, "statement", type="audit", digest="cd" * 32)
    paper.refresh()


def token_under(seat: Seat, kid: bytes, iat: int, exp: int) -> bytes:
    return token_leaf(b"d" * 32, kid, iat, exp, b"r" * 32)


def test_tokens_under_keys_that_do_not_sign_are_named(site: Site) -> None:
    paper, first, second = site
    now = int(paper.clock.time)
    dead = decode_base64url(first.keys["enterprise"]["kid"])
    paper.rotate(first, "enterprise")
    index = first.signer.journal.size
    append(paper, first, token_under(first, b"k" * 32, now, now + 60))
    append(paper, first, token_under(first, dead, now, now + 60))
    other = decode_base64url(second.keys["consumer"]["kid"])
    append(paper, first, token_under(first, other, now, now + 60))
    alarms = monitor_of(paper).round()
    assert {alarm.code for alarm in alarms} == {Code.UNEXPECTED_KEY}
    assert min(alarm.index for alarm in alarms if alarm.index is not None) == index
    assert len(alarms) == 3


@pytest.mark.parametrize(("early", "late"), [(-10_000, 60), (0, 4_000), (0, 0), (7 * 3_600, 7 * 3_600 + 9)])
def test_tokens_outside_their_keys_window_are_named(site: Site, early: int, late: int) -> None:
    paper, first, _ = site
    now, kid = int(paper.clock.time), decode_base64url(first.keys["enterprise"]["kid"])
    append(paper, first, token_under(first, kid, now + early, now + late))
    assert codes(monitor_of(paper).round()) == {(Code.TOKEN_OUTSIDE_WINDOW.value, first.log_id)}


@pytest.mark.parametrize(
    "leaf",
    [b"", b"\x01", b"\x02\x01", b"\x01\x09{}", b"\x01\x01short", b"\x01\x02nonsense", b"\x01\x02[]",
     b'\x01\x02{"event":"resurrected","kid":"AA"}'],
)  # fmt: skip
def test_leaves_that_are_none_are_named(site: Site, leaf: bytes) -> None:
    paper, first, _ = site
    append(paper, first, leaf)
    assert codes(monitor_of(paper).round()) == {(Code.MALFORMED_LEAF.value, first.log_id)}


def test_announcements_that_are_not_the_logs_own_are_named(site: Site) -> None:
    paper, first, second = site
    for entry in paper.store.entries(second.log_id, 0, 3):
        if b'"announced"' in entry.leaf:
            append(paper, first, entry.leaf)
    append(paper, first, b'\x01\x02{"event":"announced","kid":"AA","announcement":7}')
    append(paper, first, b'\x01\x02{"event":"activated","kid":"AAAA"}')
    alarms = monitor_of(paper).round()
    assert {alarm.code for alarm in alarms} == {Code.UNEXPECTED_KEY}
    assert len(alarms) == 3


def test_a_key_for_an_unexpected_realm_is_named(site: Site) -> None:
    paper, _, _ = site
    alarms = monitor_of(paper, Rules(realms=("enterprise",))).round()
    assert {alarm.code for alarm in alarms} == {Code.UNEXPECTED_KEY}
    assert "consumer" in alarms[0].detail


def test_a_closed_log_may_not_change(site: Site) -> None:
    paper, _, second = site
    paper.close(second)
    paper.refresh()
    monitor = monitor_of(paper)
    assert monitor.round() == []
    Fork(paper, second, second.signer.journal.size, 3).publish()
    paper.clock.time += 601
    paper.refresh()
    Fork(paper, second, second.signer.journal.size, 3).publish()
    assert (Code.CLOSED_LOG_CHANGED.value, second.log_id) in codes(monitor.round())


def test_a_log_that_vanishes_from_the_list_is_named(site: Site, tmp_path: Path) -> None:
    paper, _, second = site
    running = monitor_of(paper, state=tmp_path / "m")
    running.round()
    paper.close(second)
    paper.seats.remove(second)
    paper.manifest()
    paper.list_logs()
    assert (Code.LOG_LIST_REFUSED.value, "") in codes(running.round())
    assert (Code.LOG_VANISHED.value, second.log_id) in codes(monitor_of(paper, state=tmp_path / "m").round())


def test_documents_of_strangers_and_old_ones_are_named(site: Site, tmp_path: Path) -> None:
    paper, _, _ = site
    monitor = monitor_of(paper)
    monitor.round()
    old = dict(paper.served)
    live(paper, monitor)
    paper.served |= old
    assert {code for code, _ in codes(monitor.round())} == {"manifest_refused", "log_list_refused"}
    (tmp_path / "x").mkdir()
    other = PaperSite(tmp_path / "x")
    other.new_seat()
    other.refresh()
    paper.served |= {name: other.served[name] for name in ("/manifest", "/ledger/log-list.json")}
    found = codes(monitor_of(paper).round())
    assert {code for code, _ in found} == {"manifest_refused", "log_list_refused"}


def test_an_authority_that_does_not_answer_is_named_after_the_grace_and_forgiven(site: Site) -> None:
    paper, _, _ = site
    monitor = monitor_of(paper)
    monitor.round()
    paper.down = True
    assert monitor.round() == []
    assert monitor.alarms.pending
    paper.clock.time += 31
    assert {alarm.code for alarm in monitor.round()} >= {Code.UNREACHABLE}
    paper.down = False
    paper.refresh()
    monitor.round()
    assert monitor.report().sound


def test_an_alarm_is_told_once_and_stands(site: Site) -> None:
    paper, first, _ = site
    monitor = monitor_of(paper)
    remove_bundle(paper, first)
    assert len(monitor.round()) > 0
    standing = monitor.report().alarms
    assert monitor.round() == []
    assert monitor.report().alarms == standing


def test_an_edited_state_is_refused(site: Site, tmp_path: Path) -> None:
    paper, _, _ = site
    monitor_of(paper, state=tmp_path / "m").round()
    file = tmp_path / "m" / "monitor.json"
    good = json.loads(file.read_text())
    log = next(iter(good["logs"]))
    for change in ({"size": 3}, {"roots": ["zz"]}, {"size": "x"}):
        file.write_text(json.dumps(good | {"logs": {log: good["logs"][log] | change}}))
        with pytest.raises(errors.Misconfigured):
            monitor_of(paper, state=tmp_path / "m")


def test_a_root_that_is_none_is_refused(site: Site) -> None:
    paper, _, _ = site
    with pytest.raises(Misconfigured):
        Follower(paper.fetch, b64encode(b"no root"), clock=paper.clock)
