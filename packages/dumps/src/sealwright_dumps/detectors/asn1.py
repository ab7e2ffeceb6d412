"""A small strict DER reader over hostile memory.

May never do: read outside its buffer, recurse, or accept a length that does not fit.
"""

from __future__ import annotations

from dataclasses import dataclass

from sealwright_dumps.errors import Malformed

INTEGER, OCTETS, OID, SEQUENCE = 0x02, 0x04, 0x06, 0x30
LARGEST = 64 << 10
_SHORT = 0x80


@dataclass(frozen=True, slots=True)
class Node:
    """One element: its tag, where it starts, where its body starts and ends."""

    tag: int
    start: int
    body: int
    end: int


def read(data: bytes, at: int, limit: int) -> Node:
    """The element at `at`, which must end at or before `limit`. Raises Malformed."""
    if at < 0 or at + 2 > limit:
        raise Malformed("element outside its parent")
    tag, first = data[at], data[at + 1]
    body = at + 2
    length = first
    if first >= _SHORT:
        count = first - _SHORT
        if not 1 <= count <= 3 or body + count > limit:
            raise Malformed("length of a length")
        length = int.from_bytes(data[body : body + count], "big")
        body += count
        if length < _SHORT or length >> (8 * (count - 1)) == 0:
            raise Malformed("length not minimal")
    if length > LARGEST or body + length > limit:
        raise Malformed("element longer than its parent")
    return Node(tag, at, body, body + length)


def children(data: bytes, parent: Node) -> list[Node]:
    """The elements of a constructed element, which they must fill exactly. Raises Malformed."""
    nodes: list[Node] = []
    at = parent.body
    while at < parent.end:
        node = read(data, at, parent.end)
        nodes.append(node)
        at = node.end
    return nodes


def integer(data: bytes, node: Node) -> int:
    """The value of a non-negative INTEGER. Raises Malformed."""
    if node.tag != INTEGER or node.end == node.body or data[node.body] & 0x80:
        raise Malformed("not a non-negative INTEGER")
    return int.from_bytes(data[node.body : node.end], "big")


def enclosing_sequence(data: bytes, inner: int) -> Node:
    """The SEQUENCE whose body starts at `inner`: its header is the two to four bytes before. Raises
    Malformed.
    """
    for header in (4, 3, 2, 5):
        start = inner - header
        if start < 0 or data[start] != SEQUENCE:
            continue
        try:
            node = read(data, start, len(data))
        except Malformed:
            continue
        if node.body == inner:
            return node
    raise Malformed("no SEQUENCE starts here")


def declared_length(data: bytes, inner: int) -> int:
    """As `enclosing_sequence`, for one that the buffer cuts off: the length that its header declares,
    or 0.
    """
    start = inner - 4
    if start >= 0 and data[start] == SEQUENCE and data[start + 1] == 0x82:
        return int.from_bytes(data[start + 2 : start + 4], "big")
    return 0
