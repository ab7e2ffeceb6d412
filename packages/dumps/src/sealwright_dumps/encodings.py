"""How the same bytes look in base64, hexadecimal and UTF-16, and the way back.

A binary literal at an unknown place inside a base64 text has three possible spellings, one for each place
modulo
three; the whole characters that it determines are a literal again. So one table of binary literals finds them
all.
May never do: decode without a bound.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum

LOOK_BEHIND = 8 << 10
LOOK_AHEAD = 32 << 10
_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_HEX = b"0123456789abcdefABCDEF"
_BREAKS = b"\r\n\t \\"
_EITHER = _STANDARD + b"-_" + _BREAKS
_DASHES = b"-----"
_SHORTEST_DETERMINED = 4


class Encoding(StrEnum):
    """A spelling of bytes as text."""

    BASE64 = "base64"
    BASE64URL = "base64url"
    HEX = "hex"
    UTF16 = "utf-16"


@dataclass(frozen=True, slots=True)
class Spelling:
    """One literal that an encoded text must contain. `phase` is its first character's place modulo the
    group.
    """

    literal: bytes
    encoding: Encoding
    phase: int = 0


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded run: `data` stands for [start, end) of the buffer that it came from."""

    data: bytes
    start: int
    end: int


def base64_spellings(raw: bytes, *, shortest: int = _SHORTEST_DETERMINED) -> list[Spelling]:
    """The spellings of `raw` at each place modulo three, in both alphabets."""
    spellings: list[Spelling] = []
    for lead in range(3):
        text = base64.b64encode(bytes(lead) + raw)
        first = (lead * 8 + 5) // 6  # first character that holds no bit of the unknown lead
        last = (lead + len(raw)) * 8 // 6  # characters that hold no bit of what follows
        literal = text[first:last]
        if len(literal) < shortest:
            continue
        spellings.append(Spelling(literal, Encoding.BASE64, first % 4))
        url = literal.translate(_TO_URL)
        if url != literal:
            spellings.append(Spelling(url, Encoding.BASE64URL, first % 4))
    return spellings


def hex_spellings(raw: bytes) -> list[Spelling]:
    """Lower- and upper-case hexadecimal without separators."""
    lower = raw.hex().encode()
    return [Spelling(text, Encoding.HEX) for text in dict.fromkeys((lower, lower.upper()))]


def wide(text: bytes) -> list[Spelling]:
    """ASCII text as UTF-16. One literal serves both byte orders: it starts and ends with a character."""
    return [Spelling(b"\x00".join(text[place : place + 1] for place in range(len(text))), Encoding.UTF16)]


def _left_run(data: bytes, at: int, alphabet: bytes, behind: int) -> int:
    low = max(0, at - behind)
    return low + len(data[low:at].rstrip(alphabet))


def _right_run(data: bytes, at: int, alphabet: bytes, ahead: int) -> int:
    piece = data[at : at + ahead]
    return at + len(piece) - len(piece.lstrip(alphabet))


def _characters(run: bytes) -> bytes:
    if b"\\" in run:
        run = run.replace(b"\\r", b"").replace(b"\\n", b"")
    return run.translate(None, _BREAKS)


def decode_base64(data: bytes, at: int, spelling: Spelling, *, behind: int, ahead: int) -> Decoded:
    """The run of base64 text around the literal at `at`, decoded in the literal's phase."""
    start = _left_run(data, at, _EITHER, behind)
    end = _right_run(data, at, _EITHER, ahead)
    if _DASHES in data[start:end]:  # the line of a PEM label, not base64url
        start = (
            max(start, data.rfind(_DASHES, start, at) + len(_DASHES)) if _DASHES in data[start:at] else start
        )
        end = data.find(_DASHES, at, end) if _DASHES in data[at:end] else end
    left, right = _characters(data[start:at]), _characters(data[at:end])
    text = (left[(len(left) - spelling.phase) % 4 :] + right).translate(_FROM_URL)
    text = text[: len(text) - 1] if len(text) % 4 == 1 else text
    try:
        decoded = binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error:  # a stray character of the run: nothing to decode
        decoded = b""
    return Decoded(decoded, start, end)


def decode_hex(data: bytes, at: int, *, behind: int, ahead: int) -> Decoded:
    """The run of hexadecimal text around `at`, in the literal's phase; line breaks and spaces are passed
    over.
    """
    alphabet = _HEX + _BREAKS
    start = _left_run(data, at, alphabet, behind)
    end = _right_run(data, at, alphabet, ahead)
    left, right = _characters(data[start:at]), _characters(data[at:end])
    text = left[len(left) % 2 :] + right
    try:
        decoded = binascii.a2b_hex(text[: len(text) & ~1])
    except binascii.Error:
        decoded = b""
    return Decoded(decoded, start, end)


def decode_wide(data: bytes, at: int, *, behind: int, ahead: int) -> Decoded:
    """The run of one-byte characters with a zero after (or before) each, around the character at `at`."""
    zeros, letters = data[at + 1 : at + ahead : 2], data[at : at + ahead : 2]
    count = min(len(zeros) - len(zeros.lstrip(b"\x00")), len(letters.split(b"\x00", 1)[0]))
    end = min(len(data), at + 2 * max(count, 1))
    low = max(at - (behind & ~1), at & 1)
    zeros, letters = data[low + 1 : at : 2], data[low:at:2]
    count = min(len(zeros) - len(zeros.rstrip(b"\x00")), len(letters.rsplit(b"\x00", 1)[-1]))
    start = at - 2 * count
    return Decoded(data[start:end:2], start, end)


def decode(
    data: bytes, at: int, spelling: Spelling, behind: int = LOOK_BEHIND, ahead: int = LOOK_AHEAD
) -> Decoded:
    """The text around the literal at `at` as the bytes that it spells."""
    if spelling.encoding in (Encoding.BASE64, Encoding.BASE64URL):
        return decode_base64(data, at, spelling, behind=behind, ahead=ahead)
    if spelling.encoding is Encoding.HEX:
        return decode_hex(data, at, behind=behind, ahead=ahead)
    return decode_wide(data, at, behind=2 * behind, ahead=2 * ahead)
