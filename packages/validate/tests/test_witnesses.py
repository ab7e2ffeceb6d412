"""Pinned witnesses: policies are read strictly, cosignatures count once, and a quorum is a quorum.

A malicious log here holds the real identity key: everything it says carries the right signature.
"""

import json
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from sealwright_validate import Expect, Misconfigured, Presented, Reason, Refused, WitnessPolicy
from sealwright_validate.conformance.ledger import ThrowawayLedger
from sealwright_validate.cosignature import (
    ED25519,
    ML_DSA_44,
    cosigned_message,
    cosigner_key_id,
    parse_cosigner,
)
from sealwright_validate.keyset import LogKey
from sealwright_validate.note import open_checkpoint
from sealwright_validate.receipt import token_leaf
from sealwright_validate.sidecar.settings import settings_from
from sealwright_validate.witnesses import parse_log_key

MAIL = "https://mail.example"
World = Any


class Cosigner:
    """Cosigns whatever it is given."""

    def __init__(self, name: str, kind: int = ED25519) -> None:
        self.name, self.kind = name, kind
        self.key = Ed25519PrivateKey.generate() if kind == ED25519 else MLDSA44PrivateKey.generate()
        self.public = self.key.public_key().public_bytes_raw()
        self.key_id = cosigner_key_id(name, kind, self.public)
        raw = b64encode(bytes([kind]) + self.public).decode()
        self.vkey = f"{name}+{self.key_id.hex()}+{raw}"

    def line(self, note: str, key: LogKey, at: int) -> str:
        text = note.rpartition("\n\n")[0] + "\n"
        message = cosigned_message(self.kind, self.name, at, text, open_checkpoint(note, key))
        blob = self.key_id + struct.pack(">Q", at) + self.key.sign(message)
        return f"\u2014 {self.name} {b64encode(blob).decode()}\n"


class Log:
    """A world whose tokens are in a ledger, and its key for signing whatever it likes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ledger = ThrowawayLedger(world.authority.incarnation)
        incarnation = world.authority.incarnation
        self.key = LogKey(incarnation.origin, incarnation.identity.private.public_key().public_bytes_raw())
        self.now = int(world.authority.now)
        for _ in range(3):
            self.issue()

    def issue(self, ledger: ThrowawayLedger | None = None, **claims: Any) -> tuple[str, int]:
        into = ledger or self.ledger
        place = f"{self.world.authority.incarnation.log_id}.{len(into.leaves)}.AAAAAAAAAAAA"
        times = {"iat": self.now, "exp": self.now + 300}
        token = str(self.world.authority.token(self.world.key, jti=place, **times, **claims))
        digest = sha256(token.rpartition(".")[0].encode()).digest()
        leaf = token_leaf(digest, self.world.key.kid, times["iat"], times["exp"], b"")
        return token, into.append(leaf)

    def fork(self, size: int) -> ThrowawayLedger:
        """Another history after the first `size` leaves, under the same key."""
        other = ThrowawayLedger(self.world.authority.incarnation)
        other.leaves, other.records = self.ledger.leaves[:size], self.ledger.records[:size]
        return other

    def reason(self, token: str, receipt: str | None, expect: Expect) -> Reason | None:
        try:
            self.world.validator.validate(token, expect, Presented(receipt=receipt))
        except Refused as refusal:
            return refusal.reason
        return None


@pytest.fixture
def log(world: World) -> Log:
    return Log(world)


def demanding(*cosigners: Cosigner, quorum: str = "all") -> Expect:
    lines = [f"witness w{number} {each.vkey}" for number, each in enumerate(cosigners)]
    names = " ".join(f"w{number}" for number in range(len(cosigners)))
    policy = WitnessPolicy.parse("\n".join([*lines, f"group g {quorum} {names}", "quorum g"]))
    return Expect(audience=MAIL, realm="enterprise", witnesses=policy)


@pytest.mark.parametrize("kinds", [(ED25519,), (ML_DSA_44,), (ED25519, ML_DSA_44)])
def test_a_receipt_with_a_quorum_of_pinned_witnesses_is_accepted(log: Log, kinds: tuple[int, ...]) -> None:
    cosigners = [Cosigner(f"witness.example/{number}", kind) for number, kind in enumerate(kinds)]
    token, index = log.issue()
    receipt = log.ledger.receipt(index)
    lines = [each.line(receipt.partition("\n\n")[2], log.key, log.now) for each in cosigners]
    assert log.reason(token, receipt + "".join(lines), demanding(*cosigners)) is None
    fewer = receipt + "".join(lines[1:])
    assert log.reason(token, fewer, demanding(*cosigners)) is Reason.RECEIPT_NOT_WITNESSED


def test_two_of_three_is_two_of_three_and_strangers_count_nothing(log: Log) -> None:
    first, second, third, stranger = (Cosigner(f"w.example/{name}") for name in "abcd")
    expect = demanding(first, second, third, quorum="2")
    token, index = log.issue()
    receipt = log.ledger.receipt(index)
    note = receipt.partition("\n\n")[2]

    def with_lines(*cosigners: Cosigner) -> str:
        return receipt + "".join(each.line(note, log.key, log.now) for each in cosigners)

    assert log.reason(token, with_lines(third, first), expect) is None
    assert log.reason(token, with_lines(first, first), expect) is Reason.RECEIPT_NOT_WITNESSED
    assert log.reason(token, with_lines(first, stranger), expect) is Reason.RECEIPT_NOT_WITNESSED
    assert log.reason(token, receipt, expect) is Reason.RECEIPT_NOT_WITNESSED
    assert log.reason(token, None, expect) is Reason.RECEIPT_MISSING


def test_a_false_cosignature_of_a_pinned_witness_refuses_the_receipt(log: Log) -> None:
    genuine, second = Cosigner("w.example/a"), Cosigner("w.example/b")
    token, index = log.issue()
    receipt = log.ledger.receipt(index)
    note = receipt.partition("\n\n")[2]
    older = log.ledger.checkpoint(2)
    for false in (
        genuine.line(older, log.key, log.now),  # of another tree
        genuine.line(note, log.key, log.now).replace(" ", " ", 1)[:-6] + "AAAA=\n",
        f"\u2014 w.example/a {b64encode(genuine.key_id + b'short').decode()}\n",
        f"\u2014 w.example/a {b64encode(genuine.key_id + bytes(72)).decode()}\n",
    ):
        text = receipt + false + second.line(note, log.key, log.now)
        assert log.reason(token, text, demanding(genuine, second, quorum="any")) is Reason.RECEIPT_INVALID


def test_a_stale_head_does_not_count_nor_one_of_the_future(log: Log) -> None:
    """A head with the token in it cannot be older than the token."""
    witness = Cosigner("w.example/a")
    token, index = log.issue()
    receipt = log.ledger.receipt(index)
    note = receipt.partition("\n\n")[2]
    for late, expected in (
        (0, None),
        (-60, Reason.RECEIPT_NOT_WITNESSED),
        (60, Reason.RECEIPT_NOT_WITNESSED),
    ):
        line = witness.line(note, log.key, log.now + late)
        assert log.reason(token, receipt + line, demanding(witness)) is expected


def test_a_split_view_without_a_witness_is_refused_and_named_where_both_are_seen(log: Log) -> None:
    """The log shows this relying party a tree of its own, in which a token is that nobody else sees."""
    witness = Cosigner("w.example/a")
    honest, index = log.issue()
    forked = log.fork(index)
    hidden, forked_index = log.issue(forked, sub="hidden")
    receipt = log.ledger.receipt(index)
    seen = receipt + witness.line(receipt.partition("\n\n")[2], log.key, log.now)
    assert (
        log.reason(hidden, forked.receipt(forked_index), demanding(witness)) is Reason.RECEIPT_NOT_WITNESSED
    )
    assert log.reason(honest, seen, demanding(witness)) is None
    plain = Expect(audience=MAIL, realm="enterprise", receipt=True)
    assert log.reason(hidden, forked.receipt(forked_index), plain) is Reason.LEDGER_SPLIT_VIEW


def test_a_rollback_is_named_when_a_place_is_given_out_again(log: Log) -> None:
    plain = Expect(audience=MAIL, realm="enterprise", receipt=True)
    first, index = log.issue()
    assert log.reason(first, log.ledger.receipt(index), plain) is None
    again = log.fork(index)
    second, place = log.issue(again, sub="again")
    log.issue(again)  # no size in common with what was seen
    assert place == index
    assert log.reason(second, again.receipt(place), plain) is Reason.LEDGER_SPLIT_VIEW
    assert log.reason(first, log.ledger.receipt(index), plain) is None


def vkey(name: str = "w.example/a") -> str:
    return Cosigner(name).vkey


def log_vkey() -> str:
    public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    key = LogKey("log.example", public)
    raw = b64encode(b"\x01" + public).decode()
    return f"log.example+{key.key_id.hex()}+{raw}"


def test_a_policy_of_the_specification_is_read_and_its_quorum_counted() -> None:
    policy = WitnessPolicy.parse(
        f"# known logs\nlog {log_vkey()} https://log.example/\n\n"
        + "".join(f"\twitness X{n}\t{vkey(f'x{n}')}  https://x{n}.example\n" for n in (1, 2, 3))
        + f"witness Y1 {vkey('y1')}\nwitness Y2 {vkey('y2')}\n"
        "group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2\n"
        "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
    )
    assert list(policy.logs) == ["log.example"]
    assert policy.witnesses["X2"].url == "https://x2.example"
    assert policy.is_met({"X1", "X3", "Y2"})
    for short in ({"X1", "X2"}, {"X1", "Y1"}, {"Y1", "Y2"}, set(), {"Z"}):
        assert not policy.is_met(short)
    single = WitnessPolicy.parse(f"witness a {vkey()}\nquorum a")
    assert single.is_met({"a"}) and not single.is_met(set())  # noqa: PT018 - one thought
    assert WitnessPolicy.parse("quorum none\n").is_met(())


SAME = vkey()
BAD_POLICIES: dict[str, Callable[[], str]] = {
    "no quorum": lambda: f"witness a {vkey()}",
    "two quorums": lambda: f"witness a {vkey()}\nquorum a\nquorum a",
    "empty": lambda: "",
    "undefined": lambda: "quorum a",
    "defined later": lambda: f"quorum a\nwitness a {vkey()}",
    "witness twice": lambda: f"witness a {SAME}\nwitness b {SAME}\nquorum a",
    "name twice": lambda: f"witness a {vkey()}\nwitness a {vkey()}\nquorum a",
    "name none": lambda: f"witness none {vkey()}\nquorum none",
    "member twice": lambda: f"witness a {vkey()}\ngroup g 2 a a\nquorum g",
    "member of two": lambda: f"witness a {vkey()}\ngroup g any a\ngroup h any a\nquorum g",
    "zero of one": lambda: f"witness a {vkey()}\ngroup g 0 a\nquorum g",
    "two of one": lambda: f"witness a {vkey()}\ngroup g 2 a\nquorum g",
    "padded number": lambda: f"witness a {vkey()}\ngroup g 01 a\nquorum g",
    "no members": lambda: "group g any\nquorum g",
    "log key as witness": lambda: f"witness a {log_vkey()}\nquorum a",
    "witness key as log": lambda: f"log {vkey()}\nquorum none",
    "key id of another": lambda: f"witness a {vkey()[:-8]}AAAAAAA=\nquorum a",
    "unknown line": lambda: "wittness a b\nquorum none",
    "control character": lambda: "quorum none\r\n",
    "too long": lambda: "#" * 70_000,
}


@pytest.mark.parametrize("text", BAD_POLICIES.values(), ids=BAD_POLICIES.keys())
def test_what_is_no_policy_is_refused(text: Callable[[], str]) -> None:
    with pytest.raises(Misconfigured):
        WitnessPolicy.parse(text())


def test_an_expectation_of_nobody_is_refused_and_a_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="demand nothing"):
        Expect(audience=MAIL, realm="enterprise", witnesses=WitnessPolicy.parse("quorum none"))
    with pytest.raises(Misconfigured):
        Expect(audience=MAIL, realm="enterprise", witnesses=tmp_path / "absent")
    file = tmp_path / "policy.txt"
    file.write_text(f"witness a {vkey()}\nquorum a\n")
    assert Expect(audience=MAIL, realm="enterprise", witnesses=str(file)).receipt
    table = {"audience": MAIL, "realm": "enterprise", "witnesses": str(file)}
    settings = settings_from({"trust": {"oidc": "https://issuer.example"}, "policy": {"mail": table}})
    assert settings.policies["mail"].expect.witnesses is not None
    settings.trust.close()


def test_the_example_key_of_a_witness_must_be_its_own() -> None:
    key = parse_cosigner(SAME)
    assert key.name == "w.example/a"
    with pytest.raises(Misconfigured):
        parse_cosigner(SAME.replace("w.example/a", "w.example/b"))


VECTOR = Path(__file__).resolve().parents[3] / "vectors" / "witness.json"


def test_the_committed_vectors_are_judged_as_they_say() -> None:
    if not VECTOR.is_file():
        pytest.skip(f"VECTORS ABSENT: {VECTOR} is not beside this installation")
    vector = json.loads(VECTOR.read_text(encoding="utf-8"))
    policy, key = WitnessPolicy.parse(vector["policy"]), parse_log_key(vector["log_vkey"])
    at = 1_800_000_001
    assert len(vector["cases"]) == 8
    for case in vector["cases"]:
        head = open_checkpoint(case["note"], key)
        try:
            policy.require_quorum(case["note"], head, earliest=at, latest=at)
            refused = None
        except Refused as refusal:
            refused = refusal.reason.value
        assert refused == case["refused"], case["name"]
        if case["cosigned"] is not None:
            found = policy.cosigned(case["note"], head)
            assert (sorted(found), set(found.values()) <= {at}) == (case["cosigned"], True), case["name"]


def test_every_byte_of_a_cosignature_counts() -> None:
    if not VECTOR.is_file():
        pytest.skip(f"VECTORS ABSENT: {VECTOR} is not beside this installation")
    vector = json.loads(VECTOR.read_text(encoding="utf-8"))
    policy, key = WitnessPolicy.parse(vector["policy"]), parse_log_key(vector["log_vkey"])
    note = next(case["note"] for case in vector["cases"] if case["name"] == "two_witnesses")
    head = open_checkpoint(note, key)
    text, _, block = note.rpartition("\n\n")
    name, encoded = block.split("\n")[1].removeprefix("\u2014 ").split(" ")
    blob = b64decode(encoded)
    for position in range(len(blob)):
        mutant = blob[:position] + bytes([blob[position] ^ 1]) + blob[position + 1 :]
        changed = f"{text}\n\n\u2014 {name} {b64encode(mutant).decode()}\n"
        with pytest.raises(Refused):
            policy.require_quorum(changed, head, earliest=0, latest=1 << 63)
