"""TCG event logs: parse the crypto-agile form and replay it into PCRs or RTMRs.

It may never take an event's data for measured: only its digests are; the data is a label, unless the digest
is the hash of it. Legacy logs that carry SHA-1 alone are refused. Source: TCG PC Client Platform Firmware
Profile, section 10; Intel's guest-hypervisor interface for the CCEL table.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sealwright_attest.errors import Code, Refused
from sealwright_attest.octets import Octets, malformed

from .tpm_structures import ALG_SHA1, HASH_NAMES

EV_NO_ACTION: Final = 3
SPEC_ID_03: Final = b"Spec ID Event03\0"
STARTUP_LOCALITY: Final = b"StartupLocality\0"
MAX_EVENTS: Final = 20_000
MAX_EVENT_DATA: Final = 512 * 1024
MAX_ALGORITHMS: Final = 8
_END_MARK: Final = 0xFFFFFFFF
_SIZES: Final = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
# Firmware writes StartupLocality among the first events; later ones are a guest's own words.
_LOCALITY_WITHIN: Final = 8


@dataclass(frozen=True, slots=True)
class Event:
    """One event: which register, what type, its digests by hash name, and its unauthenticated data."""

    register: int
    kind: int
    digests: Mapping[str, bytes]
    data: bytes


@dataclass(frozen=True, slots=True)
class EventLog:
    """A parsed log, with the hash names that every event carries."""

    algorithms: tuple[str, ...]
    events: tuple[Event, ...]
    startup_locality: int

    def replay(self, algorithm: str) -> dict[int, bytes]:
        """Return each register's value after all events, for the registers that occur.

        Raises:
            Refused: `event-log-mismatch` when the log has no digests of this algorithm.
        """
        if algorithm not in self.algorithms:
            raise Refused(Code.EVENT_LOG_MISMATCH, f"the event log has no {algorithm} digests")
        size = _SIZES[algorithm]
        registers: dict[int, bytes] = {}
        for event in self.events:
            if event.kind == EV_NO_ACTION:
                continue
            before = registers.get(event.register)
            if before is None:
                before = bytes(size)
                if event.register == 0:
                    before = bytes(size - 1) + bytes([self.startup_locality])
            registers[event.register] = hashlib.new(algorithm, before + event.digests[algorithm]).digest()
        return registers

    def digests(self, algorithm: str) -> dict[str, str]:
        """Return the digests of measured events, as `eventN` to hex."""
        return {
            f"event{index}": event.digests[algorithm].hex()
            for index, event in enumerate(self.events)
            if event.kind != EV_NO_ACTION and algorithm in event.digests
        }


def _header(reader: Octets) -> tuple[tuple[int, int], ...]:
    register, kind = reader.number(4), reader.number(4)
    reader.take(20)
    data = reader.sized(4, MAX_EVENT_DATA)
    if kind != EV_NO_ACTION or not data.startswith(SPEC_ID_03):
        raise Refused(
            Code.EVENT_LOG_LEGACY, "the event log is not in the crypto-agile form", f"register {register}"
        )
    inner = Octets(data, "little", at=16)
    inner.take(8)
    count = inner.number(4)
    if not 1 <= count <= MAX_ALGORITHMS:
        raise malformed("an event log with an unknown number of digest algorithms")
    algorithms = tuple((inner.number(2), inner.number(2)) for _ in range(count))
    inner.take(inner.number(1))
    inner.require_end()
    for algorithm, size in algorithms:
        name = HASH_NAMES.get(algorithm)
        if name is None or _SIZES[name] != size:
            raise Refused(
                Code.VERSION_UNKNOWN, "an event log with an unknown digest algorithm", hex(algorithm)
            )
    return algorithms


def _event(reader: Octets, register: int, sizes: Mapping[int, int]) -> Event:
    kind, count = reader.number(4), reader.number(4)
    if count != len(sizes):
        raise malformed("an event without a digest of every algorithm")
    digests = {}
    for _ in range(count):
        algorithm = reader.number(2)
        if algorithm not in sizes:
            raise malformed("an event with an unknown digest algorithm")
        digests[HASH_NAMES[algorithm]] = reader.take(sizes[algorithm])
    if len(digests) != count:
        raise malformed("an event with two digests of one algorithm")
    return Event(register, kind, digests, reader.sized(4, MAX_EVENT_DATA))


def _locality(event: Event) -> int | None:
    if event.kind == EV_NO_ACTION and event.data.startswith(STARTUP_LOCALITY) and len(event.data) == 17:  # noqa: PLR2004
        return event.data[16]
    return None


def parse_event_log(unverified_log: bytes) -> EventLog:
    """Parse a crypto-agile log; padding of 0xFF or zero bytes after the last event ends it.

    Raises:
        Refused: `malformed`, `version-unknown`, or `event-log-legacy` for SHA-1-only logs.
    """
    reader = Octets(unverified_log, "little")
    algorithms = _header(reader)
    sizes = dict(algorithms)
    if set(sizes) == {ALG_SHA1}:
        raise Refused(Code.EVENT_LOG_LEGACY, "the event log carries SHA-1 digests only")
    events: list[Event] = []
    locality = 0
    content_end = len(unverified_log.rstrip(b"\0"))
    while reader.left() >= 4:  # noqa: PLR2004
        start = reader.at
        if start >= content_end:
            break
        register = reader.number(4)
        if register == _END_MARK:
            break
        if len(events) >= MAX_EVENTS:
            raise Refused(Code.TOO_LARGE, "the event log has too many events")
        event = _event(reader, register, sizes)
        found = _locality(event)
        if found is not None and len(events) <= _LOCALITY_WITHIN:
            locality = found
        events.append(event)
    return EventLog(tuple(HASH_NAMES[algorithm] for algorithm, _ in algorithms), tuple(events), locality)


def require_replay(log: EventLog, algorithm: str, registers: Mapping[int, str]) -> str:
    """Refuse a log that does not lead to the verified values of the registers it extends.

    Args:
        log: the parsed log.
        algorithm: hash name of the bank.
        registers: register index, as the log counts, to the verified value in hex.

    Returns:
        The registers that were compared, as text.

    Raises:
        Refused: `event-log-mismatch`.
    """
    replayed = log.replay(algorithm)
    compared = []
    for index, value in sorted(replayed.items()):
        if index not in registers:
            continue
        if registers[index] != value.hex():
            raise Refused(
                Code.EVENT_LOG_MISMATCH,
                f"the event log does not lead to register {index}",
                f"replayed {value.hex()}",
            )
        compared.append(str(index))
    if not compared:
        raise Refused(Code.EVENT_LOG_MISMATCH, "the event log extends none of the verified registers")
    return "registers " + ", ".join(compared)
