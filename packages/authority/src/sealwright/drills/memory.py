"""Looks for a P-256 private key in another process's memory, knowing only its public key. Needs root.

OpenSSL keeps the scalar in a 32-byte heap block; glibc puts its size in front of it. Each such block is
tried as a scalar. Once the scalar is known, it is looked for in every byte order, anywhere.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

_CHUNKS = tuple(struct.pack("<Q", size | flags) for size in (0x30, 0x40, 0x50) for flags in (0, 1, 4, 5))
"""glibc: sizes of chunks that hold a 32-byte number (with room to grow), with each of the flags in the low
bits.
"""
SCALAR_BYTES = 32
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MAX_REGION = 1 << 30
_ALIGNMENT = 8


def regions(pid: int) -> Iterator[bytes]:
    """Every readable, writable region of a process.

    Raises:
        PermissionError: not root, or the process cannot be read by this user.
    """
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="ascii", errors="replace")
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps.splitlines():
            bounds, permissions = line.split()[:2]
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            if not permissions.startswith("rw") or end - start > MAX_REGION:
                continue
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except (OSError, OverflowError):
                continue  # a page that nobody can read, such as one of memfd_secret, holds its secret


def find_scalar(pid: int, public: ec.EllipticCurvePublicKey) -> int | None:
    """The private scalar of `public`, or None when it is in no block of that memory."""
    wanted = public.public_numbers()
    tried: set[bytes] = set()
    for region in regions(pid):
        for candidate in _blocks(region):
            if candidate in tried:
                continue
            tried.add(candidate)
            scalar = int.from_bytes(candidate, "little")
            if 0 < scalar < ORDER and scalar >> 192:
                found = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
                if found == wanted:
                    return scalar
    return None


def _blocks(region: bytes) -> Iterator[bytes]:
    for header in _CHUNKS:
        position = region.find(header)
        while position >= 0:
            start = position + len(header)
            if position % _ALIGNMENT == 0 and start + SCALAR_BYTES <= len(region):
                yield region[start : start + SCALAR_BYTES]
            position = region.find(header, position + 1)


def count_scalar(pid: int, scalar: int) -> int:
    """How often a known scalar stands in that memory, in either byte order."""
    forms = (scalar.to_bytes(SCALAR_BYTES, "little"), scalar.to_bytes(SCALAR_BYTES, "big"))
    return sum(region.count(form) for region in regions(pid) for form in forms)
