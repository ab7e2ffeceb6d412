"""The second detector: a process of its own that reads a redacted dump and must be able to explain every byte
of it.

Built differently on purpose. The first detector looks for what keys are like; this one refuses whatever is
not plainly
an address, a small number, a path or a known header. It uses the standard library only and shares no code
with the
first. May never do: import a detector of this package, trust the redactor's account, or say "clean" of bytes
not read.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import hashlib
import hmac
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

VERSION = "explain/2"
BLOCK = 1 << 20
OVERLAP = 8192
WINDOW = 24  # bytes: three words
MOST_ZEROS = 5  # in an unexplained window; three addresses have six. 32 random bytes pass once in 10**10
MOST_FINDINGS = 100
_SET_PARENT_DEATH_SIGNAL = 1  # prctl(2)
_DEFACED = bytes.fromhex("edacef0dedacef0d")
_NEGATIVE = re.compile(rb"[\x00-\xff][\xf0-\xff]\xff\xff\xff\xff\xff\xff", re.DOTALL)
_BUILD_ID = re.compile(rb"\x04\x00\x00\x00\x14\x00\x00\x00\x03\x00\x00\x00GNU\x00.{20}", re.DOTALL)
_TEXT = re.compile(rb"[\x20-\x7e]{6,}")
_PLAIN = re.compile(  # a path, or a longer text, from one zero byte to another; or a name that was covered
    rb"(?<![^\x00])(?:/[A-Za-z0-9_./+@:,=~ -]{6,}|[A-Za-z0-9_./+@:,=~ -]{14,})(?![^\x00])|\?{6,}"
)
_WIDE_TEXT = re.compile(rb"(?:[\x20-\x7e]\x00){6,}")
_TOKEN = re.compile(rb"[A-Za-z0-9+/=_-]{28,}")
_HEX = re.compile(rb"[0-9a-f]{48,}|[0-9A-F]{48,}")
_DENSE = re.compile(rb"(?:[^\x00]|\x00{1,%d}(?=[^\x00])){%d,}" % (MOST_ZEROS, WINDOW), re.DOTALL)
_PLANTED = hashlib.sha384(b"sealwright-dumps planted secret").digest()  # nobody's; the same each time
_KINDS = bytes(  # digit, capital, small letter, other
    1 if chr(c).isdigit() else 2 if chr(c).isupper() else 3 if chr(c).islower() else 0 for c in range(128)
) + bytes(128)
_MAGIC = re.compile(
    rb"PRIVATE KEY|\"kty\"|openssh-key-v1|PuTTY-User-Key|AKIA[A-Z2-7]{16}|AGE-SECRET-KEY"
    rb"|eyJ[A-Za-z0-9_-]{8,}\.|\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04"
    rb"|\x02\x01\x00\x02\x82|\x02\x01\x01\x04[\x20\x30\x42]"
    rb"|\x03\x2b\x65[\x6e-\x71]\x04\x22\x04\x20|RSA[23]..\x00\x00",
    re.DOTALL,
)
_NEAR_Q = rb"(?:[\xfd-\xff]\xdf\x7f\x00|\x00\xe0\x7f\x00)"  # 8380417 - 4 to - 1, little-endian
_SMALL = rb"(?:[\x00-\x04]\x00\x00\x00|" + _NEAR_Q + rb")"
_LATTICE = re.compile(_NEAR_Q + _SMALL + rb"{0,6}?" + _NEAR_Q + _SMALL + rb"{12,}", re.DOTALL)


@dataclass(slots=True)
class Verdict:
    """What was read, and what could not be explained: places and rules, never bytes."""

    size: int = 0
    sha256: str = ""
    findings: list[tuple[int, str]] = field(default_factory=list)

    def add(self, offset: int, rule: str) -> None:
        """One more place."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append((offset, rule))


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark of a fingerprint file, read here by other code than the first detector's."""

    tag: bytes
    lead: int
    mac: bytes
    salt: bytes


def check(descriptor: int, marks: list[Mark]) -> Verdict:
    """Read everything behind a descriptor and explain it."""
    verdict = Verdict()
    digest = hashlib.sha256()
    tail, base = b"", 0
    while piece := os.pread(descriptor, BLOCK, verdict.size):
        digest.update(piece)
        verdict.size += len(piece)
        data = tail + piece
        if data.strip(b"\x00"):
            explain(data, base, marks, verdict)
        tail = data[-OVERLAP:]
        base = verdict.size - len(tail)
    verdict.sha256 = digest.hexdigest()
    verdict.findings = sorted(set(verdict.findings))
    return verdict


def explain(data: bytes, base: int, marks: list[Mark], verdict: Verdict) -> None:
    """Add a finding for each stretch of `data` that is not plainly harmless."""
    for match in _MAGIC.finditer(data):
        verdict.add(base + match.start(), "magic")
    for match in _LATTICE.finditer(data):
        verdict.add(base + match.start(), "lattice")
    for offset, text in _texts(data):
        for token in _TOKEN.finditer(text):
            if _random(token.group()):
                verdict.add(base + offset, "random-token")
        if _holds_mark(_decodings(text), marks):
            verdict.add(base + offset, "own-key-text")
    if _holds_mark([data, data[::-1]], marks):
        verdict.add(base, "own-key")
    rest = _without_explained(data)
    for match in _DENSE.finditer(rest):
        place = _dense_window(match.group())
        if place >= 0:
            verdict.add(base + match.start() + place, "unexplained")


def _texts(data: bytes) -> Iterator[tuple[int, bytes]]:
    for match in _TEXT.finditer(data):
        yield match.start(), match.group()
    for match in _WIDE_TEXT.finditer(data):
        yield match.start(), match.group()[::2]


def _random(token: bytes) -> bool:
    """Whether a token could be an encoded secret: it changes between digits, capitals and small letters too
    often for its length, or now and then and most of its characters differ, or it is a long run of
    hexadecimal digits. Text in hexadecimal has few letters, and so few changes. Base64 of 32 random bytes
    passes once in 10**9.
    """
    if any(len(set(run)) >= 8 for run in _HEX.findall(token)):
        return True
    kinds = token.translate(_KINDS)
    changes = sum(0 not in {a, b} and a != b for a, b in pairwise(kinds))
    varied = kinds.count(2) > 1 and 2 * len(set(token)) > min(len(token), 42)
    return changes * (12 if varied else 5) > len(token)


def _decodings(text: bytes) -> Iterator[bytes]:
    compact = re.sub(rb"[^A-Za-z0-9+/_-]", b"", text).translate(bytes.maketrans(b"-_", b"+/"))
    for skip in range(4):
        part = compact[skip:]
        part = part[: len(part) // 4 * 4]
        if part:
            yield base64.b64decode(part)
    for run in re.findall(rb"(?:[0-9a-fA-F]{2}){24,}", text):
        yield binascii.unhexlify(run)


def _holds_mark(buffers: Iterator[bytes] | list[bytes], marks: list[Mark]) -> bool:
    if not marks:
        return False
    return any(_mark_in(buffer, mark) or _mark_in(buffer[::-1], mark) for buffer in buffers for mark in marks)


def _mark_in(buffer: bytes, mark: Mark) -> bool:
    at = buffer.find(mark.tag)
    while at >= 0:
        window = buffer[at - mark.lead : at - mark.lead + 24] if at >= mark.lead else b""
        made = hmac.digest(mark.salt, b"sealwright-fingerprint/1\x00" + window, "sha256")[:16]
        if len(window) == WINDOW and hmac.compare_digest(made, mark.mac):
            return True
        at = buffer.find(mark.tag, at + 1)
    return False


def _without_explained(data: bytes) -> bytes:
    """The data with everything that has an explanation made zero."""
    rest = bytearray(data.replace(_DEFACED, bytes(8)))
    for pattern in (_BUILD_ID, _NEGATIVE, _PLAIN):
        for match in pattern.finditer(bytes(rest)):
            rest[match.start() : match.end()] = bytes(match.end() - match.start())
    return bytes(rest)


def _dense_window(run: bytes) -> int:
    """The first place in a run where 24 bytes have at most five zeros, or -1. Addresses have two in eight."""
    zeros = run[: WINDOW - 1].count(0)
    for at in range(len(run) - WINDOW + 1):
        zeros += run[at + WINDOW - 1] == 0
        if zeros <= MOST_ZEROS:
            return at
        zeros -= run[at] == 0
    return -1


def read_marks(paths: list[str]) -> list[Mark]:
    """The marks of fingerprint files (docs/formats/fingerprints.md)."""
    marks: list[Mark] = []
    for path in paths:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  # the same call everywhere in this small program
            body = json.load(file)
        salt = bytes.fromhex(body["salt"])
        for entry in body["entries"]:
            for mark in entry["marks"]:
                lead = mark["at"] - mark["window"]
                marks.append(Mark(bytes.fromhex(mark["tag"]), lead, bytes.fromhex(mark["mac"]), salt))
    return marks


def require_sight() -> None:
    """Exit unless a planted secret is refused and a plain page is not: a blind detector must not speak."""
    seen, plain = Verdict(), Verdict()
    explain(bytes(512) + _PLANTED[:32] + bytes(512), 0, [], seen)
    explain(
        bytes(512) + b"/usr/lib/libc.so.6\x00" + (0x7F1234567890).to_bytes(8, "little") * 40, 0, [], plain
    )
    if not seen.findings or plain.findings:
        sys.stderr.write("verifier: self-test failed\n")
        sys.exit(70)


def main() -> int:
    """Verify the file of standard input's request: {"descriptor", "fingerprints", "parent"} in, a verdict
    out, as JSON.
    """
    request = json.load(sys.stdin)
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != request["parent"]:
        return 1  # nobody waits for the verdict, and a copy must not be kept open
    require_sight()
    verdict = check(int(request["descriptor"]), read_marks(request["fingerprints"]))
    body = {
        "version": VERSION,
        "bytes": verdict.size,
        "sha256": verdict.sha256,
        "clean": not verdict.findings,
        "findings": [{"offset": offset, "rule": rule} for offset, rule in verdict.findings],
    }
    sys.stdout.write(json.dumps(body))
    return 0


if __name__ == "__main__":
    sys.exit(main())
