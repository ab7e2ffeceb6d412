"""Merkle proofs by their definition and by published vectors; receipts prove one token at one place, or
nothing.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sealwright_validate import Expect, Presented, Reason, Refused
from sealwright_validate.conformance.authority import Incarnation
from sealwright_validate.conformance.ledger import ThrowawayLedger, consistency_of, path_of, root_of
from sealwright_validate.encoding import encode_base64url
from sealwright_validate.keyset import LogKey
from sealwright_validate.merkle import leaf_hash, require_consistency, require_inclusion
from sealwright_validate.middleware.asgi import SealwrightMiddleware
from sealwright_validate.note import open_checkpoint, open_note
from sealwright_validate.receipt import token_leaf

MAIL = "https://mail.example"
EXPECT = Expect(audience=MAIL, realm="enterprise")
World = Any


def holds(check: Callable[..., None], *proof: Any) -> bool:
    try:
        check(*proof)
    except Refused:
        return False
    return True


def test_every_proof_by_definition_holds_and_no_other_does() -> None:
    hashes = [leaf_hash(bytes([number])) for number in range(17)]
    for size in range(1, 18):
        root = root_of(hashes[:size])
        for index in range(size):
            path = path_of(hashes[:size], index)
            assert holds(require_inclusion, hashes[index], index, size, path, root)
            for wrong in ([*path, root], path[:-1] if path else [root], [sha256(b"x").digest(), *path[1:]]):
                assert wrong == path or not holds(require_inclusion, hashes[index], index, size, wrong, root)
            other = (index + 1) % size
            assert other == index or not holds(require_inclusion, hashes[index], other, size, path, root)
        for first in range(1, size + 1):
            proof = consistency_of(hashes[:size], first)
            assert holds(require_consistency, first, size, root_of(hashes[:first]), root, proof)
            assert not holds(require_consistency, first, size, root_of(hashes[:first]), root, [*proof, root])
            assert not holds(require_consistency, first, size, sha256(b"x").digest(), root, proof)


def cases_of(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))]
    assert len(found) == 98
    return found


def decoded(case: dict[str, Any], *names: str) -> list[bytes]:
    return [b64decode(case[name] or "") for name in names]


def test_published_inclusion_vectors_agree(vectors: Path) -> None:
    for case in cases_of(vectors / "transparency" / "transparency-dev-merkle" / "testdata" / "inclusion"):
        leaf, root = decoded(case, "leafHash", "root")
        proof = [b64decode(each) for each in case["proof"] or []]
        said = holds(require_inclusion, leaf, case["leafIdx"], case["treeSize"], proof, root)
        assert said == (not case["wantErr"]), case["desc"]


def test_published_consistency_vectors_agree(vectors: Path) -> None:
    folder = vectors / "transparency" / "transparency-dev-merkle" / "testdata"
    for case in cases_of(folder / "consistency"):
        first, second = decoded(case, "root1", "root2")
        proof = [b64decode(each) for each in case["proof"] or []]
        said = holds(require_consistency, case["size1"], case["size2"], first, second, proof)
        # Ours is stricter in one point: a root that is no SHA-256 is refused, even where it is not used.
        odd = {len(first), len(second)} != {32}
        assert said == (not case["wantErr"]) or (odd and not said), case["desc"]


def key_of(vkey: str) -> LogKey:
    name, _, rest = vkey.partition("+")
    return LogKey(name, b64decode(rest.partition("+")[2])[1:])


def test_the_example_of_the_note_specification_opens(vectors: Path) -> None:
    example = json.loads((vectors / "transparency" / "c2sp-spec" / "signed-note-example.json").read_text())
    key = key_of(example["vkey"])
    assert key.key_id.hex() == example["vkey"].split("+")[1]
    assert open_note(example["note"], key) == "This is an example message.\n"


def test_the_checkpoints_of_a_foreign_log_open(vectors: Path) -> None:
    log = vectors / "transparency" / "tessera-testlog" / "testdata" / "log"
    key = key_of("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
    for size in range(1, 16):
        assert open_checkpoint((log / f"checkpoint.{size}").read_text(), key).size == size


class Ledgered:
    """A world whose tokens are in a ledger."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ledger = ThrowawayLedger(world.authority.incarnation)
        for _ in range(5):
            self.issue()

    def issue(self) -> tuple[str, int]:
        authority, index = self.world.authority, len(self.ledger.leaves)
        place = f"{authority.incarnation.log_id}.{index}.AAAAAAAAAAAA"
        claims = {"iat": authority.now, "exp": authority.now + 300}
        token = str(authority.token(self.world.key, jti=place, **claims))
        digest = sha256(token.rpartition(".")[0].encode()).digest()
        leaf = token_leaf(digest, self.world.key.kid, claims["iat"], claims["exp"], b"")
        return token, self.ledger.append(leaf)

    def reason(self, token: str, receipt: str | None, expect: Expect = EXPECT) -> Reason:
        with pytest.raises(Refused) as caught:
            self.world.validator.validate(token, expect, Presented(receipt=receipt))
        return caught.value.reason


@pytest.fixture
def ledgered(world: World) -> Ledgered:
    return Ledgered(world)


def test_a_receipt_proves_its_token_offline_at_every_size(ledgered: Ledgered) -> None:
    token, index = ledgered.issue()
    for _ in range(4):
        receipt = ledgered.ledger.receipt(index)
        assert ledgered.world.validator.validate(token, EXPECT, Presented(receipt=receipt))
        ledgered.issue()


def test_a_receipt_that_is_demanded_must_come(ledgered: Ledgered) -> None:
    token, index = ledgered.issue()
    demanding = Expect(audience=MAIL, realm="enterprise", receipt=True)
    assert ledgered.reason(token, None, demanding) is Reason.RECEIPT_MISSING
    receipt = ledgered.ledger.receipt(index)
    assert ledgered.world.validator.validate(token, demanding, Presented(receipt=receipt))
    assert ledgered.reason(token, None, demanding) is Reason.RECEIPT_MISSING, (
        "also when the token is remembered"
    )


def test_a_forged_token_has_no_receipt(ledgered: Ledgered) -> None:
    token, index = ledgered.issue()
    place = f"{ledgered.world.authority.incarnation.log_id}.{index}.AAAAAAAAAAAA"
    forged = str(ledgered.world.authority.token(ledgered.world.key, jti=place, sub="ceo"))
    receipt = ledgered.ledger.receipt(index)
    assert ledgered.reason(forged, receipt) is Reason.RECEIPT_INVALID
    assert ledgered.reason(token, ledgered.ledger.receipt(index - 1)) is Reason.RECEIPT_INVALID


def test_a_checkpoint_of_another_log_proves_nothing(ledgered: Ledgered) -> None:
    token, index = ledgered.issue()
    stranger = ThrowawayLedger(Incarnation("http://127.0.0.1:8420"))
    stranger.leaves, stranger.records = ledgered.ledger.leaves, ledgered.ledger.records
    assert ledgered.reason(token, stranger.receipt(index)) is Reason.RECEIPT_INVALID
    receipt = ledgered.ledger.receipt(index)
    renamed = receipt.replace(ledgered.world.authority.incarnation.origin, "example.com/log")
    assert ledgered.reason(token, renamed) is Reason.RECEIPT_INVALID


def test_every_changed_line_of_a_receipt_is_refused(ledgered: Ledgered) -> None:
    token, index = ledgered.issue()
    ledgered.issue()
    lines = ledgered.ledger.receipt(index).split("\n")
    for number, line in enumerate(lines):
        for changed in (line + "A", line[1:], "A" + line, "") if line else ("A", "\x00"):
            text = "\n".join([*lines[:number], changed, *lines[number + 1 :]])
            if changed != line:
                assert ledgered.reason(token, text) is Reason.RECEIPT_INVALID, (number, changed)
        removed = "\n".join(lines[:number] + lines[number + 1 :])
        assert ledgered.reason(token, removed) is Reason.RECEIPT_INVALID, number


@pytest.mark.parametrize("text", ["", "x", "\n\n", "c2sp.org/tlog-proof@v1\n\n\n", "x" * 20_000, "\ud800"])
def test_what_is_no_receipt_is_refused(ledgered: Ledgered, text: str) -> None:
    assert ledgered.reason(ledgered.issue()[0], text) is Reason.RECEIPT_INVALID


def test_a_checkpoint_has_three_lines_and_plain_numbers(ledgered: Ledgered) -> None:
    incarnation = ledgered.world.authority.incarnation
    raw = incarnation.identity.private.public_key().public_bytes_raw()
    key = LogKey(incarnation.origin, raw)
    root = b64encode(bytes(32)).decode()
    good = ledgered.ledger.sign(f"{incarnation.origin}\n7\n{root}\n")
    assert open_checkpoint(good, key).size == 7
    for text in (
        f"{incarnation.origin}\n07\n{root}\n",
        f"{incarnation.origin}\n-7\n{root}\n",
        f"{incarnation.origin}\n{'9' * 30}\n{root}\n",
        f"{incarnation.origin}\n7\n{root}\nextension\n",
        f"{incarnation.origin}\n7\n{root[:-4]}\n",
        f"{incarnation.origin}\n7\n",
        f"other\n7\n{root}\n",
    ):
        with pytest.raises(Refused):
            open_checkpoint(ledgered.ledger.sign(text), key)


def test_a_receipt_comes_in_a_header(ledgered: Ledgered) -> None:
    import asyncio

    token, index = ledgered.issue()
    receipt = encode_base64url(ledgered.ledger.receipt(index).encode())
    demanding = Expect(audience=MAIL, realm="enterprise", receipt=True)
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["sealwright"])

    async def send(message: Any) -> None:
        seen.append(message.get("status"))

    async def receive() -> Any:
        return {}

    guard = SealwrightMiddleware(app, validator=ledgered.world.validator, expect=demanding)
    headers = [(b"authorization", f"Bearer {token}".encode())]
    for more, status in (([receipt], None), ([], 401), (["?"], 401), ([receipt, receipt], 401)):
        seen.clear()
        sent = headers + [(b"sealwright-receipt", value.encode()) for value in more]
        asyncio.run(guard({"type": "http", "path": "/", "headers": sent}, receive, send))
        assert (seen[0] if status else seen[0].subject) == (status or "mail-client")
