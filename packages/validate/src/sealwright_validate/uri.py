"""Compares addresses as RFC 9449 §4.3 asks: normalised by syntax and scheme (RFC 3986 §6.2.2, §6.2.3),
without query.

May never take two addresses for the same because of how one of them could be misread.
"""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE: Final = re.compile("%([0-9A-Fa-f]{2})")
_ODD_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def same_resource(first: str, second: str) -> bool:
    """Whether two absolute http(s) addresses name the same resource, query and fragment aside."""
    normalised = normalise(first)
    return normalised is not None and normalised == normalise(second)


def normalise(address: str) -> str | None:
    """One spelling for an absolute http(s) address without query and fragment; None if it is none."""
    if not address.isascii() or not address.isprintable() or " " in address or "\\" in address:
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or _odd(parts):
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port is None or port == _DEFAULT_PORTS[parts.scheme] else f"{host}:{port}"
    return f"{parts.scheme}://{place}{_without_dots(_ESCAPE.sub(_escape, parts.path)) or '/'}"


def _odd(parts: SplitResult) -> bool:
    return "@" in parts.netloc or "%" in parts.netloc or _ODD_ESCAPE.search(parts.path) is not None


def _escape(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else found[0].upper()


def _without_dots(path: str) -> str:
    """RFC 3986 §5.2.4."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)
