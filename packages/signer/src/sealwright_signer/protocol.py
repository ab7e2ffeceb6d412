"""Frames, strict JSON and refusal codes of the signer protocol (docs/formats/signer-protocol.md).

May never accept a message in a form that two readers could read differently.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NoReturn

VERSION = 1
MAX_INT = 1 << 53  # what every JSON reader keeps exactly (RFC 8259 section 6)
# Stable reasons of a refusal.
Code = StrEnum(
    "Code",
    "unknown_realm unknown_key key_of_other_realm key_not_active key_outside_window algorithm_not_allowed "
    "audience_not_allowed type_not_allowed lifetime_not_allowed claim_not_allowed window_not_allowed "
    "status_not_allowed not_admitted version_not_newer bad_request not_authority too_many_pending "
    "custody_unavailable",
)


class Refused(Exception):
    """The signer does not do what was asked; `message` is safe to show to the caller."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(code.value, message)
        self.code, self.message = code, message


def require(holds: object, code: Code, message: str) -> None:
    """Refused with `code` unless it holds."""
    if not holds:
        raise Refused(code, message)


class Misconfigured(Exception):
    """The signer cannot start as it was asked to."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    require(len(members) == len(pairs), Code.bad_request, "a member occurs twice")
    return members


def _no_fraction(text: str) -> NoReturn:
    raise Refused(Code.bad_request, f"numbers are integers, not {text[:20]}")


_numbers: Any = {"parse_float": _no_fraction, "parse_constant": _no_fraction}
_strict = json.JSONDecoder(object_pairs_hook=_unique, **_numbers).decode
encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_sorted = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=True).encode


def decode(unverified: bytes) -> Any:
    """The JSON value; Refused for anything but UTF-8 JSON without duplicate members."""
    try:
        text = unverified.decode()
        value = _strict(text)
        if "\\u" in text:  # an escaped lone surrogate would be no UTF-8 later on
            encode(value).encode()
    except (ValueError, RecursionError, MemoryError):  # UnicodeDecodeError is a ValueError
        raise Refused(Code.bad_request, "not UTF-8 JSON, or too deep or too large") from None
    return value


def canonical(value: object) -> bytes:
    """JSON without white space, members sorted by code point, UTF-8."""
    return _sorted(value).encode()


def shape(**names: str) -> dict[str, type]:
    """The members of an object by type name: `shape(int="a b", str="c")`."""
    kinds: dict[str, type] = {"int": int, "str": str, "list": list, "dict": dict, "any": object}
    return {name: kinds[kind] for kind, listed in names.items() for name in listed.split()}


def require_members(unverified: Any, shape: Mapping[str, type], where: str) -> dict[str, Any]:
    """Exactly the members of `shape`, each of exactly its type; integers in [0, 2^53)."""
    exact = type(unverified) is dict and unverified.keys() == shape.keys()
    require(exact, Code.bad_request, f"{where}: members must be exactly {', '.join(shape)}")
    for name, kind in shape.items():
        value: Any = unverified[name]
        fits = kind is object or (type(value) is kind and (type(value) is not int or 0 <= value < MAX_INT))
        require(fits, Code.bad_request, f"{where}: {name} is no {kind.__name__}, or out of range")
    return dict(unverified)


def require_texts(unverified: Any, where: str, *, limit: int = 1024) -> list[str]:
    """A list of distinct non-empty strings of at most `limit` characters."""
    fits = type(unverified) is list and all(type(t) is str and 0 < len(t) <= limit for t in unverified)
    require(fits, Code.bad_request, f"{where}: a list of strings of 1 to {limit} characters")
    require(len(set(unverified)) == len(unverified), Code.bad_request, f"{where}: a string occurs twice")
    return list(unverified)
