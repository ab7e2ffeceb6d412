"""A witness cosigns one growing tree of a log, persists before it answers, and refuses every other one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from authority_support.logs import Scribe
from authority_support.witnesses import (
    ForkingScribe,
    TestClock,
    log_key,
    proof_of,
    submission,
    witness_of,
)
from sealwright.errors import Misconfigured, Refused, Unavailable
from sealwright.store.witness import EVIDENCE_MAX, FileWitnessStore
from sealwright.supervisor.lock import StateLock
from sealwright.wiring.witness import WitnessSettings, build, serve
from sealwright.witness.book import FollowedLogs
from sealwright.witness.http import application
from sealwright.witness.model import Cosigned, KnownLog
from sealwright.witness.rules import MAX_PROOF, parse_submission
from sealwright.witness.service import STALE_AFTER, SizeConflict, Witness
from sealwright_validate.cosignature import cosigned_by, parse_cosigner
from sealwright_validate.note import open_checkpoint


def submit(witness: Witness, scribe: Scribe, old: int, note: str | None = None) -> str:
    proof = proof_of(scribe.leaves, old)
    return witness.add_checkpoint(submission(note or scribe.checkpoint(), old, proof))


@pytest.fixture
def scribe() -> ForkingScribe:
    made = ForkingScribe()
    made.grow(5)
    return made


@pytest.fixture
def witness(tmp_path: Path, scribe: ForkingScribe) -> Witness:
    return witness_of(tmp_path / "witness", scribe)


def times(witness: Witness, scribe: Scribe, note: str) -> set[int]:
    keys = [parse_cosigner(vkey) for vkey in witness.vkeys]
    found = cosigned_by(note, open_checkpoint(note, log_key(scribe)), keys)
    assert len(found) == len(keys) == 2
    return set(found.values())


def test_a_growing_log_is_cosigned_at_every_step(witness: Witness, scribe: ForkingScribe) -> None:
    old = 0
    for grown in (0, 1, 2, 300, 0, 7):
        if grown:
            scribe.grow(grown)
        note = scribe.checkpoint()
        assert times(witness, scribe, note + submit(witness, scribe, old)) == {1_800_000_000}
        old = scribe.frontier.size
        kept = witness.checkpoint(sha256(scribe.origin.encode()).hexdigest())
        assert kept is not None
        assert open_checkpoint(kept, log_key(scribe)).size == old
        assert times(witness, scribe, kept) == {1_800_000_000}


def test_a_log_of_size_zero_has_the_root_of_nothing(tmp_path: Path) -> None:
    empty = ForkingScribe()
    witness = witness_of(tmp_path / "w", empty)
    assert submit(witness, empty, 0)
    empty.grow(3)
    assert submit(witness, empty, 0)


def code(witness: Witness, body: bytes) -> str:
    with pytest.raises(Refused) as caught:
        witness.add_checkpoint(body)
    return caught.value.code


def test_a_split_view_is_refused_and_the_proof_of_it_kept(
    witness: Witness, scribe: ForkingScribe, tmp_path: Path
) -> None:
    fork = scribe.fork(3)
    fork.grow(2, start=100)
    submit(witness, scribe, 0)
    assert code(witness, submission(fork.checkpoint(), 5, ())) == "inconsistent"
    fork.grow(4, start=200)
    assert code(witness, submission(fork.checkpoint(), 5, proof_of(fork.leaves, 5))) == "inconsistent"
    standing = witness.standings()[0]
    assert (standing.size, standing.proven, standing.suspected) == (5, 1, 1)
    evidence = next(tmp_path.glob("witness/logs/*/proven-*.txt")).read_text()
    assert evidence.count(scribe.origin + "\n5\n") == 2
    scribe.grow(1)
    assert submit(witness, scribe, 5)


def test_a_rollback_is_refused_with_the_size_that_was_seen(witness: Witness, scribe: ForkingScribe) -> None:
    scribe.grow(5)
    submit(witness, scribe, 0)
    rolled_back = scribe.fork(4)
    for old in (0, 3, 4):
        with pytest.raises(SizeConflict) as caught:
            submit(witness, rolled_back, old)
        assert caught.value.size == 10
    assert witness.standings()[0].suspected == 1
    assert witness.standings()[0].proven == 0


def test_an_open_log_that_shows_nothing_new_is_stale(tmp_path: Path, scribe: ForkingScribe) -> None:
    clock = TestClock()
    witness = witness_of(tmp_path / "w", scribe, clock=clock)
    book = witness._logs
    assert isinstance(book, FollowedLogs)
    book._logs[scribe.origin] = KnownLog(log_key(scribe), is_open=True)
    submit(witness, scribe, 0)
    clock.time += STALE_AFTER
    assert not witness.standings()[0].stale
    clock.time += 1
    assert witness.standings()[0].stale
    scribe.grow(1)
    submit(witness, scribe, 5)
    assert not witness.standings()[0].stale
    book._logs[scribe.origin] = KnownLog(log_key(scribe), is_open=False)
    clock.time += 10 * STALE_AFTER
    assert not witness.standings()[0].stale


def test_strangers_and_false_signatures_are_refused(witness: Witness, scribe: ForkingScribe) -> None:
    stranger = ForkingScribe()
    stranger.grow(3)
    assert code(witness, submission(stranger.checkpoint(), 0, ())) == "unknown_log"
    impostor = ForkingScribe()
    impostor.origin = scribe.origin
    impostor.grow(3)
    assert code(witness, submission(impostor.checkpoint(), 0, ())) == "log_signature"
    impostor.key_id = scribe.key_id
    assert code(witness, submission(impostor.checkpoint(), 0, ())) == "log_signature"
    text = scribe.checkpoint().rpartition("\n\n")[0]
    assert code(witness, f"old 0\n\n{text}\n\n".encode()) == "log_signature"


def test_proofs_must_be_exact(witness: Witness, scribe: ForkingScribe) -> None:
    assert code(witness, submission(scribe.checkpoint(), 6, ())) == "old_above_size"
    assert code(witness, submission(scribe.checkpoint(), 0, [bytes(32)])) == "inconsistent"
    submit(witness, scribe, 0)
    scribe.grow(4)
    proof = proof_of(scribe.leaves, 5)
    for wrong in (proof[:-1], [*proof, bytes(32)], [bytes(32), *proof[1:]], []):
        assert code(witness, submission(scribe.checkpoint(), 5, wrong)) == "inconsistent"
    assert witness.add_checkpoint(submission(scribe.checkpoint(), 5, proof))


@pytest.mark.parametrize(
    "body",
    [b"", b"old 0", b"old 0\n\n", b"new 0\n\nx\n", b"old -1\n\nx\n", b"old 00\n\nx\n", b"old 1 \n\nx\n",
     b"old 0\nAAAA\n\nx\n", b"old \xff\n\nx\n", b"old 99999999999999999999\n\nx\n",
     b"old 1\n" + b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" * (MAX_PROOF + 1) + b"\nx\n"],
)  # fmt: skip
def test_malformed_requests_are_refused(witness: Witness, body: bytes) -> None:
    assert code(witness, body) in {"malformed_request", "unknown_log"}


def test_the_most_hashes_that_a_proof_may_have_are_read() -> None:
    line = b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
    assert len(parse_submission(b"old 1\n" + line * MAX_PROOF + b"\nx\n").proof) == MAX_PROOF


def test_a_restarted_witness_remembers(tmp_path: Path, scribe: ForkingScribe) -> None:
    fork = scribe.fork(2)
    submit(witness_of(tmp_path / "w", scribe), scribe, 0)
    again = witness_of(tmp_path / "w", scribe)
    fork.grow(9, start=50)
    assert code(again, submission(fork.checkpoint(), 5, proof_of(fork.leaves, 5))) == "inconsistent"
    with pytest.raises(SizeConflict):
        submit(again, fork, 0)
    scribe.grow(1)
    assert submit(again, scribe, 5)


class FailingStore(FileWitnessStore):
    """A disk that writes and then says that it did not, or does not write at all."""

    writes = True

    def put(self, cosigned: Cosigned) -> None:
        if self.writes:
            super().put(cosigned)
        self._held.clear()
        raise Unavailable("witness_store", "the disk failed")


@pytest.mark.parametrize("writes", [True, False])
def test_nothing_is_given_out_that_is_not_durable(
    tmp_path: Path, scribe: ForkingScribe, *, writes: bool
) -> None:
    witness = witness_of(tmp_path / "w", scribe)
    keys = [parse_cosigner(vkey) for vkey in witness.vkeys]
    failing = FailingStore(tmp_path / "w" / "logs", keys)
    failing.writes = writes
    witness._store = failing
    with pytest.raises(Unavailable):
        submit(witness, scribe, 0)
    # Written or not: the witness goes on from what is on disk, and contradicts nothing that it gave out.
    healthy = witness_of(tmp_path / "w", scribe)
    held = healthy.standings()[0].size
    assert held == (5 if writes else 0)
    assert submit(healthy, scribe, held)


def nothing(_note: str) -> str:
    return ""


def cut_end(note: str) -> str:
    return note[:-9]


def edit_size(note: str) -> str:
    return note.replace("\n5\n", "\n4\n", 1)


def cut_line(note: str) -> str:
    return note[: note.rindex("\u2014")]


@pytest.mark.parametrize("edit", [edit_size, cut_line, cut_end, nothing])
def test_an_edited_state_is_noticed(
    tmp_path: Path, scribe: ForkingScribe, edit: Callable[[str], str]
) -> None:
    submit(witness_of(tmp_path / "w", scribe), scribe, 0)
    file = next(tmp_path.glob("w/logs/*/checkpoint"))
    file.write_text(edit(file.read_text()))
    again = witness_of(tmp_path / "w", scribe)
    scribe.grow(1)
    with pytest.raises(Misconfigured):
        submit(again, scribe, 5)


def test_the_state_of_another_log_is_noticed(tmp_path: Path, scribe: ForkingScribe) -> None:
    other = ForkingScribe()
    other.grow(9)
    witness = witness_of(tmp_path / "w", scribe, other)
    submit(witness, scribe, 0)
    submit(witness, other, 0)
    mine, theirs = (
        tmp_path / "w/logs" / sha256(each.origin.encode()).hexdigest() / "checkpoint"
        for each in (scribe, other)
    )
    mine.write_bytes(theirs.read_bytes())
    with pytest.raises(Misconfigured):
        submit(witness_of(tmp_path / "w", scribe, other), scribe, 5)


def test_a_clock_that_goes_back_never_makes_an_older_statement_about_a_newer_tree(
    tmp_path: Path, scribe: ForkingScribe
) -> None:
    clock = TestClock()
    witness = witness_of(tmp_path / "w", scribe, clock=clock)
    submit(witness, scribe, 0)
    clock.time -= 1_000
    scribe.grow(1)
    note = scribe.checkpoint()
    assert times(witness, scribe, note + submit(witness, scribe, 5)) == {1_800_000_000}


def test_evidence_is_bounded_and_what_is_proven_is_not_crowded_out(
    tmp_path: Path, scribe: ForkingScribe
) -> None:
    witness = witness_of(tmp_path / "w", scribe)
    submit(witness, scribe, 0)
    for number in range(EVIDENCE_MAX + 5):
        fork = scribe.fork(3)
        fork.grow(4, start=1_000 + number * 10)
        code(witness, submission(fork.checkpoint(), 5, ()))
    fork = scribe.fork(3)
    fork.grow(2, start=5_000)
    code(witness, submission(fork.checkpoint(), 5, ()))
    standing = witness.standings()[0]
    assert (standing.proven, standing.suspected) == (1, EVIDENCE_MAX)


def test_key_files_of_others_and_odd_names_are_refused(tmp_path: Path) -> None:
    scribe = Scribe()
    witness_of(tmp_path / "w", scribe)
    (tmp_path / "w" / "witness.pem").chmod(0o644)
    with pytest.raises(Misconfigured):
        witness_of(tmp_path / "w", scribe)
    for name in ("", "a b", "a+b", "\u00e9", "x" * 201):
        with pytest.raises(Misconfigured):
            witness_of(tmp_path / "other", scribe, name=name)


def over_http(witness: Witness, requests: list[bytes | str]) -> list[httpx.Response]:
    """The answers to submissions (bytes) and pages (text), in order."""

    async def talk() -> list[httpx.Response]:
        transport = httpx.ASGITransport(application(witness))
        async with httpx.AsyncClient(transport=transport, base_url="http://w") as client:
            return [
                await (
                    client.get(one) if isinstance(one, str) else client.post("/add-checkpoint", content=one)
                )
                for one in requests
            ]

    return asyncio.run(talk())


def test_the_wire_has_the_status_codes_of_the_specification(witness: Witness, scribe: ForkingScribe) -> None:
    note = scribe.checkpoint()
    fork = scribe.fork(0)
    fork.grow(5, start=77)
    told: list[tuple[int, bytes]] = [
        (200, submission(note, 0, ())),
        (409, submission(note, 0, ())),
        (400, submission(note, 9, ())),
        (400, b"nonsense"),
        (413, b"x" * 70_000),
        (404, submission(ForkingScribe().checkpoint(), 0, ())),
        (403, submission(note.replace("\n5\n", "\n6\n"), 5, ())),
        (422, submission(fork.checkpoint(), 5, ())),
        (200, submission(note, 5, ())),
    ]
    answers = over_http(witness, [body for _, body in told])
    assert [answer.status_code for answer in answers] == [status for status, _ in told]
    assert answers[0].text.count("\u2014 w.example/1 ") == 2
    assert answers[0].text.endswith("\n")
    assert (answers[1].text, answers[1].headers["content-type"]) == ("5\n", "text/x.tlog.size")


def test_monitors_get_the_cosigned_head_and_people_a_status(witness: Witness, scribe: ForkingScribe) -> None:
    page = f"/{sha256(scribe.origin.encode()).hexdigest()}/checkpoint"
    before, _, after, odd, status = over_http(
        witness, [page, submission(scribe.checkpoint(), 0, ()), page, "/0/checkpoint", "/status"]
    )
    assert (before.status_code, odd.status_code) == (404, 404)
    assert open_checkpoint(after.text, log_key(scribe)).size == 5
    assert status.json()["vkeys"] == witness.vkeys
    assert status.json()["logs"][0]["size"] == 5


def test_a_state_that_cannot_be_read_back_is_no_answer(witness: Witness, scribe: ForkingScribe) -> None:
    submit(witness, scribe, 0)
    store = witness._store
    assert isinstance(store, FileWitnessStore)
    next(store._directory.glob("*/checkpoint")).write_text("edited")
    store._held.clear()
    assert over_http(witness, [submission(scribe.checkpoint(), 5, ())])[0].status_code == 503


def test_one_process_at_a_time_serves_a_state(tmp_path: Path, scribe: ForkingScribe) -> None:
    logs = {scribe.origin: log_key(scribe)}
    settings = WitnessSettings(tmp_path / "w", "w.example/1", logs, (), ("127.0.0.1", 1))
    witness, book = build(settings)
    (tmp_path / "w" / "run").mkdir(mode=0o700)
    with (
        StateLock(tmp_path / "w" / "run" / "witness.pid"),
        pytest.raises(Misconfigured, match="already_running") as refused,
    ):
        serve(settings, witness, book)
    assert str(tmp_path / "w") in refused.value.public
