"""Strict base64url and strict JSON: one text has one meaning or none.

May never repair, skip or guess: no padding, no foreign characters, no trailing bits, no duplicate members, no
NaN, no lone surrogates, no deep nesting.
"""

import json
import re
from base64 import urlsafe_b64encode
from binascii import Error, a2b_base64
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from sealwright_validate.errors import Reason, Refused

MAX_TIME: Final = 1 << 40  # seconds; about 34,000 years from 1970: beyond it is a mistake or an attack
MAX_DEPTH: Final = 16  # levels of objects and arrays; claims of real issuers stay under 5

# '+', '/' and '=' are no base64url: they become '!', which no base64 decoder accepts.
TO_BASE64: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_PADDING: Final = (b"", None, b"==", b"=")
# RFC 7515 appendix C with RFC 4648 §3.5: the bits that the last character leaves over must be zero, or one
# value would have several spellings.
_LAST: Final = (frozenset[int](), frozenset[int](), frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))

Members = Mapping[str, Any]


class _DuplicateError(ValueError):
    """A JSON object names a member twice."""


def decode_base64url(unverified: str | bytes) -> bytes:
    """The bytes of a base64url text (RFC 4648 §5) without padding; refuses any other spelling."""
    if isinstance(unverified, str):
        if not unverified.isascii():
            raise Refused(Reason.TOKEN_MALFORMED, "base64url outside ASCII")
        unverified = unverified.encode("ascii")
    return decode_translated(unverified.translate(TO_BASE64))


def decode_translated(part: bytes) -> bytes:
    """The same for a text that has been through `TO_BASE64` already (a whole token in one go)."""
    left_over = len(part) % 4
    padding = _PADDING[left_over]
    if padding is None:
        raise Refused(Reason.TOKEN_MALFORMED, "base64url of an impossible length")
    if left_over and part[-1] not in _LAST[left_over]:
        raise Refused(Reason.TOKEN_MALFORMED, "base64url with trailing bits")
    try:
        return a2b_base64(part + padding, strict_mode=True)
    except Error:
        raise Refused(Reason.TOKEN_MALFORMED, "not base64url") from None


def encode_base64url(data: bytes) -> str:
    """The base64url text of `data`, without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateError
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
_DECODE: Final = _DECODER.decode
_SCAN: Final = _DECODER.raw_decode


def _decode(text: str) -> Any:
    """One JSON value. Text without white space around it, as nearly all is, needs no search for its ends."""
    if text[:1] == "{" and text[-1:] == "}":
        value, end = _SCAN(text)
        if end != len(text):
            raise ValueError("something follows the JSON value")
        return value
    return _DECODE(text)


def decode_json_object(unverified: bytes) -> dict[str, Any]:
    """The JSON object in UTF-8 bytes (RFC 8259), read in the one way that leaves no room for two meanings."""
    try:
        text = unverified.decode("utf-8")
        if text.count("{") + text.count("[") > MAX_DEPTH:
            _require_shallow(text)
        value = _decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate has no UTF-8 form
    except _DuplicateError:
        raise Refused(Reason.DUPLICATE_MEMBER, "a JSON object names a member twice") from None
    except (ValueError, RecursionError) as error:
        raise Refused(Reason.TOKEN_MALFORMED, f"not JSON in UTF-8 ({type(error).__name__})") from None
    if type(value) is not dict:
        raise Refused(Reason.TOKEN_MALFORMED, "JSON, but no object")
    return value


def _require_shallow(text: str) -> None:
    """Refuse deep nesting before a recursive reader sees it. Brackets inside strings do not count.

    What is left of the text without its strings are brackets; each round takes the innermost pairs away.
    Linear in the text: a string that does not end is taken to the end, and left to the JSON reader to refuse.
    """
    brackets = _STRING.sub("", text).encode("ascii", "ignore").translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):
            break
        brackets = outer
    if brackets:
        raise ValueError("nested too deeply, or unbalanced")


def read_only(members: Members) -> Members:
    """A deep read-only view of a JSON object: objects become mapping proxies, arrays tuples."""
    for value in members.values():
        if type(value) is dict or type(value) is list:
            return MappingProxyType({name: _frozen(member) for name, member in members.items()})
    return members if type(members) is MappingProxyType else MappingProxyType(members)


def _frozen(value: Any) -> Any:
    if type(value) is dict:
        return MappingProxyType({name: _frozen(member) for name, member in value.items()})
    if type(value) is list:
        return tuple(map(_frozen, value))
    return value
