"""A key that the ledger does not prove to be announced is refused where that is demanded."""

from typing import Any

import pytest

from sealwright_validate import Reason, Refused
from sealwright_validate.announced import require_announced
from sealwright_validate.conformance.authority import Incarnation, Issued, ThrowawayAuthority, document_header
from sealwright_validate.conformance.keys import compact_json, jws
from sealwright_validate.conformance.ledger import ThrowawayLedger
from sealwright_validate.keyset import KeySnapshot
from sealwright_validate.manifest import open_manifest
from sealwright_validate.root import pinned_root

NOW = 1_800_000_000
EXTRA = ("status", "evidence", "ledger_index")


class World:
    """One key in a manifest, and a ledger to announce it in."""

    def __init__(self) -> None:
        self.authority = ThrowawayAuthority(NOW)
        self.issued: Issued = self.authority.make_key()
        self.ledger = ThrowawayLedger(self.authority.incarnation)
        root = pinned_root(self.authority.roots[0])
        self.snapshot: KeySnapshot = open_manifest(root, self.authority.served(), None, now=NOW, skew=5)

    def announce(self, signer: Incarnation | None = None, event: str = "announced", **changed: Any) -> str:
        entry = {name: value for name, value in self.issued.entry.items() if name not in EXTRA} | changed
        identity = (signer or self.authority.incarnation).identity
        announcement = jws(identity, document_header(identity, "key"), entry)
        facts = {"announcement": announcement, "at": NOW, "event": event, "kid": entry["kid"]}
        leaf = b"\x01\x02" + compact_json({**facts, "realm": "enterprise"})
        self.ledger.leaves.append(leaf)
        self.ledger.records.append(leaf)
        return self.ledger.receipt(len(self.ledger.leaves) - 1)

    def require(self, receipt: str) -> None:
        require_announced(self.snapshot.keys[self.issued.kid], receipt, self.snapshot.logs)

    def refuses(self, receipt: str) -> bool:
        with pytest.raises(Refused) as caught:
            self.require(receipt)
        return caught.value.reason is Reason.KEY_NOT_ANNOUNCED


@pytest.fixture
def world() -> World:
    return World()


def test_an_announced_key_passes(world: World) -> None:
    world.require(world.announce())


@pytest.mark.parametrize(
    "changed",
    [
        {"realm": "consumer"},
        {"audiences": ["https://mail.example"]},
        {"max_lifetime": 60},
        {"use_until": NOW + 60},
        {"token_types": ["jwt"]},
        {"incarnation": "aaaaaaaaaaaaaaaa"},
        {"kid": "A" * 43},
    ],
)
def test_a_key_that_was_announced_differently_is_refused(world: World, changed: dict[str, Any]) -> None:
    assert world.refuses(world.announce(**changed))


def test_another_event_of_the_key_announces_nothing(world: World) -> None:
    assert world.refuses(world.announce(event="activated"))


def test_an_announcement_that_another_incarnation_signed_is_refused(world: World) -> None:
    assert world.refuses(world.announce(Incarnation(world.authority.url)))


def test_an_announcement_in_another_log_is_refused(world: World) -> None:
    world.ledger = ThrowawayLedger(Incarnation(world.authority.url))
    assert world.refuses(world.announce())


def test_a_receipt_of_another_leaf_is_refused(world: World) -> None:
    one, other = world.announce(), world.announce(max_lifetime=60)
    mixed = "\n".join([*one.split("\n")[:2], *other.split("\n")[2:]])
    assert world.refuses(mixed)
    assert world.refuses("")
