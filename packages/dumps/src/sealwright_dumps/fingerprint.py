"""Salted fingerprints of a key's secrets: enough to find the key anywhere, not enough to learn it.

The format is docs/formats/fingerprints.md. `make` is pure, so that a signer can call it or write it again.
May never do:
let out more than 24 bits of a secret per mark, or a digest over fewer than about 128 unknown bits.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sealwright_dumps import given
from sealwright_dumps.errors import Misconfigured, Refused

FORMAT = "sealwright-fingerprints/1"
DOMAIN = b"sealwright-fingerprint/1\x00"
TAG = 3
WINDOW = 24
DIGEST = 16
SALT = 32
PYTHON_DIGITS = 15  # every fourth 30-bit digit of a Python int starts at a multiple of 15 bytes
_MARKS = ((48, 1), (160, 2), (1 << 31, 4))  # up to this length, so many marks
_HIGHEST_ASCII = 0x7E
LEAST_UNKNOWN = 120  # bits of a window that stay unknown beside its tag


class Kind(StrEnum):
    """What the canonical bytes of a form are."""

    INTEGER = "integer"  # little-endian; found as little-endian limbs, big-endian and Python digits
    BYTES = "bytes"  # found as they are


@dataclass(frozen=True, slots=True)
class Form:
    """One secret value: the key that it belongs to, its name, what it is, and its canonical bytes."""

    key: str
    name: str
    kind: Kind
    data: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """Three bytes to look for at offset `at`, and the digest of the 24 bytes at offset `window`."""

    at: int
    window: int
    tag: str
    mac: str


@dataclass(frozen=True, slots=True)
class Entry:
    """The fingerprint of one form."""

    key: str
    name: str
    kind: Kind
    length: int
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """A salt and the entries made with it."""

    salt: bytes
    entries: tuple[Entry, ...]


def integer(key: str, name: str, value: int, length: int) -> Form:
    """The form of a secret number of `length` bytes."""
    return Form(key, name, Kind.INTEGER, value.to_bytes(length, "little"))


def digest(salt: bytes, window: bytes) -> str:
    """The confirming digest of a window: 16 bytes of HMAC-SHA256, in hexadecimal."""
    return hmac.new(salt, DOMAIN + window, hashlib.sha256).digest()[:DIGEST].hex()


def make(forms: Iterable[Form], salt: bytes) -> Fingerprints:
    """The fingerprints of these forms. Raises Refused for a form too short or too regular to be hidden."""
    if len(salt) != SALT:
        raise Refused("bad-salt", "a salt has 32 bytes")
    return Fingerprints(salt, tuple(_entry(form, salt) for form in forms))


def _entry(form: Form, salt: bytes) -> Entry:
    if len(form.data) < WINDOW or _unknown_bits(form.data) < LEAST_UNKNOWN:
        raise Refused(
            "form-too-weak", "a form this short or regular cannot be fingerprinted safely", form.name
        )
    marks = []
    for low, high in _regions(len(form.data)):
        at = _best_place(form, low, high)
        window = min(max(low, at - (WINDOW - TAG) // 2), high - WINDOW)  # inside its part, as the tag is
        text = form.data[window : window + WINDOW]
        marks.append(Mark(at, window, form.data[at : at + TAG].hex(), digest(salt, text)))
    return Entry(form.key, form.name, form.kind, len(form.data), tuple(marks))


def _unknown_bits(data: bytes) -> float:
    """A cautious estimate of what a window keeps secret beside its tag: the spread of all the form's
    bytes.
    """
    counts = [data.count(value) for value in set(data)]
    spread = -sum(count / len(data) * math.log2(count / len(data)) for count in counts)
    short = math.log2(min(len(data), 256))  # n bytes cannot show more than log2(n) bits each
    return (WINDOW - TAG) * 8 * min(1.0, spread / short)


def _regions(length: int) -> list[tuple[int, int]]:
    """Where one mark each is placed, so that a half is found too: one up to 48 bytes, two to 160, then
    four.
    """
    count = next(count for longest, count in _MARKS if length <= longest)
    return [(length * place // count, length * (place + 1) // count) for place in range(count)]


def _best_place(form: Form, low: int, high: int) -> int:
    """The offset in [low, high) whose three bytes are rarest in ordinary memory."""
    step = PYTHON_DIGITS if form.kind is Kind.INTEGER else 1
    places = [at for at in range(0, high - TAG + 1, step) if low <= at]
    return min(places, key=lambda at: (_commonness(form.data[at : at + TAG]), at))


def _commonness(tag: bytes) -> int:
    common = sum(3 if byte in (0, 0xFF) else 1 if byte <= _HIGHEST_ASCII else 0 for byte in tag)
    return common + 4 * (TAG - len(set(tag)))


def dump(fingerprints: Fingerprints) -> str:
    """The file's text."""
    entries = [asdict(entry) for entry in fingerprints.entries]
    return json.dumps({"format": FORMAT, "salt": fingerprints.salt.hex(), "entries": entries}, indent=1)


def load(text: str) -> Fingerprints:
    """Read a file's text. Raises Misconfigured when it is not exactly of the format."""
    try:
        body = json.loads(text)
        if body["format"] != FORMAT:
            raise Misconfigured("fingerprints-format", "not a fingerprint file of a known version")
        salt = bytes.fromhex(body["salt"])
        entries = tuple(_read_entry(entry) for entry in body["entries"])
    except (ValueError, KeyError, TypeError) as error:
        raise Misconfigured(
            "fingerprints-malformed", "the fingerprint file is damaged", str(error)
        ) from error
    if len(salt) != SALT or not entries:
        raise Misconfigured("fingerprints-empty", "the fingerprint file has no salt or no entries")
    return Fingerprints(salt, entries)


def _read_entry(fields: dict[str, Any]) -> Entry:
    marks = tuple(Mark(int(m["at"]), int(m["window"]), str(m["tag"]), str(m["mac"])) for m in fields["marks"])
    entry = Entry(str(fields["key"]), str(fields["name"]), Kind(fields["kind"]), int(fields["length"]), marks)
    for mark in marks:
        inside = 0 <= mark.window <= mark.at and mark.at + TAG <= mark.window + WINDOW <= entry.length
        if not inside or len(bytes.fromhex(mark.tag)) != TAG or len(bytes.fromhex(mark.mac)) != DIGEST:
            raise ValueError(f"mark outside its form in {entry.name}")
    if not marks or entry.length > 1 << 16:
        raise ValueError(f"no marks in {entry.name}")
    return entry


def load_files(paths: Iterable[str]) -> tuple[Fingerprints, ...]:
    """Read fingerprint files. Raises Misconfigured."""
    try:
        return tuple(load(given.read(Path(path)).decode()) for path in paths)
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            "fingerprints-unreadable", "a fingerprint file cannot be read", str(error)
        ) from error
