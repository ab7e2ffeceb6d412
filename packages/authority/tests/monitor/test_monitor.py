"""A monitor reads everything, is quiet while all fits, and names whatever does not."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from authority_support.monitors import Fork, Site, codes, live, monitor_of
from authority_support.papersite import PaperSite, Seat
from sealwright import errors
from sealwright.ledger.follow import Follower
from sealwright.monitor.model import Alarm, Code
from sealwright.monitor.service import Rules
from sealwright_signer import jws
from sealwright_validate.encoding import decode_base64url
from sealwright_validate.errors import Misconfigured


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
    paper.file(first, "tile/entries/001").unlink()
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
