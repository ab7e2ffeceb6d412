"""A strict DER reader: the least that X.509, CRLs and AMD's extensions need.

It may never accept BER: no indefinite length, no padded length or integer, no high tag number, no byte left
over. AMD's endorsement keys carry serial number 0, which general loaders are about to refuse; this one reads
it. Source: ITU-T X.690.
"""

from typing import Final

from .errors import Code, Refused

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OID: Final = 0x06
UTF8_STRING: Final = 0x0C
PRINTABLE_STRING: Final = 0x13
IA5_STRING: Final = 0x16
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31

_LONG_FORM: Final = 0x80
_HIGH_TAG: Final = 0x1F
_MAX_LENGTH_BYTES: Final = 3


def _malformed(why: str) -> Refused:
    return Refused(Code.MALFORMED, "not strict DER", why)


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    if first < _LONG_FORM:
        return first, at + 1
    count = first & 0x7F
    if not 1 <= count <= _MAX_LENGTH_BYTES or at + 1 + count > len(data):
        raise _malformed("length form")
    length = int.from_bytes(data[at + 1 : at + 1 + count], "big")
    if length < _LONG_FORM or (count > 1 and length < 1 << (8 * (count - 1))):
        raise _malformed("length is not minimal")
    return length, at + 1 + count


class DerReader:
    """Reads the values of one DER encoding in order.

    Raises:
        Refused: `malformed`, from every method, when the bytes are not strict DER of the asked form.
    """

    __slots__ = ("_at", "_data")

    def __init__(self, unverified_data: bytes) -> None:
        self._data = unverified_data
        self._at = 0

    def peek(self) -> int:
        """Return the tag that comes next, or -1 at the end."""
        return self._data[self._at] if self._at < len(self._data) else -1

    def _bounds(self, tag: int) -> tuple[int, int, int]:
        start = self._at
        if start + 2 > len(self._data):
            raise _malformed("truncated")
        found = self._data[start]
        if found != tag or found & _HIGH_TAG == _HIGH_TAG:
            raise _malformed(f"tag {found:#x} where {tag:#x} was expected")
        length, body = _read_length(self._data, start + 1)
        end = body + length
        if end > len(self._data):
            raise _malformed("length runs past the end")
        self._at = end
        return start, body, end

    def read(self, tag: int) -> bytes:
        """Return the content of the next value, which must have this tag."""
        _, body, end = self._bounds(tag)
        return self._data[body:end]

    def read_whole(self, tag: int) -> bytes:
        """Return the next value with its tag and length, as it was signed or hashed."""
        start, _, end = self._bounds(tag)
        return self._data[start:end]

    def enter(self, tag: int) -> "DerReader":
        """Return a reader over the content of the next value."""
        return DerReader(self.read(tag))

    def read_integer(self) -> int:
        """Return the next INTEGER; negative ones are refused, none of ours may be."""
        return integer(self.read(INTEGER))

    def read_boolean(self) -> bool:
        """Return the next BOOLEAN."""
        content = self.read(BOOLEAN)
        if content not in (b"\x00", b"\xff"):
            raise _malformed("boolean")
        return content == b"\xff"

    def read_bit_string(self) -> bytes:
        """Return the next BIT STRING, which must fill whole bytes."""
        content = self.read(BIT_STRING)
        if not content or content[0] != 0:
            raise _malformed("bit string with unused bits")
        return content[1:]

    def read_rest(self) -> bytes:
        """Return the bytes that are left."""
        rest = self._data[self._at :]
        self._at = len(self._data)
        return rest

    def at_end(self) -> bool:
        """Say whether everything was read."""
        return self._at == len(self._data)

    def require_end(self) -> None:
        """Refuse bytes that nobody read."""
        if self._at != len(self._data):
            raise _malformed("trailing bytes")


def integer(content: bytes) -> int:
    """Return the value of an INTEGER's content; refuses negative and padded ones."""
    if not content or content[0] & 0x80 or (len(content) > 1 and content[0] == 0 and not content[1] & 0x80):
        raise _malformed("integer is negative or padded")
    return int.from_bytes(content, "big")


def one(unverified_data: bytes, tag: int) -> DerReader:
    """Return a reader over the content of a single value that must fill the bytes."""
    outer = DerReader(unverified_data)
    inner = outer.enter(tag)
    outer.require_end()
    return inner


def oid(dotted: str) -> bytes:
    """Return the DER content bytes of an object identifier, used as dictionary keys."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    out = bytearray()
    for number in (40 * first + second, *rest):
        group = [number & 0x7F]
        value = number >> 7
        while value:
            group.append(0x80 | value & 0x7F)
            value >>= 7
        out += bytes(reversed(group))
    return bytes(out)
