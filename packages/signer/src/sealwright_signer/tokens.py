"""From a typed request to the claims of an RFC 9068 access token (docs/formats/token.md).

Pure. May never take a claim that the caller is not entitled to fix, nor shorten or widen what was asked.
"""

import binascii
import json
from collections.abc import Callable
from typing import Any

from sealwright_signer.policy import Realm
from sealwright_signer.protocol import MAX_INT, Code, encode, require, require_texts
from sealwright_signer.tree import DIGEST

_quoted = json.encoder.encode_basestring  # a JSON string, UTF-8 left as it is; C where there is C
_SHAPE = (str, str, str, str, str, list, str, int, str)  # as `claims` unpacks them, without the last
_SHAPES = {(*_SHAPE, dict), (*_SHAPE, type(None))}
MAX_TEXT, MAX_SCOPE = 1_024, 4_096  # characters
MAX_LISTED = 16


def require_shape(unverified: Any) -> list[Any]:
    """Ten fields of exactly the right types."""
    fits = type(unverified) is list and tuple(map(type, unverified)) in _SHAPES
    if not fits:  # in what every token passes, a call is made only to refuse
        require(fits, Code.bad_request, "a request has ten fields of fixed types")
    return unverified  # type: ignore[no-any-return]


def claims(realm: Realm, request: list[Any]) -> tuple[str, str, bytes]:
    """JSON of the claims before and after the signer's own (iat, exp, jti), and the record's digest."""
    _realm, _kid, typ, client_id, sub, aud, scope, ttl, record, extra = request
    sized = 0 < len(client_id) <= MAX_TEXT and 0 < len(sub) <= MAX_TEXT and len(scope) <= MAX_SCOPE
    if not (sized and typ in realm.token_types and 0 < ttl <= realm.max_lifetime):
        require(sized, Code.bad_request, "client_id, sub or scope is empty or too long")
        require(typ in realm.token_types, Code.type_not_allowed, "the realm does not issue this type")
        require(False, Code.lifetime_not_allowed, "the realm does not issue for so long")
    try:
        digest = binascii.unhexlify(record)
    except ValueError:
        digest = b""
    require(len(digest) == DIGEST, Code.bad_request, "record must be 64 hexadecimal digits")
    audience, scoped = _audience(realm, aud), f',"scope":{_quoted(scope)}' if scope else ""
    head = f'{realm.opening},"sub":{_quoted(sub)},"aud":{audience},"client_id":{_quoted(client_id)}{scoped}'
    return head, _further(extra) if extra else "}", digest


def _audience(realm: Realm, unverified: list[Any]) -> str:
    if len(unverified) == 1 and type(unverified[0]) is str and unverified[0] in realm.audiences:
        return realm.audiences[unverified[0]]
    listed = require_texts(unverified, "aud")
    allowed = 0 < len(listed) <= MAX_LISTED and realm.audiences.keys() >= set(listed)
    require(allowed, Code.audience_not_allowed, "the realm does not issue for this audience")
    return f"[{','.join(realm.audiences[audience] for audience in listed)}]"


def _text(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_TEXT


def _texts(value: object) -> bool:
    return type(value) is list and 0 < len(value) <= MAX_LISTED and all(map(_text, value))


def _time(value: object) -> bool:
    return type(value) is int and 0 <= value < MAX_INT


def _one_of(*names: str) -> Callable[[object], bool]:
    return lambda value: type(value) is dict and any([*value] == [n] and _text(value[n]) for n in names)


_FURTHER: dict[str, Callable[[object], bool]] = {
    "auth_time": _time,
    "acr": _text,
    "amr": _texts,
}  # in the order of the token
_FURTHER |= {"cnf": _one_of("jkt", "x5t#S256"), "parent": _text, "act": _one_of("sub")}


def _further(unverified: dict[str, Any]) -> str:
    allowed = _FURTHER.keys() >= unverified.keys() and all(_FURTHER[n](v) for n, v in unverified.items())
    require(allowed, Code.claim_not_allowed, f"only {', '.join(_FURTHER)}, each of its own form")
    return "," + encode({name: unverified[name] for name in _FURTHER if name in unverified})[1:]
