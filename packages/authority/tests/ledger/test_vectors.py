"""The committed log, made by the signer's code, read by the authority's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sealwright.errors import Refused
from sealwright.ledger.merkle import Frontier, leaf_hash
from sealwright.ledger.model import EventLeaf, TokenLeaf, parse_leaf
from sealwright.ledger.note import open_checkpoint, parse_vkey

FILE = Path(__file__).resolve().parents[4] / "vectors" / "ledger.json"


@pytest.fixture(scope="module")
def vector() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def test_every_head_is_signed_and_covers_the_leaves(vector: dict[str, Any]) -> None:
    verifier, frontier = parse_vkey(vector["vkey"]), Frontier()
    for leaf, hashed, head in zip(vector["leaves"], vector["leaf_hashes"], vector["heads"], strict=True):
        assert leaf_hash(bytes.fromhex(leaf)).hex() == hashed
        frontier.append(bytes.fromhex(hashed))
        checkpoint = open_checkpoint(head["checkpoint"], verifier)
        assert (checkpoint.size, checkpoint.root) == (head["size"], frontier.root())


def test_leaves_parse_as_what_they_are(vector: dict[str, Any]) -> None:
    leaves = [parse_leaf(bytes.fromhex(leaf)) for leaf in vector["leaves"]]
    assert isinstance(leaves[0], EventLeaf)
    assert leaves[0].members["type"] == "incarnation"
    assert all(isinstance(leaf, TokenLeaf) for leaf in leaves[2:])


def test_every_single_mutation_of_a_checkpoint_is_refused(vector: dict[str, Any]) -> None:
    verifier, note = parse_vkey(vector["vkey"]), vector["heads"][-1]["checkpoint"]
    for position in range(len(note)):
        for new in ("A", "b", "\n", "—"):
            mutant = note[:position] + new + note[position + 1 :]
            if mutant != note:
                with pytest.raises(Refused):
                    open_checkpoint(mutant, verifier)


@pytest.mark.parametrize(
    "mutant",
    [
        b"",
        b"\x01",
        b"\x02\x01" + bytes(112),
        b"\x01\x01" + bytes(111),
        b"\x01\x04{}",
        b"\x01\x03[]",
        b"\x01\x03{",
        bytes(70_000),
    ],
)
def test_what_is_no_leaf_is_refused(mutant: bytes) -> None:
    with pytest.raises(Refused, match="malformed_leaf"):
        parse_leaf(mutant)
