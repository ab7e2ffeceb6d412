"""A bounded reader of packed structures (TPM, TDX, TCG logs) and the strict text decodings around them.

It may never read past the end, and never guess: whatever does not fit is refused as `malformed`.
"""

import base64
import binascii
import json
from typing import Any, Final, Literal

from .errors import Code, Refused

MAX_JSON: Final = 2 * 1024 * 1024


def malformed(what: str, detail: str = "") -> Refused:
    """Return the refusal of bytes that are not what they claim to be."""
    return Refused(Code.MALFORMED, what, detail)


class Octets:
    """Reads integers and byte runs in one byte order.

    Raises:
        Refused: `malformed` when fewer bytes are left than asked for.
    """

    __slots__ = ("_data", "_order", "at")

    def __init__(self, unverified_data: bytes, order: Literal["big", "little"], at: int = 0) -> None:
        self._data = unverified_data
        self._order: Literal["big", "little"] = order
        self.at = at

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        end = self.at + count
        if count < 0 or end > len(self._data):
            raise malformed("truncated structure", f"{count} bytes at {self.at} of {len(self._data)}")
        piece = self._data[self.at : end]
        self.at = end
        return piece

    def number(self, size: int) -> int:
        """Return the next unsigned integer of so many bytes."""
        return int.from_bytes(self.take(size), self._order)

    def sized(self, size: int, limit: int) -> bytes:
        """Return bytes that are preceded by their length, of at most `limit`."""
        count = self.number(size)
        if count > limit:
            raise malformed("a length is over its limit", f"{count} > {limit}")
        return self.take(count)

    def left(self) -> int:
        """Return how many bytes are left."""
        return len(self._data) - self.at

    def require_end(self) -> None:
        """Refuse bytes that nobody read."""
        if self.left():
            raise malformed("trailing bytes", f"{self.left()} left")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise malformed("a JSON name occurs twice")
    return table


def _no_constant(name: str) -> Any:
    raise malformed("not a JSON number", name)


def strict_json(unverified_data: bytes, limit: int = MAX_JSON) -> Any:
    """Return the value of a JSON text; refuses repeated names, NaN, other encodings than UTF-8, and size.

    Raises:
        Refused: `malformed` or `too-large`.
    """
    if len(unverified_data) > limit:
        raise Refused(Code.TOO_LARGE, "the JSON document is too large", f"{len(unverified_data)} > {limit}")
    try:
        text = unverified_data.decode("utf-8")
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as err:
        raise malformed("not JSON", str(err)) from err


def strict_object(unverified_data: bytes, limit: int = MAX_JSON) -> dict[str, Any]:
    """Return the members of a JSON text that must be an object."""
    value = strict_json(unverified_data, limit)
    if not isinstance(value, dict):
        raise malformed("not a JSON object")
    return value


def b64(text: object, name: str) -> bytes:
    """Return the bytes of canonical standard base64."""
    if not isinstance(text, str):
        raise malformed(f"{name} is not base64 text")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as err:
        raise malformed(f"{name} is not base64", str(err)) from err
    if base64.b64encode(data).decode() != text:
        raise malformed(f"{name} is not canonical base64")
    return data


def b64url(text: object, name: str) -> bytes:
    """Return the bytes of base64url with or without padding."""
    if not isinstance(text, str):
        raise malformed(f"{name} is not base64url text")
    bare = text.rstrip("=")
    if len(text) - len(bare) > 2 or not bare.replace("-", "").replace("_", "").isalnum():  # noqa: PLR2004
        raise malformed(f"{name} is not base64url")
    try:
        data = base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as err:
        raise malformed(f"{name} is not base64url", str(err)) from err
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != bare:
        raise malformed(f"{name} is not canonical base64url")
    return data


def hexadecimal(text: object, name: str) -> bytes:
    """Return the bytes of lower- or upper-case hexadecimal without separators."""
    if not isinstance(text, str) or not text.isascii() or not (text.isalnum() or not text):
        raise malformed(f"{name} is not hexadecimal text")
    try:
        return bytes.fromhex(text)
    except ValueError as err:
        raise malformed(f"{name} is not hexadecimal", str(err)) from err
