"""Finds our own keys by their fingerprints: in memory forms, big-endian, Python ints, base64, hexadecimal,
UTF-16.

May never do: report without the keyed digest; a tag of three bytes alone is chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sealwright_dumps.encodings import Encoding, Spelling, base64_spellings, decode, hex_spellings, wide
from sealwright_dumps.fingerprint import TAG, WINDOW, Entry, Kind, Mark, digest
from sealwright_dumps.model import Confidence, Hit

DETECTOR = "own-key"
_DIGIT_BITS = 30
_BESIDE = 8
_TEXT = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=\r\n\\\x00 ")


@dataclass(frozen=True, slots=True)
class Probe:
    """One literal that a mark shows as in one form, and how to prove it."""

    salt: bytes
    entry: Entry
    mark: Mark
    literal: bytes
    form: str
    spellings: tuple[Spelling, ...] = ()  # outermost first

    def confirm(self, data: bytes, at: int) -> Hit | None:
        """The hit at a literal's place, or nothing when the digest of the window there is another."""
        if self.spellings:
            return self._spelled(data, at)
        if self.form == "le" and self.entry.kind is Kind.INTEGER:
            return self._plain(data, at, "le") or self._digits(data, at)
        return self._plain(data, at, self.form)

    def _hit(self, form: str, start: int, end: int) -> Hit:
        name = f"own-{self.entry.name}"
        return Hit(DETECTOR, name, form, "", Confidence.CONFIRMED, max(0, start), end, self.entry.key)

    def _plain(self, data: bytes, at: int, form: str) -> Hit | None:
        """The canonical bytes, or in reverse for big-endian integers."""
        if form == "be":
            start = at - (self.entry.length - self.mark.at - TAG)
            low = start + self.entry.length - self.mark.window - WINDOW
            window = data[low : low + WINDOW][::-1] if low >= 0 else b""
        else:
            start = at - self.mark.at
            low = start + self.mark.window
            window = data[low : low + WINDOW] if low >= 0 else b""
        if len(window) != WINDOW or digest(self.salt, window) != self.mark.mac:
            return None
        return self._hit(form, start, min(len(data), start + self.entry.length))

    def _digits(self, data: bytes, at: int) -> Hit | None:
        """The 30-bit digits of a Python int, four bytes each; the tag starts a digit."""
        first = self.mark.window * 8 // _DIGIT_BITS
        last = ((self.mark.window + WINDOW) * 8 - 1) // _DIGIT_BITS
        tagged = self.mark.at * 8 // _DIGIT_BITS
        start = at - 4 * tagged
        raw = data[start + 4 * first : start + 4 * (last + 1)] if start + 4 * first >= 0 else b""
        value = 0
        for place in range(len(raw) // 4):
            value |= int.from_bytes(raw[4 * place : 4 * place + 4], "little") << (_DIGIT_BITS * place)
        value >>= self.mark.window * 8 - first * _DIGIT_BITS
        window = (value & (1 << 8 * WINDOW) - 1).to_bytes(WINDOW, "little")
        if digest(self.salt, window) != self.mark.mac:
            return None
        count = (self.entry.length * 8 + _DIGIT_BITS - 1) // _DIGIT_BITS
        return self._hit("python-int", start, min(len(data), start + 4 * count))

    def _spelled(self, data: bytes, at: int) -> Hit | None:
        """Text: decode the run around the literal and look for the tag's bytes in it."""
        before, after = data[max(0, at - _BESIDE) : at], data[at + TAG : at + TAG + _BESIDE]
        if not any(len(side) == _BESIDE and _TEXT.issuperset(side) for side in (before, after)):
            return None  # a window of 24 bytes has ten beside the tag, which are at least so many characters
        start, end, inner = 0, len(data), data
        for level, spelling in enumerate(self.spellings):
            decoded = decode(inner, at, spelling, 6 * self.entry.length + 256, 6 * self.entry.length + 256)
            if level == 0:
                start, end = decoded.start, decoded.end
            inner = decoded.data
            if spelling.encoding is Encoding.UTF16:
                at = (at - decoded.start) // 2
        raw = bytes.fromhex(self.mark.tag)
        form = "be" if self.form.startswith("be") else "le"
        wanted = raw[::-1] if form == "be" else raw
        place = inner.find(wanted)
        while place >= 0:
            if self._plain(inner, place, form) is not None:
                return self._hit(self.form, start, end)
            place = inner.find(wanted, place + 1)
        return None


def probes(salt: bytes, entry: Entry) -> Iterator[Probe]:
    """Every literal that this form can show as. Text is big-endian for integers: that is how they are
    serialised.
    """
    for mark in entry.marks:
        raw = bytes.fromhex(mark.tag)
        yield Probe(salt, entry, mark, raw, "le")
        text_form = "le"
        if entry.kind is Kind.INTEGER:
            raw, text_form = raw[::-1], "be"
            yield Probe(salt, entry, mark, raw, "be")
        for spelling in [*base64_spellings(raw, shortest=3), *hex_spellings(raw)]:
            form = f"{text_form}/{spelling.encoding}"
            yield Probe(salt, entry, mark, spelling.literal, form, (spelling,))
            for broad in wide(spelling.literal):
                yield Probe(salt, entry, mark, broad.literal, f"{form}/utf-16", (broad, spelling))
