"""The compact range is the tree of RFC 6962, at every size."""

import base64
import hashlib
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwright_signer import journal
from sealwright_signer.tree import CompactRange, leaf_hash, node_hash

# The eight leaves on which the published Merkle vectors are built (RFC 6962 reference implementation).
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def range_of(leaves: list[bytes]) -> CompactRange:
    tree = CompactRange()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_the_root_is_that_of_the_definition_at_every_size(leaves: list[bytes]) -> None:
    tree = CompactRange()
    assert tree.root() == naive_root([])
    for size, leaf in enumerate(leaves, 1):
        tree.append(leaf_hash(leaf))
        assert tree.size == size
        assert tree.root() == naive_root(leaves[:size])


@given(st.lists(st.binary(max_size=8), max_size=40), st.lists(st.binary(max_size=8), max_size=40))
def test_a_saved_state_goes_on_as_if_never_interrupted(before: list[bytes], after: list[bytes]) -> None:
    resumed = CompactRange(*range_of(before).state())
    for leaf in after:
        resumed.append(leaf_hash(leaf))
    assert resumed.state() == range_of(before + after).state()


@pytest.mark.parametrize(
    ("size", "roots"), [(1, []), (0, [b"a" * 32]), (3, [b"a" * 32]), (1, [b"a" * 31]), (-1, [])]
)
def test_a_state_that_is_none_is_refused(size: int, roots: list[bytes]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        CompactRange(size, roots)


def test_published_roots_of_the_merkle_vectors(vectors: Path) -> None:
    folder = vectors / "transparency" / "transparency-dev-merkle" / "testdata" / "consistency"
    leaves, seen = [bytes.fromhex(leaf) for leaf in LEAVES], set()
    for file in folder.glob("*/happy-path.json"):
        case = json.loads(file.read_text())
        for size, root in ((case["size1"], case["root1"]), (case["size2"], case["root2"])):
            assert range_of(leaves[:size]).root() == base64.b64decode(root)
            seen.add(size)
    assert seen >= {1, 2, 5, 6, 7, 8}


def test_checkpoints_of_a_foreign_log_at_every_size(vectors: Path) -> None:
    folder = vectors / "transparency" / "tessera-testlog" / "testdata" / "log"
    (bundle,) = (folder / "tile" / "entries").rglob("15")
    data, leaves = bundle.read_bytes(), []
    while data:
        (length,) = struct.unpack(">H", data[:2])
        leaves.append(data[2 : 2 + length])
        data = data[2 + length :]
    assert len(leaves) == 15
    key = base64.b64decode("AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")[1:]
    assert journal.vkey("example.com/log/testdata", key).endswith(
        "+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
    )
    for size in range(1, 16):
        text = journal.checkpoint_text("example.com/log/testdata", size, range_of(leaves[:size]).root())
        published = (folder / f"checkpoint.{size}").read_text()
        assert published.startswith(f"{text}\n")
        blob = base64.b64decode(published.split()[-1])
        assert journal.note(text, "example.com/log/testdata", blob[:4], blob[4:]) == published


def test_the_example_of_the_note_specification(vectors: Path) -> None:
    example = json.loads((vectors / "transparency" / "c2sp-spec" / "signed-note-example.json").read_text())
    name, key_id, key = example["vkey"].split("+")
    raw = base64.b64decode(key)[1:]
    assert journal.vkey(name, raw) == example["vkey"]
    assert journal.note_key_id(name, raw).hex() == key_id
    blob = base64.b64decode(example["note"].split()[-1])
    assert journal.note("This is an example message.\n", name, blob[:4], blob[4:]) == example["note"]
