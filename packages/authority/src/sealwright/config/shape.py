"""Fits what a file or the environment says to the shape of the configuration: names known, durations in
seconds.

Every refusal names the place and, for a name that is not known, the nearest one that is. May never guess a
value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, get_args, get_origin

import msgspec

from sealwright.config.durations import seconds
from sealwright.errors import Misconfigured

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def dotted(path: Iterable[str]) -> str:
    """A path as the file writes it: `realms.enterprise.max_lifetime`."""
    return ".".join(path)


def members(kind: Any) -> dict[str, Any]:
    """Name and type of every value of a section."""
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}


def is_section(kind: Any) -> bool:
    """Whether `kind` is a section (a struct) rather than a value."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def is_duration(kind: Any) -> bool:
    """Whether a value of type `kind` is a number of seconds."""
    return get_origin(kind) is Annotated and any(
        isinstance(meta, msgspec.Meta) and (meta.extra or {}).get("unit") == "seconds"
        for meta in get_args(kind)[1:]
    )


def unknown(path: tuple[str, ...], known: Iterable[str], where: str) -> Misconfigured:
    """The refusal of a name that no section has."""
    names = sorted(known)
    near = get_close_matches(path[-1], names, n=1, cutoff=0.5)
    hint = f'; did you mean "{near[0]}"?' if near else f"; known here: {', '.join(names)}"
    return Misconfigured("unknown_key", f"{dotted(path)} is not known ({where}){hint}")


def fitted(unverified_value: Any, kind: Any, where: str, path: tuple[str, ...] = ()) -> Any:
    """`unverified_value` with only known names and every duration in seconds; types are checked by msgspec
    after this.

    Raises:
        Misconfigured: `unknown_key`, `wrong_type` or `bad_duration`.
    """
    if is_section(kind) or get_origin(kind) is dict:
        if not isinstance(unverified_value, Mapping):
            place = dotted(path) or "the file"
            raise Misconfigured("wrong_type", f"{place} must be a section with named values ({where})")
        if not is_section(kind):
            inner = get_args(kind)[1]
            return {k: fitted(v, inner, where, (*path, k)) for k, v in unverified_value.items()}
        known = members(kind)
        for name in unverified_value:
            if name not in known:
                raise unknown((*path, name), known, where)
        return {k: fitted(v, known[k], where, (*path, k)) for k, v in unverified_value.items()}
    if is_duration(kind) and isinstance(unverified_value, str):
        return _read(seconds, unverified_value, where, path)
    return unverified_value


def _read(parse: Callable[[str], Any], unverified_text: str, where: str, path: tuple[str, ...]) -> Any:
    try:
        return parse(unverified_text)
    except ValueError as error:
        raise Misconfigured("wrong_type", f"{dotted(path)}: {error} ({where})") from error


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        raise ValueError(f'"{text}" is no whole number')
    return int(text)


def _truth(text: str) -> bool:
    if text.lower() in _TRUE + _FALSE:
        return text.lower() in _TRUE
    raise ValueError(f'"{text}" is neither true nor false')


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def from_text(unverified_text: str, kind: Any, where: str, path: tuple[str, ...]) -> Any:
    """The value that an environment variable spells: numbers, durations, true/false, lists separated by
    commas.

    Raises:
        Misconfigured: `wrong_type`.
    """
    if is_duration(kind):
        return _read(seconds, unverified_text, where, path)
    if kind is bool:
        return _read(_truth, unverified_text, where, path)
    if kind is int:
        return _read(_whole_number, unverified_text, where, path)
    return _parts(unverified_text) if get_origin(kind) is tuple else unverified_text
