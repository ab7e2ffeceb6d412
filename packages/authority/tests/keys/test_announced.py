from __future__ import annotations

import json

import pytest

from sealwright.errors import Misconfigured
from sealwright.keys.announced import AnnouncedKeys
from sealwright.keys.model import Key, KeyState

KEY = Key("kid", "mail", "ES256", "a" * 16, "announcement", 3, {}, 1, 2, 3, KeyState.STAGED, 1)


def leaf(announcement: str, kind: int = 2) -> bytes:
    return bytes((1, kind)) + json.dumps({"announcement": announcement, "event": "announced"}).encode()


def test_a_key_whose_announcement_is_in_the_ledger_may_be_listed() -> None:
    AnnouncedKeys(lambda _log, _index: leaf("announcement")).require(KEY)


@pytest.mark.parametrize("stored", [None, leaf("another"), b"\x01\x01" + bytes(112)])
def test_a_key_that_is_not_in_the_ledger_is_not_listed(stored: bytes | None) -> None:
    with pytest.raises(Misconfigured, match="key_not_announced"):
        AnnouncedKeys(lambda _log, _index: stored).require(KEY)


def test_the_ledger_is_asked_once_for_each_key() -> None:
    asked: list[int] = []

    def read(_log: str, index: int) -> bytes:
        asked.append(index)
        return leaf("announcement")

    announced = AnnouncedKeys(read)
    announced.require(KEY)
    announced.require(KEY)
    assert asked == [3]
