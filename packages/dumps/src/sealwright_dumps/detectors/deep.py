"""What only the whole object shows: numbers behind pointers, primes that divide, scalars whose point is
known.

May never do: guess. A number is a key when arithmetic says so; a lone prime is told as "possible".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sealwright_dumps.access import Access
from sealwright_dumps.detectors import echo, points, registers, rsa
from sealwright_dumps.detectors.echo import Value
from sealwright_dumps.detectors.memory import Clue
from sealwright_dumps.detectors.public import LOAD_ERRORS, PublicKeys, key_id, rsa_key_id
from sealwright_dumps.detectors.registers import View
from sealwright_dumps.layout import Layout
from sealwright_dumps.model import Confidence, Hit

MOST_VALUES = 200_000
MOST_PRIMES = 2_000
PRIME_BITS = (512, 768, 1024, 1536, 2048)
MOST_POINTS = 4_000
MOST_SEEDS = 6_000
_P256 = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_COORDINATE = 12


@dataclass(frozen=True, slots=True)
class Number:
    """A number in the object: little-endian bytes, where they stand, and whether a structure points there."""

    data: bytes
    offset: int
    pointed: bool

    @property
    def value(self) -> int:
        """The number."""
        return int.from_bytes(self.data, "little")


@dataclass(slots=True)
class Deep:
    """One object's second look."""

    access: Access
    layout: Layout
    known: PublicKeys
    engine: str
    reasons: list[str] = field(default_factory=list)

    def hits(self, clues: list[Clue], views: list[View]) -> list[Hit]:
        """All that the clues and registers lead to."""
        numbers = self._numbers(clues)
        scalars = self._scalars(numbers, clues, views)
        found = self._rsa(numbers)
        found += self._known(scalars)
        found += self._proved(scalars, numbers)
        found += self._echoed(scalars)
        return found

    def _numbers(self, clues: Iterable[Clue]) -> list[Number]:
        """Every number that a structure points to or that fills a heap chunk as a prime would."""
        places: dict[tuple[int, int], bool] = {}
        for clue in clues:
            if clue.kind == "prime":
                places.setdefault((clue.offset, clue.length), False)
            elif clue.kind == "bignum":
                offset = self.layout.offset_of(clue.pointer, clue.length)
                if offset >= 0:
                    places[(offset, clue.length)] = True
        if len(places) > MOST_VALUES:
            self.reasons.append("deep-limit: more big numbers than are followed")
        wanted = list(places)[:MOST_VALUES]
        fetched = self.access.fetch(wanted)
        return [
            Number(data, offset, places[(offset, length)])
            for (offset, length), data in fetched.items()
            if len(data) == length and any(data[-8:])
        ]

    def _rsa(self, numbers: list[Number]) -> list[Hit]:
        """Moduli in the object, or known ones, that a number in the object divides; then every copy of the
        key.
        """
        by_value: dict[int, Number] = {}
        for number in numbers:
            if len(number.data) >= rsa.LEAST_PRIME_BITS // 8:
                by_value.setdefault(number.value, number)
        sizes = {len(number.data) for number in by_value.values()}
        moduli = [
            v for v, n in by_value.items() if v & 1 and any(len(n.data) >= 2 * size - 8 for size in sizes)
        ]
        triples = rsa.split([*self.known.moduli, *moduli], by_value)
        values = [value for triple in triples for value in self._copies(triple)]
        found = list(echo.find(values, self.access.windows(), self.engine)) if values else []
        divisors = {prime for triple in triples for prime in (triple.prime_p, triple.prime_q)}
        return found + self._lone_primes(by_value, divisors)

    def _copies(self, triple: rsa.Triple) -> Iterable[Value]:
        name = self.known.moduli.get(triple.modulus, "") or rsa_key_id(triple.modulus, 65537)
        algorithm = f"rsa-{triple.modulus.bit_length()}"
        for part, (value, size) in rsa.parts(triple).items():
            little = Value("bignum", f"rsa-{part}", algorithm, name, "le", value.to_bytes(size, "little"))
            yield from echo.both_orders(little)

    def _lone_primes(self, by_value: dict[int, Number], divisors: set[int]) -> list[Hit]:
        """Primes with no modulus in sight, for which a whole dump is too small. Constants (Diffie-Hellman
        groups in read-only memory) are left out.
        """
        found: list[Hit] = []
        candidates = [
            (value, number)
            for value, number in by_value.items()
            if value not in divisors
            and value.bit_length() in PRIME_BITS
            and rsa.plausible_prime(value)
            and self.layout.is_writable(number.offset)
        ]
        if len(candidates) > MOST_PRIMES:
            self.reasons.append("deep-limit: more possible primes than are tested")
        for value, number in candidates[:MOST_PRIMES]:
            if rsa.is_prime(value) and not rsa.is_group_prime(value):
                end = number.offset + len(number.data)
                bits = 2 * value.bit_length()
                found.append(
                    Hit("bignum", "prime", "le", f"rsa-{bits}", Confidence.POSSIBLE, number.offset, end)
                )
        return found

    def _scalars(
        self, numbers: list[Number], clues: Iterable[Clue], views: list[View]
    ) -> dict[bytes, list[Hit]]:
        """Candidates for scalars and seeds, as bytes in memory order, with the hit that each would be."""
        found: dict[bytes, list[Hit]] = defaultdict(list)
        wanted = [(clue.offset, clue.length) for clue in clues if clue.kind == "scalar"]
        if len(wanted) > MOST_VALUES:
            self.reasons.append("deep-limit: more possible scalars than are followed")
        for (offset, length), data in self.access.fetch(wanted[:MOST_VALUES]).items():
            if len(data) == length:
                found[data].append(_scalar_hit("memory", offset, length))
        for number in numbers:
            if number.pointed and 32 <= len(number.data) <= 72:
                found[number.data].append(_scalar_hit("bignum", number.offset, len(number.data)))
        for view in views:
            for piece in registers.scalars(view):
                found[piece].append(_scalar_hit("registers", view.offset, view.length))
        return found

    def _known(self, scalars: dict[bytes, list[Hit]]) -> list[Hit]:
        """Scalars and seeds of the public keys that were given."""
        if not self.known.points and not self.known.raw:
            return []
        found: list[Hit] = []
        for data, hits in scalars.items():
            for form, value in (("le", data), ("be", data[::-1])):
                name, algorithm = self.known.of_scalar(int.from_bytes(value, "little"), len(data))
                if not name and form == "le" and self.known.raw:
                    name, algorithm = self.known.of_seed(data[:32])
                if name:
                    found += [_named(hit, "public-key", form, algorithm, name) for hit in hits]
        return found

    def _proved(self, scalars: dict[bytes, list[Hit]], numbers: list[Number]) -> list[Hit]:
        """Scalars whose point is kept as big numbers beside them."""
        found: list[Hit] = []
        for size in (32, 48, 72):
            values = [number.value for number in numbers if number.pointed and len(number.data) == size]
            usable = [data for data in _likeliest(scalars, MOST_POINTS, size) if values]
            named = {(int.from_bytes(data, "little"), "le"): data for data in usable}
            named |= {(int.from_bytes(data, "big"), "be"): data for data in usable}
            for proof in points.prove([value for value, _ in named], values, size):
                for form in ("le", "be"):
                    hits = scalars[named[(proof.scalar, form)]] if (proof.scalar, form) in named else []
                    found += [_named(hit, "echo", form, proof.algorithm, proof.key_id) for hit in hits]
        return found

    def _echoed(self, scalars: dict[bytes, list[Hit]]) -> list[Hit]:
        """Scalars and seeds of any key whose public half is in the same memory."""
        literals: dict[bytes, tuple[bytes, str, str, str]] = {}
        for data in _likeliest(scalars, MOST_POINTS):
            for form, value in (("le", data), ("be", data[::-1])):
                _add_point(literals, data, form, int.from_bytes(value, "little"))
        for data in _likeliest(scalars, MOST_SEEDS):
            _add_seed(literals, data)
        found: list[Hit] = []
        seen = echo.present(literals, self.access.windows(), self.engine) if literals else {}
        for literal in seen:
            data, form, algorithm, name = literals[literal]
            found += [_named(hit, "echo", form, algorithm, name) for hit in scalars[data]]
        return found


def _scalar_hit(form: str, offset: int, length: int) -> Hit:
    return Hit("echo", "scalar", form, "", Confidence.CONFIRMED, offset, offset + length)


def _named(hit: Hit, detector: str, form: str, algorithm: str, name: str) -> Hit:
    kind = "seed" if algorithm.startswith(("ed", "x2", "ml")) else "scalar"
    place = f"{form}/registers" if hit.form == "registers" else form
    return Hit(detector, kind, place, algorithm, Confidence.CONFIRMED, hit.start, hit.end, name)


def _likeliest(scalars: dict[bytes, list[Hit]], most: int, size: int = 32) -> list[bytes]:
    """Candidates of one size, those behind a pointer or in a register first."""
    eligible = [data for data in scalars if len(data) == size]
    eligible.sort(key=lambda data: all(hit.form == "memory" for hit in scalars[data]))
    return eligible[:most]


def _add_point(
    literals: dict[bytes, tuple[bytes, str, str, str]], data: bytes, form: str, scalar: int
) -> None:
    """The x coordinate of a P-256 point as it may lie in memory: big-endian, limbs, and Montgomery limbs."""
    if not 1 << 200 < scalar < _P256_ORDER:
        return
    public = ec.derive_private_key(scalar, ec.SECP256R1()).public_key()
    x = public.public_numbers().x
    montgomery = x * (1 << 256) % _P256
    for coordinate in (x.to_bytes(32, "big"), x.to_bytes(32, "little"), montgomery.to_bytes(32, "little")):
        literals[coordinate[:_COORDINATE]] = (data, form, "ec-secp256r1", key_id(public))


def _add_seed(literals: dict[bytes, tuple[bytes, str, str, str]], data: bytes) -> None:
    try:
        public = ed25519.Ed25519PrivateKey.from_private_bytes(data).public_key()
    except LOAD_ERRORS:
        return
    literals[public.public_bytes_raw()[:_COORDINATE]] = (data, "raw", "ed25519", key_id(public))
