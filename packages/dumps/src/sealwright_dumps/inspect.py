"""Looks at one buffer with every literal-anchored detector, and at what the buffer spells or compresses.

May never do: keep a buffer, go deeper than its bound, or report a hit outside the range that it was asked
about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sealwright_dumps import fingerprint, sieve
from sealwright_dumps.anchors import STRUCTURE, Anchor
from sealwright_dumps.detectors import compressed, credentials, mldsa, own
from sealwright_dumps.encodings import Spelling, base64_spellings, decode, hex_spellings, wide
from sealwright_dumps.errors import Unavailable
from sealwright_dumps.model import Confidence, Hit

DEEPEST = 4
_RANK = {Confidence.POSSIBLE: 0, Confidence.LIKELY: 1, Confidence.CONFIRMED: 2}

Probe = Callable[["Inspector", bytes, int, int], list[Hit]]


@dataclass(frozen=True, slots=True)
class Lookout:
    """A literal, and what to do where it stands."""

    literal: bytes
    probe: Probe


class Inspector:
    """All literal-anchored detectors over one engine. Built once per process, used for every buffer."""

    def __init__(self, lookouts: Sequence[Lookout], engine: str = "") -> None:
        merged: dict[bytes, list[Probe]] = {}
        for lookout in lookouts:
            merged.setdefault(lookout.literal, []).append(lookout.probe)
        self._probes = list(merged.values())
        self._sieve = sieve.build(list(merged), engine)
        self.engine = self._sieve.name
        self.digest = hashlib.sha256(
            b"\x00".join(sorted(literal.hex().encode() for literal in merged))
        ).hexdigest()

    def inspect(self, data: bytes, low: int = 0, high: int | None = None, depth: int = 0) -> list[Hit]:
        """The hits whose anchors stand in [low, high), merged so that each stretch is told once."""
        limit = len(data) if high is None else high
        hits: list[Hit] = []
        for index, at in self._sieve.scan(data):
            if low <= at < limit:
                for probe in self._probes[index]:
                    hits.extend(probe(self, data, at, depth))
        return merge(hits)


def merge(hits: list[Hit]) -> list[Hit]:
    """Without the hits that lie inside a hit that is at least as sure. Own keys are kept: they name
    the key.
    """
    kept: list[Hit] = []
    for hit in sorted(set(hits), key=lambda h: (h.start, -h.end, -_RANK[h.confidence], h.kind)):
        inside = any(
            other.start <= hit.start
            and hit.end <= other.end
            and _RANK[other.confidence] >= _RANK[hit.confidence]
            and (hit.detector == other.detector or hit.key_id in ("", other.key_id))
            for other in kept[-8:]
        )
        if not inside:
            kept.append(hit)
    return kept


def _direct(anchor: Anchor) -> Probe:
    def probe(_inspector: Inspector, data: bytes, at: int, _depth: int) -> list[Hit]:
        hit = anchor.confirm(data, at + anchor.shift)
        return [] if hit is None else [hit]

    return probe


def _spelled(spelling: Spelling) -> Probe:
    def probe(inspector: Inspector, data: bytes, at: int, depth: int) -> list[Hit]:
        if depth >= DEEPEST:
            return []
        decoded = decode(data, at, spelling)
        return [
            replace(hit, form=f"{hit.form}/{spelling.encoding}", start=decoded.start, end=decoded.end)
            for hit in inspector.inspect(decoded.data, depth=depth + 1)
        ]

    return probe


def _compressed(name: str, shift: int, maker: Callable[[], compressed.Expander]) -> Probe:
    def probe(inspector: Inspector, data: bytes, at: int, depth: int) -> list[Hit]:
        if depth >= DEEPEST or at + shift < 0:
            return []
        try:
            opened = compressed.open_stream(data, at + shift, name, maker)
        except Unavailable:  # the scan says once that this engine is absent
            return []
        if opened is None:
            return []
        return [
            replace(hit, form=f"{hit.form}/{name}", start=opened.start, end=opened.end)
            for hit in inspector.inspect(opened.data, depth=depth + 1)
        ]

    return probe


def _rule(rule: credentials.Rule) -> Probe:
    def probe(_inspector: Inspector, data: bytes, at: int, _depth: int) -> list[Hit]:
        hit = credentials.credential(data, at, rule)
        return [] if hit is None else [hit]

    return probe


def structure_lookouts() -> list[Lookout]:
    """Private keys by structure: as they are, and spelled in base64, hexadecimal and UTF-16."""
    lookouts: list[Lookout] = []
    for anchor in STRUCTURE:
        lookouts.append(Lookout(anchor.literal, _direct(anchor)))
        spellings = wide(anchor.literal) if anchor.text else []
        if anchor.spelled:
            spellings += base64_spellings(anchor.literal) + hex_spellings(anchor.literal)
        for spelling in spellings:
            lookouts.append(Lookout(spelling.literal, _spelled(spelling)))
            if not anchor.text:  # base64 and hexadecimal are text: they may be UTF-16 as well
                lookouts.extend(Lookout(w.literal, _spelled(w)) for w in wide(spelling.literal))
    return lookouts


def credential_lookouts() -> list[Lookout]:
    """Credentials by shape, in ASCII and UTF-16."""
    lookouts: list[Lookout] = []
    for rule in credentials.RULES:
        lookouts.append(Lookout(rule.literal, _rule(rule)))
        lookouts.extend(Lookout(w.literal, _spelled(w)) for w in wide(rule.literal))
    return lookouts


def compression_lookouts(*, exhaustive: bool = False) -> list[Lookout]:
    """Compressed streams inside other data; bare zlib streams, whose header is short, when exhaustive."""
    streams = (*compressed.STREAMS, *(compressed.ZLIB_STREAMS if exhaustive else ()))
    return [Lookout(literal, _compressed(name, shift, maker)) for name, literal, shift, maker in streams]


def coefficient_lookouts() -> list[Lookout]:
    """Words just below the modulus of ML-DSA."""

    def probe(_inspector: Inspector, data: bytes, at: int, _depth: int) -> list[Hit]:
        hit = mldsa.coefficients(data, at)
        return [] if hit is None else [hit]

    return [Lookout(literal, probe) for literal in mldsa.LITERALS]


def own_lookouts(paths: Sequence[str]) -> list[Lookout]:
    """Our own keys, by the fingerprint files at `paths`."""
    return [lookout for made in fingerprint.load_files(paths) for lookout in lookouts_of(made)]


def lookouts_of(fingerprints: fingerprint.Fingerprints) -> list[Lookout]:
    """Our own keys, by their fingerprints."""
    return [
        Lookout(probe.literal, _own(probe))
        for entry in fingerprints.entries
        for probe in own.probes(fingerprints.salt, entry)
    ]


def _own(own_probe: own.Probe) -> Probe:
    def probe(_inspector: Inspector, data: bytes, at: int, _depth: int) -> list[Hit]:
        hit = own_probe.confirm(data, at)
        return [] if hit is None else [hit]

    return probe
