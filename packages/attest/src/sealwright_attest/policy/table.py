"""Reads one table of a policy document strictly: every value has its type, and nothing is left unread.

It may never ignore a name that it does not know: a rule that is misspelt would silently not be applied.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from sealwright_attest.errors import Misconfigured

E = TypeVar("E", bound=StrEnum)


class Table:
    """One table of the document.

    Raises:
        Misconfigured: from every method, with the place and what is wrong there.
    """

    __slots__ = ("_left", "_where")

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
            raise Misconfigured(f"policy: {where} is not a table")
        self._left: dict[str, Any] = dict(values)
        self._where = where

    def wrong(self, name: str, why: str) -> Misconfigured:
        """Return the error for one name of this table."""
        return Misconfigured(f"policy: {self._where}.{name} {why}")

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def names(self) -> list[str]:
        """Return the names that are not read yet."""
        return sorted(self._left)

    def finish(self) -> None:
        """Refuse names that nobody read."""
        if self._left:
            raise Misconfigured(f"policy: unknown in {self._where}: {', '.join(self.names())}")

    def take(self, name: str) -> Any:
        """Return a raw value, or None."""
        return self._left.pop(name, None)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; without a default it must be there."""
        value = self._left.pop(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "must be a text")
        return value

    def whole(self, name: str, default: int) -> int:
        """Return a whole number that is not negative."""
        value = self._left.pop(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.wrong(name, "must be a whole number from 0")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean."""
        value = self._left.pop(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "must be true or false")
        return value

    def choice(self, name: str, kind: type[E], default: E) -> E:
        """Return one word of an enumeration."""
        value = self._left.pop(name, default.value)
        if not isinstance(value, str) or value not in {one.value for one in kind}:
            raise self.wrong(name, "must be one of " + ", ".join(one.value for one in kind))
        return kind(value)

    def texts(self, name: str, default: Iterable[str] = (), allowed: Iterable[str] = ()) -> tuple[str, ...]:
        """Return a list of texts, each of the allowed ones where those are given."""
        value = self._left.pop(name, list(default))
        known = set(allowed)
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise self.wrong(name, "must be a list of texts")
        strange = [one for one in value if known and one not in known]
        if strange:
            raise self.wrong(name, f"has {', '.join(strange)}; known are {', '.join(sorted(known))}")
        return tuple(value)

    def wholes(self, name: str, default: Iterable[int]) -> tuple[int, ...]:
        """Return a list of whole numbers."""
        value = self._left.pop(name, list(default))
        if not isinstance(value, list) or not all(type(one) is int and one >= 0 for one in value):
            raise self.wrong(name, "must be a list of whole numbers")
        return tuple(value)

    def digests(self, name: str, sizes: Iterable[int]) -> tuple[str, ...]:
        """Return a list of hex texts of one of these sizes in bytes, in lower case."""
        return tuple(self.digest(one, name, sizes) for one in self.texts(name))

    def digest(self, value: object, name: str, sizes: Iterable[int]) -> str:
        """Return one hex text in lower case."""
        wanted = set(sizes)
        if isinstance(value, str):
            try:
                data = bytes.fromhex(value)
            except ValueError as err:
                raise self.wrong(name, "is not hexadecimal") from err
            if len(data) in wanted:
                return data.hex()
        raise self.wrong(name, f"must have {' or '.join(str(size) for size in sorted(wanted))} bytes in hex")

    def flags(self, name: str, known: Iterable[str]) -> dict[str, bool]:
        """Return a table of booleans under known names."""
        inner = self.table(name)
        found = {one: inner.flag(one, default=False) for one in known if one in inner}
        inner.finish()
        return found

    def table(self, name: str) -> "Table":
        """Return an inner table, empty when it is not there."""
        return Table(self._left.pop(name, {}), f"{self._where}.{name}")

    def tables(self, name: str) -> list["Table"]:
        """Return a list of inner tables."""
        value = self._left.pop(name, [])
        if not isinstance(value, list):
            raise self.wrong(name, "must be a list of tables")
        return [Table(one, f"{self._where}.{name}[{index}]") for index, one in enumerate(value)]

    def moment(self, name: str) -> datetime:
        """Return a point in time: RFC 3339 text or a TOML date-time, with its offset."""
        value = self._left.pop(name, None)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError as err:
                raise self.wrong(name, "is not a date and time") from err
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise self.wrong(name, "must be a date and time with its offset")
        return value.astimezone(UTC)
