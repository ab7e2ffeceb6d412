"""The demand that a key was announced in the ledger before it is trusted.

Pure: a receipt in, nothing out but a refusal. A key passes only if a key event `announced` with its id lies
in the log of the very incarnation that made it, and the announcement in that leaf is signed by that
incarnation's identity key and says of the key what the manifest says. May never accept an announcement of
another incarnation, or one that differs in scope or window.
"""

from collections.abc import Mapping
from typing import Any, Final

from sealwright_validate.documents import document_key, integer, open_compact, text, texts
from sealwright_validate.encoding import encode_base64url
from sealwright_validate.errors import Reason, Refused
from sealwright_validate.expect import media_type
from sealwright_validate.jwk import thumbprint
from sealwright_validate.keyset import LogKey, TrustedKey
from sealwright_validate.receipt import KEY_EVENT, event_members, read_event_receipt, require_event

ANNOUNCEMENT_TYPE: Final = "sealwright-key+jwt"


def require_announced(key: TrustedKey, unverified_receipt: str, logs: Mapping[str, LogKey]) -> None:
    """Return only if the receipt proves that exactly this key was announced.

    Args:
        key: as a verified manifest lists it.
        unverified_receipt: what `GET /ledger/proof?kid=` answered (docs/formats/receipt.md).
        logs: the logs of that manifest.

    Raises:
        Refused: `key_not_announced`.
    """
    try:
        _require(key, unverified_receipt, logs)
    except Refused as refusal:
        raise _unannounced(f"key {key.kid}: {refusal.detail or refusal.reason}") from None


def _require(key: TrustedKey, unverified_receipt: str, logs: Mapping[str, LogKey]) -> None:
    log = logs.get(key.incarnation or "")
    if log is None:
        raise _unannounced("it is of no listed incarnation")
    receipt = read_event_receipt(unverified_receipt)
    require_event(receipt, log)
    event = event_members(receipt.leaf, KEY_EVENT)
    if event.get("event") != "announced" or event.get("kid") != key.kid:
        raise _unannounced("the leaf announces something else")
    identity = document_key({"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(log.public)})
    said = open_compact(event.get("announcement"), ANNOUNCEMENT_TYPE, {identity.kid: identity})
    if thumbprint(said.get("jwk", {})) != key.kid or _of_members(said) != _of_key(key):
        raise _unannounced("it was announced differently")


def _of_members(said: Mapping[str, Any]) -> tuple[object, ...]:
    scope = (text(said, "realm"), text(said, "issuer"), texts(said, "audiences"), text(said, "alg"))
    types = frozenset(map(media_type, texts(said, "token_types")))
    windows = tuple(integer(said, name) for name in ("use_from", "use_until", "verify_until"))
    return (*scope, types, integer(said, "max_lifetime"), *windows, text(said, "incarnation"))


def _of_key(key: TrustedKey) -> tuple[object, ...]:
    scope = (key.realm, key.issuer, key.audiences, key.algorithm.value)
    windows = (key.use_from, key.use_until, key.verify_until)
    return (*scope, key.token_types, key.max_lifetime, *windows, key.incarnation)


def _unannounced(detail: str) -> Refused:
    return Refused(Reason.KEY_NOT_ANNOUNCED, detail)
