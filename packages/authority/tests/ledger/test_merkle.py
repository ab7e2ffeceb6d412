from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwright.ledger.merkle import EMPTY_ROOT, Frontier, leaf_hash


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 §2.1, as written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_the_root_is_that_of_rfc_6962(leaves: list[bytes]) -> None:
    frontier = Frontier()
    frontier.extend(leaves)
    assert frontier.root() == naive_root(leaves)
    assert frontier.size == len(leaves)


@given(st.lists(st.binary(max_size=4), max_size=40), st.integers(0, 40))
def test_a_frontier_can_be_stored_and_resumed(leaves: list[bytes], cut: int) -> None:
    first = Frontier()
    first.extend(leaves[:cut])
    resumed = Frontier(first.size, first.nodes)
    resumed.extend(leaves[cut:])
    assert resumed.root() == naive_root(leaves)


def test_a_copy_grows_apart() -> None:
    frontier = Frontier()
    frontier.append(leaf_hash(b"a"))
    copy = frontier.copy()
    copy.append(leaf_hash(b"b"))
    assert frontier.root() == leaf_hash(b"a")


def test_the_empty_tree_has_the_root_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT


def test_a_frontier_with_the_wrong_number_of_subtrees_is_refused() -> None:
    with pytest.raises(ValueError, match="perfect subtrees"):
        Frontier(3, [b"x" * 32])
