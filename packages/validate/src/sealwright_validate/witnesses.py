"""Which witnesses must have cosigned a checkpoint: a policy file (C2SP tlog-policy) and its quorum.

A log can show different trees to different people only as long as nobody compares. Witnesses compare: each
cosigns one growing tree of a log. Whoever demands a quorum of them sees the tree that they see. May never
count a witness twice, nor take an empty policy for a demand.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sealwright_validate.cosignature import CosignerKey, cosigned_by, parse_cosigner
from sealwright_validate.errors import Misconfigured, Reason, Refused
from sealwright_validate.keyset import LogKey
from sealwright_validate.note import Checkpoint, base64

MAX_POLICY_BYTES: Final = 64 * 1024
NO_QUORUM: Final = "none"
_LOG_ED25519: Final = 0x01
_KINDS: Final = {"log": (2, 3), "witness": (3, 4), "group": (4, 1_000), "quorum": (2, 2)}


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness by the name that the policy gives it; `url` is its submission prefix."""

    name: str
    key: CosignerKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Satisfied when at least `least` of its members are: witnesses or earlier groups."""

    least: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class WitnessPolicy:
    """A policy file. `logs` holds the logs that it names, by origin; `quorum` is a name or `none`."""

    logs: Mapping[str, LogKey]
    witnesses: Mapping[str, Witness]
    groups: Mapping[str, Group]
    quorum: str

    @classmethod
    def read(cls, file: str | PathLike[str]) -> "WitnessPolicy":
        """The policy in a file; raises Misconfigured and names the line."""
        try:
            return cls.parse(Path(file).read_text(encoding="utf-8", errors="surrogateescape"))
        except OSError as error:
            raise Misconfigured(f"the witness policy cannot be read: {error}") from None

    @classmethod
    def parse(cls, text: str) -> "WitnessPolicy":
        """The policy in a text; raises Misconfigured and names the line."""
        return _Reader().read(text)

    def demand(self) -> "WitnessPolicy":
        """This policy, if it demands anything; raises Misconfigured for `quorum none`."""
        if self.quorum == NO_QUORUM:
            raise Misconfigured("the witness policy says `quorum none`: it would demand nothing")
        return self

    def is_met(self, cosigned: Collection[str]) -> bool:
        """Whether these witnesses (by their names in the policy) make the quorum."""
        return self.quorum == NO_QUORUM or self._counts(self.quorum, cosigned)

    def _counts(self, name: str, cosigned: Collection[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in cosigned
        return sum(self._counts(member, cosigned) for member in group.members) >= group.least

    def cosigned(self, unverified: str, head: Checkpoint) -> dict[str, int]:
        """Which witnesses cosigned a note whose own signature was verified, and when (seconds since 1970)."""
        names = {witness.key: name for name, witness in self.witnesses.items()}
        return {names[key]: at for key, at in cosigned_by(unverified, head, names).items()}

    def require_quorum(
        self, unverified: str, head: Checkpoint, *, earliest: float, latest: float
    ) -> dict[str, int]:
        """A quorum cosigned the note between two times (seconds since 1970); returns who did, and when.

        A cosignature from before `earliest` is of a head that was old already; one from after `latest` is of
        a witness whose clock is wrong. Neither counts.
        """
        times = self.cosigned(unverified, head)
        counted = {name: at for name, at in times.items() if earliest <= at <= latest}
        if not self.is_met(counted):
            late = f", {len(times) - len(counted)} at another time" if len(times) > len(counted) else ""
            raise Refused(Reason.RECEIPT_NOT_WITNESSED, f"cosigned by {sorted(counted)}{late}")
        return counted


class _Reader:
    """Reads a policy line by line; later lines may name only what earlier ones define."""

    def __init__(self) -> None:
        self._logs: dict[str, LogKey] = {}
        self._witnesses: dict[str, Witness] = {}
        self._groups: dict[str, Group] = {}
        self._member_of: dict[str, str] = {}
        self._quorum: str | None = None

    def read(self, text: str) -> WitnessPolicy:
        if len(text) > MAX_POLICY_BYTES:
            raise Misconfigured("the witness policy is too long")
        for number, line in enumerate(text.split("\n"), 1):
            try:
                self._line(line)
            except Misconfigured as error:
                raise Misconfigured(f"witness policy, line {number}: {error}") from None
        if self._quorum is None:
            raise Misconfigured("the witness policy has no quorum line")
        return WitnessPolicy(
            MappingProxyType(self._logs),
            MappingProxyType(self._witnesses),
            MappingProxyType(self._groups),
            self._quorum,
        )

    def _line(self, line: str) -> None:
        if any(character < " " and character != "\t" for character in line) or "\x7f" in line:
            raise Misconfigured("a control character")
        words = line.replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if not words or words[0].startswith("#"):
            return
        least, most = _KINDS.get(words[0], (0, 0))
        if not least <= len(words) <= most:
            raise Misconfigured(f"`{words[0][:20]}` is no line of a policy, or has too few or too many words")
        match words:
            case ["log", vkey, *_]:
                self._log(vkey)
            case ["witness", name, vkey, *url]:
                self._witness(name, vkey, url[0] if url else None)
            case ["group", name, least_of, *members]:
                self._group(name, least_of, members)
            case ["quorum", name]:
                self._quorum_is(name)

    def _log(self, vkey: str) -> None:
        key = parse_log_key(vkey)
        if key.origin in self._logs or key.public in {known.public for known in self._logs.values()}:
            raise Misconfigured("a log twice")
        self._logs[key.origin] = key

    def _witness(self, name: str, vkey: str, url: str | None) -> None:
        self._require_new(name)
        key = parse_cosigner(vkey)
        if key.public in {known.key.public for known in self._witnesses.values()}:
            raise Misconfigured("a witness twice: one key cannot count as two")
        self._witnesses[name] = Witness(name, key, url)

    def _group(self, name: str, least: str, members: list[str]) -> None:
        self._require_new(name)
        for member in members:
            self._require_defined(member)
            if member in self._member_of:
                raise Misconfigured(f"{member} is a member twice")
            self._member_of[member] = name
        number = {"any": 1, "all": len(members)}.get(least)
        if number is None:
            plain = least.isascii() and least.isdecimal() and len(least) < 4 and least[0] != "0"  # noqa: PLR2004
            number = int(least) if plain else 0
        if not 1 <= number <= len(members):
            raise Misconfigured(f"{least[:20]} of {len(members)} members")
        self._groups[name] = Group(number, tuple(members))

    def _quorum_is(self, name: str) -> None:
        if self._quorum is not None:
            raise Misconfigured("a second quorum line")
        if name != NO_QUORUM:
            self._require_defined(name)
        self._quorum = name

    def _require_new(self, name: str) -> None:
        if name == NO_QUORUM or name in self._witnesses or name in self._groups:
            raise Misconfigured(f"the name {name[:100]} is taken")

    def _require_defined(self, name: str) -> None:
        if name not in self._witnesses and name not in self._groups:
            raise Misconfigured(f"{name[:100]} is not defined above")


def parse_log_key(vkey: str) -> LogKey:
    """A log's verifier key (C2SP signed-note, type 0x01); raises Misconfigured."""
    try:
        name, claimed, encoded = vkey.split("+", 2)
        raw = base64(encoded)
        key = LogKey(name, raw[1:])
        right = raw[0] == _LOG_ED25519 and len(raw) == 33 and bytes.fromhex(claimed) == key.key_id  # noqa: PLR2004
    except (ValueError, IndexError, Refused) as error:
        raise Misconfigured(f"{vkey[:100]!r} is no verifier key of a log ({error})") from None
    if not right:
        raise Misconfigured(f"{vkey[:100]!r}: no Ed25519 key of a log, or the key id is that of another key")
    return key
