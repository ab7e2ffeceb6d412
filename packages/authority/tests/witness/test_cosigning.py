"""Heads are cosigned before they are published; whatever witnesses do, publishing and issuing go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from authority_support.ledgers import SignedLedger
from authority_support.logs import Scribe
from authority_support.witnesses import ForkingScribe, TestClock, log_key, proof_of, witness_of
from sealwright.config import Config
from sealwright.config.rules import problems
from sealwright.errors import Refused, Unavailable
from sealwright.ledger.cosigning import QUORUM_PATIENCE, Cosigning, Reply, Trouble
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.fsck import check_ledger
from sealwright.ledger.model import Log
from sealwright.ledger.publisher import Publisher
from sealwright.wiring.witnessing import Witnessing, _prove
from sealwright.witness.book import FollowedLogs
from sealwright.witness.model import KnownLog
from sealwright.witness.service import SizeConflict, Witness
from sealwright_validate.keyset import LogKey
from sealwright_validate.note import open_checkpoint
from sealwright_validate.witnesses import WitnessPolicy

STATUS = {"malformed_request": 400, "old_above_size": 400, "log_signature": 403, "unknown_log": 404,
          "inconsistent": 422}  # fmt: skip
Behaviour = Callable[[bytes], Reply]


class Network:
    """Witnesses by address. An address may be made to misbehave."""

    def __init__(self) -> None:
        self.witnesses: dict[str, Witness] = {}
        self.odd: dict[str, Behaviour] = {}
        self.posts: list[tuple[str, int]] = []

    def __call__(self, url: str, body: bytes) -> Reply:
        base = url.removesuffix("/add-checkpoint")
        self.posts.append((base, int(body.split(b"\n")[0].split(b" ")[1])))
        if base in self.odd:
            return self.odd[base](body)
        try:
            return Reply(200, self.witnesses[base].add_checkpoint(body).encode())
        except SizeConflict as conflict:
            return Reply(409, b"%d\n" % conflict.size)
        except Refused as refusal:
            return Reply(STATUS[refusal.code], b"")


class Scene:
    """A log, and a policy of two out of three witnesses."""

    def __init__(self, directory: Path, count: int = 3, quorum: str = "2") -> None:
        self.clock = TestClock()
        self.network = Network()
        self.scribe = ForkingScribe()
        self.scribe.grow(5)
        self.troubles: list[Trouble] = []
        lines = []
        for number in range(count):
            url = f"https://w{number}.example"
            witness = witness_of(
                directory / str(number), self.scribe, clock=self.clock, name=f"w{number}.example"
            )
            self.network.witnesses[url] = witness
            lines.append(f"witness w{number} {witness.vkeys[0]} {url}/\n")
        names = " ".join(f"w{number}" for number in range(count))
        self.policy = WitnessPolicy.parse("".join(lines) + f"group g {quorum} {names}\nquorum g\n")
        self.cosigning = self.restarted()

    def restarted(self, timeout: float = 60.0) -> Cosigning:
        def prove(_log_id: str, old: int, size: int) -> list[bytes]:
            return proof_of(self.scribe.leaves[:size], old)

        return Cosigning(self.policy, self.network, prove, self.clock, self.troubles.append, timeout)

    def stored(self) -> Log:
        scribe = self.scribe
        return Log(scribe.log_id, scribe.origin, scribe.vkey, scribe.frontier.size, scribe.checkpoint(), None)

    def cosign(self, published: str | None = None) -> str:
        return self.cosigning.cosign(self.stored(), published)

    def who(self, note: str) -> set[str]:
        return set(self.policy.cosigned(note, open_checkpoint(note, log_key(self.scribe))))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_every_witness_cosigns_every_head_and_is_asked_from_where_it_stands(scene: Scene) -> None:
    assert scene.who(scene.cosign()) == {"w0", "w1", "w2"}
    scene.scribe.grow(7)
    assert scene.who(scene.cosign()) == {"w0", "w1", "w2"}
    assert sorted(scene.network.posts) == sorted(
        (f"https://w{n}.example", old) for n in range(3) for old in (0, 5)
    )
    assert (scene.troubles, scene.cosigning.missed) == ([], {})


def test_a_restarted_authority_learns_from_the_witness_where_it_stands(scene: Scene) -> None:
    scene.cosign()
    scene.scribe.grow(3)
    scene.cosigning = scene.restarted()
    assert scene.who(scene.cosign()) == {"w0", "w1", "w2"}
    assert [old for url, old in scene.network.posts if "w0" in url] == [0, 0, 5]


def test_a_head_that_has_its_quorum_is_not_asked_about_again(scene: Scene) -> None:
    published = scene.cosign()
    asked = len(scene.network.posts)
    assert scene.cosign(published) == published
    assert len(scene.network.posts) == asked
    foreign = published + published.split("\n")[-2].replace("w2.example", "x.example") + "\n"
    assert scene.cosign(foreign) == published


def away(_body: bytes) -> Reply:
    raise Unavailable("witness_away", "no answer")


def broken(_body: bytes) -> Reply:
    return Reply(500, b"")


def rubbish(_body: bytes) -> Reply:
    return Reply(200, b"\xff\xfe\n\n" + "— w0.example AAAA\n— w0.example !\n—\n".encode())


def no_number(_body: bytes) -> Reply:
    return Reply(409, b"many")


def ever_other_sizes(body: bytes) -> Reply:
    return Reply(409, b"%d\n" % ((int(body.split(b"\n")[0].split(b" ")[1]) + 1) % 5))


@pytest.mark.parametrize("behaviour", [away, broken, rubbish, no_number, ever_other_sizes])
def test_a_witness_that_fails_costs_its_line_only_and_is_asked_less_and_less(
    scene: Scene, behaviour: Behaviour
) -> None:
    scene.network.odd["https://w0.example"] = behaviour
    assert scene.who(scene.cosign()) == {"w1", "w2"}
    for _ in range(12):
        scene.scribe.grow(1)
        assert scene.who(scene.cosign()) == {"w1", "w2"}
        scene.clock.time += 1
    endpoint = scene.cosigning.endpoints[0]
    assert (endpoint.failures, bool(endpoint.error)) == (4, True)  # after 0, 1, 3 and 7 seconds
    assert (scene.troubles, scene.cosigning.missed) == ([], {})
    del scene.network.odd["https://w0.example"]
    scene.clock.time += 60
    assert scene.who(scene.cosign()) == {"w0", "w1", "w2"}
    assert endpoint.failures == 0


def test_a_silent_witness_is_not_waited_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    release = threading.Event()

    def silent(_body: bytes) -> Reply:
        release.wait(60)
        return Reply(500, b"")

    scene.network.odd["https://w0.example"] = silent
    scene.cosigning = scene.restarted(timeout=1.0)
    try:
        assert scene.who(scene.cosign()) <= {"w1", "w2"}
        assert not release.is_set()
        assert scene.cosigning.endpoints[0].error == "no answer within 1 s"
    finally:
        release.set()
        scene.cosigning.close()


def test_a_false_line_is_never_published(scene: Scene) -> None:
    def forged(_body: bytes) -> Reply:
        other = ForkingScribe()
        other.grow(2)
        genuine = scene.network.witnesses["https://w0.example"]._cosigners[0]
        head = open_checkpoint(other.checkpoint(), log_key(other))
        return Reply(200, genuine.line(other.checkpoint().rpartition("\n\n")[0] + "\n", head, 1).encode())

    scene.network.odd["https://w0.example"] = forged
    note = scene.cosign()
    assert scene.who(note) == {"w1", "w2"}
    assert "w0.example" not in note


def test_a_missed_quorum_is_published_without_and_becomes_an_alarm(scene: Scene) -> None:
    for number in (0, 1):
        scene.network.odd[f"https://w{number}.example"] = away
    began = scene.clock.time
    assert scene.who(scene.cosign()) == {"w2"}
    assert scene.cosigning.missed == {scene.scribe.log_id: began}
    assert scene.troubles == []
    for _ in range(3):
        scene.clock.time += QUORUM_PATIENCE / 2
        scene.scribe.grow(1)
        scene.cosign()
    assert [(one.code, one.since) for one in scene.troubles] == [("witness_quorum_missed", began)]
    scene.network.odd.clear()
    scene.clock.time += 60
    scene.cosign()
    assert scene.cosigning.missed == {}
    scene.network.odd |= {f"https://w{number}.example": away for number in range(2)}
    for _ in range(2):
        scene.scribe.grow(1)
        scene.cosign()
        scene.clock.time += 2 * QUORUM_PATIENCE
    assert len(scene.troubles) == 2


def test_a_log_that_went_back_is_refused_by_every_witness_and_told_of_at_once(scene: Scene) -> None:
    scene.scribe.grow(5)
    scene.cosign()
    scene.scribe = scene.scribe.fork(6)
    scene.scribe.grow(1, start=500)
    assert scene.who(scene.cosign()) == set()
    assert {one.code for one in scene.troubles} == {"witness_refused"}
    assert len(scene.troubles) == 3
    assert "seen 10 leaves" in scene.troubles[0].detail


def test_a_log_that_forked_is_refused_and_told_of_at_once(scene: Scene) -> None:
    scene.cosign()
    scene.scribe = scene.scribe.fork(3)
    scene.scribe.grow(9, start=500)
    assert scene.who(scene.cosign()) == set()
    assert [one.code for one in scene.troubles] == ["witness_refused"] * 3
    assert scene.network.witnesses["https://w1.example"].standings()[0].suspected == 1


def test_a_log_that_a_witness_does_not_know_yet_does_not_delay_the_others(scene: Scene) -> None:
    young = ForkingScribe()
    young.grow(2)
    known = scene.scribe
    scene.scribe = young
    assert scene.who(scene.cosign()) == set()
    scene.scribe = known
    assert scene.who(scene.cosign()) == {"w0", "w1", "w2"}
    assert scene.troubles == []


def test_a_stored_head_that_is_none_is_refused_as_the_publisher_expects(scene: Scene) -> None:
    good = scene.stored()
    forged = good.checkpoint.replace("\n5\n", "\n6\n")
    for odd in (replace(good, checkpoint=forged), replace(good, checkpoint=""), replace(good, vkey="x")):
        with pytest.raises(Refused) as caught:
            scene.cosigning.cosign(odd, None)
        assert caught.value.code == "log_signature"


def test_two_keys_of_one_witness_are_asked_for_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path, count=1, quorum="1")
    witness = scene.network.witnesses["https://w0.example"]
    ed25519, ml_dsa = witness.vkeys
    url = "https://w0.example"
    scene.policy = WitnessPolicy.parse(
        f"witness a {ed25519} {url}\nwitness b {ml_dsa} {url}\ngroup g all a b\nquorum g"
    )
    scene.cosigning = scene.restarted()
    assert scene.who(scene.cosign()) == {"a", "b"}
    assert scene.network.posts == [(url, 0)]


def test_the_publisher_puts_cosigned_heads_beside_the_tiles(tmp_path: Path) -> None:
    """The real signer, writer, store, publisher and proofs from the files just written."""
    ledger, clock, network = SignedLedger(tmp_path), TestClock(), Network()
    scribe = Scribe()
    scribe.origin, scribe.vkey = ledger.signer.journal.origin, ledger.vkey
    witness = witness_of(tmp_path / "w", clock=clock)
    assert isinstance(witness._logs, FollowedLogs)
    key = LogKey(scribe.origin, ledger.signer.identity.public)
    witness._logs._logs[scribe.origin] = KnownLog(key)
    network.witnesses["https://w.example"] = witness
    policy = WitnessPolicy.parse(f"witness w {witness.vkeys[0]} https://w.example\nquorum w")
    troubles: list[Trouble] = []
    files = LedgerFiles(ledger.files)

    def prove(log_id: str, old: int, size: int) -> list[bytes]:
        return _prove(files, log_id, old, size)

    cosigning = Cosigning(policy, network, prove, clock, troubles.append, 60.0)
    ledger.publisher = Publisher(ledger.store, ledger.files, cosign=Witnessing(files, cosigning).cosign)
    for count in (1, 250, 3, 300):
        ledger.issue(count)
        ledger.publish()
        note = (ledger.directory / "checkpoint").read_text()
        head = open_checkpoint(note, key)
        assert head.size == ledger.signer.journal.size
        assert policy.is_met(policy.cosigned(note, head))
    assert troubles == []
    assert check_ledger(ledger.store, ledger.files).sound


def test_the_limit_of_waiting_is_bounded() -> None:
    def broken_rules(timeout: int) -> list[str]:
        witness = msgspec.structs.replace(Config().witness, timeout=timeout)
        return [problem.rule for problem in problems(msgspec.structs.replace(Config(), witness=witness))]

    assert (broken_rules(0), broken_rules(1), broken_rules(30), broken_rules(31)) == (
        ["witness_timeout"], [], [], ["witness_timeout"],
    )  # fmt: skip
