"""Builds files with everything planted, and the truth about where.

May never do: write a key beside its truth; the truth holds names and places.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sealwright_dumps import fingerprint
from sealwright_dumps.corpus import containers, mldsa
from sealwright_dumps.corpus.containers import Region
from sealwright_dumps.corpus.keys import Keys, make_keys, pkcs8, public_pem
from sealwright_dumps.corpus.plants import Plant, plants
from sealwright_dumps.fingerprint import Form, Kind
from sealwright_dumps.model import Confidence, Finding

HEAP = 0x7F0000000000
SPACING = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """Where one plant lies in a file."""

    name: str
    offset: int
    length: int
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Planted:
    """A file's content and the truth about it."""

    data: bytes
    places: tuple[Place, ...]


def forms_of(keys: Keys) -> list[Form]:
    """Every form of each secret that a signer would fingerprint."""
    private = keys.rsa.private_numbers()
    halves = {"p": private.p, "q": private.q, "dp": private.dmp1, "dq": private.dmq1, "qi": private.iqmp}
    forms = [fingerprint.integer("key-rsa", f"rsa-{name}", value, 128) for name, value in halves.items()]
    forms.append(fingerprint.integer("key-rsa", "rsa-d", private.d, 256))
    squares = {"rr-p": pow(2, 2048, private.p), "rr-q": pow(2, 2048, private.q)}  # Montgomery's constants
    forms += [fingerprint.integer("key-rsa", f"rsa-{name}", value, 128) for name, value in squares.items()]
    forms.append(fingerprint.integer("key-ec", "ec-d", keys.ec.private_numbers().private_value, 32))
    forms.append(Form("key-ed25519", "ed25519-seed", Kind.BYTES, keys.ed25519.private_bytes_raw()))
    forms.append(Form("key-ml-dsa", "ml-dsa-seed", Kind.BYTES, keys.mldsa_seed))
    private_k, polynomials = mldsa.secret(keys.mldsa_seed, "ml-dsa-65")
    forms.append(Form("key-ml-dsa", "ml-dsa-k", Kind.BYTES, private_k))
    forms.append(Form("key-ml-dsa", "ml-dsa-s", Kind.BYTES, mldsa.packed(polynomials, 4)))
    return forms


@dataclass(frozen=True, slots=True)
class Site:
    """Keys, with what a scanner is given about them."""

    keys: Keys
    fingerprints: str

    def write_knowledge(self, folder: Path) -> tuple[str, tuple[str, ...]]:
        """The fingerprint file and the public keys, as files: their paths."""
        target = folder / "own.fingerprints.json"
        target.write_text(self.fingerprints, encoding="utf-8")
        paths: list[str] = []
        for place, key in enumerate(self.keys.all()):
            path = folder / f"public-{place}.pem"
            path.write_bytes(public_pem(key))
            paths.append(str(path))
        return str(target), tuple(paths)


def make_site() -> Site:
    """Fresh keys and their fingerprints."""
    keys = make_keys()
    made = fingerprint.make(forms_of(keys), os.urandom(fingerprint.SALT))
    return Site(keys, fingerprint.dump(made))


def _laid_out(items: Iterable[Plant], filler: bytes) -> tuple[bytearray, list[Place]]:
    data = bytearray()
    places: list[Place] = []
    for item in items:
        data += (filler * (SPACING // max(1, len(filler)) + 1))[: SPACING - len(data) % SPACING]
        if "heap chunk" in item.name:
            data += bytes(8)  # the payload of a chunk is aligned to sixteen
        places.append(Place(item.name, len(data), len(item.data), item.needs))
        data += item.data
    data += bytes(-len(data) % SPACING + SPACING)
    return data, places


def raw(site: Site, filler: bytes = b"\x00") -> Planted:
    """A raw memory image."""
    data, places = _laid_out(plants(site.keys), filler)
    return Planted(bytes(data), tuple(places))


def bignum_heap(keys: Keys, base: int) -> tuple[bytes, list[Place]]:
    """A heap as OpenSSL leaves it: structures that point to limbs, no heap chunk headers, no
    serialisation.
    """
    private = keys.rsa.private_numbers()
    numbers = {
        "n": private.public_numbers.n,
        "p": private.p,
        "q": private.q,
        "dp": private.dmp1,
        "d": private.d,
    }
    data, places = bytearray(8192), []
    for place, (name, value) in enumerate(numbers.items()):
        limbs = value.to_bytes((value.bit_length() + 63) // 64 * 8, "little")
        at = len(data)
        data += limbs + bytes(-len(limbs) % 64)
        top = (len(limbs) // 8).to_bytes(4, "little")
        data[64 + 24 * place : 88 + 24 * place] = (
            (base + at).to_bytes(8, "little") + top + top + bytes(4) + b"\x01\x00\x00\x00"
        )
        if name != "n":
            places.append(Place(f"rsa {name} behind a BIGNUM", at, len(limbs)))
    return bytes(data) + bytes(-len(data) % SPACING), places


def core(site: Site, other: Keys) -> Planted:
    """An ELF core: all plants, another party's BIGNUMs, a scalar split over two registers' halves, a PEM over
    a seam.

    `other`: keys that the scanner is told nothing about.
    """
    heap, heap_places = _laid_out(plants(site.keys), b"\x00")
    bignums, bignum_places = bignum_heap(other, HEAP + (1 << 32))
    pem = pkcs8(other.ec, pem=True)
    cut = len(pem) // 2
    left, right = bytes(SPACING - cut) + pem[:cut], pem[cut:] + bytes(SPACING - len(pem) + cut)
    seam = HEAP + (2 << 32)
    scalar = site.keys.ec.private_numbers().private_value.to_bytes(32, "big")
    notes = containers.note(1, containers.status())
    notes += containers.note(0x202, containers.xstate([os.urandom(32), scalar]), b"LINUX\x00")
    data = containers.elf_core(
        [
            Region(HEAP, bytes(heap)),
            Region(HEAP + (1 << 32), bignums),
            Region(seam, left, rank=2),
            Region(seam + SPACING, right, rank=1),
        ],
        notes,
    )
    places = [*_shifted(heap_places, data.find(heap)), *_shifted(bignum_places, data.find(bignums))]
    places.append(Place("ec scalar in vector registers", data.find(notes), len(notes)))
    places.append(Place("pem split over two segments", data.find(left) + SPACING - cut, cut))
    places.append(Place("pem split over two segments, its end", data.find(right), len(pem) - cut))
    return Planted(data, tuple(places))


def minidump(site: Site, *, wide: bool = True) -> Planted:
    """A Windows minidump with all plants in two memory ranges."""
    heap, places = _laid_out(plants(site.keys), b"\x00")
    middle = len(heap) // 2 // SPACING * SPACING
    regions = [Region(HEAP, bytes(heap[:middle])), Region(HEAP + middle, bytes(heap[middle:]))]
    data = containers.minidump(regions, [os.urandom(64) + bytes(1168)], wide=wide)
    return Planted(data, tuple(_shifted(places, data.find(heap[:middle]))))


def _shifted(places: Iterable[Place], base: int) -> Iterator[Place]:
    return (Place(place.name, base + place.offset, place.length, place.needs) for place in places)


def missed(places: Iterable[Place], findings: Iterable[Finding]) -> list[Place]:
    """The plants that no finding overlaps. A finding that is only possible does not count."""
    spans = [(f.offset, f.offset + f.length) for f in findings if f.confidence is not Confidence.POSSIBLE]
    return [
        p for p in places if not any(low < p.offset + p.length and p.offset < high for low, high in spans)
    ]


def strays(places: Iterable[Place], findings: Iterable[Finding]) -> list[Finding]:
    """The findings that overlap no plant: false positives, in a file where everything else is filler."""
    spans = [(place.offset, place.offset + place.length) for place in places]
    return [
        f for f in findings if not any(low < f.offset + f.length and f.offset < high for low, high in spans)
    ]
