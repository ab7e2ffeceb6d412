"""What a stream may ask for and what a SET says. Pure.

- A SET holds one event, names its subject in `sub_id`, and has neither `sub` nor `exp` (SSF 1.0, CAEP
  interop).
- A push endpoint is https; plain http is for loopback only, and loopback for a transmitter on a laptop only.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec

from sealwright.errors import Refused
from sealwright.response.ssf.model import (
    CREDENTIAL_CHANGE,
    CREDENTIAL_COMPROMISE,
    POLL,
    PUSH,
    SESSION_REVOKED,
    SUPPORTED,
    TOKEN_CLAIMS_CHANGE,
    Asked,
    Delivery,
    Event,
    Stream,
)

POLICY, ADMIN = "policy", "admin"
"""Who began it (CAEP 1.0 section 2, `initiating_entity`): a rule, or an operator."""
MIN_VERIFICATION_INTERVAL = 10
"""Seconds between two verifications of one stream."""


def require_deliverable(delivery: Delivery, *, local: bool) -> None:
    """Refuse a delivery that cannot or must not be used: `invalid_delivery`.

    Args:
        delivery: as the receiver asks for it.
        local: whether the transmitter itself is on loopback; only then may the endpoint be.
    """
    if delivery.method == POLL:
        return
    if delivery.method != PUSH or not delivery.endpoint_url:
        raise Refused(
            "invalid_delivery", "Delivery is push (RFC 8935) to an endpoint_url, or poll (RFC 8936)."
        )
    url = urlsplit(delivery.endpoint_url)
    if url.username or url.password or url.fragment or not url.hostname:
        raise Refused("invalid_delivery", "The endpoint_url has credentials or a fragment, or no host.")
    loopback = is_loopback(url.hostname)
    if url.scheme != "https" and not (local and loopback and url.scheme == "http"):
        raise Refused("invalid_delivery", "The endpoint_url must be https.")
    if loopback and not local:
        raise Refused("invalid_delivery", "The endpoint_url must not point back at this host.")
    if any(ord(character) < ord(" ") for character in delivery.authorization_header or ""):
        raise Refused("invalid_delivery", "The authorization_header holds control characters.")


def require_repeated(asked: Asked, stream: Stream, issuer: str) -> None:
    """Refuse to change what is the transmitter's to say (SSF 1.0 sections 8.1.1.3 and 8.1.1.4): a receiver
    may only repeat it. Raises `Refused` (`invalid_request`).
    """
    own: dict[str, tuple[object, object]] = {
        "iss": (asked.iss, issuer),
        "events_supported": (_set(asked.events_supported), set(SUPPORTED)),
        "events_delivered": (_set(asked.events_delivered), set(stream.delivered)),
        "min_verification_interval": (asked.min_verification_interval, MIN_VERIFICATION_INTERVAL),
    }
    for name, (said, is_so) in own.items():
        if said is not None and said != is_so:
            raise Refused("invalid_request", f"{name} is the transmitter's to say, and is not that.")


def _set(names: tuple[str, ...] | None) -> set[str] | None:
    return set(names) if names is not None else None


def token_revoked(issuer: str, token: str, at: float, txn: str, reason: str, by: str = POLICY) -> Event:
    """One token was revoked: CAEP session-revoked on a `jwt_id` subject. `token` is its `jti`."""
    subject = {"format": "jwt_id", "iss": issuer, "jti": token}
    return Event(type=SESSION_REVOKED, sub_id=subject, at=at, txn=txn, content=_caep(at, reason, by))


def client_disabled(issuer: str, client_id: str, at: float, txn: str, reason: str, by: str = POLICY) -> Event:
    """Every session of an application was ended: session-revoked on a complex subject."""
    subject = {"format": "complex", "application": {"format": "iss_sub", "iss": issuer, "sub": client_id}}
    return Event(type=SESSION_REVOKED, sub_id=subject, at=at, txn=txn, content=_caep(at, reason, by))


def claims_changed(
    issuer: str, token: str, claims: Mapping[str, Any], at: float, txn: str, reason: str, by: str = POLICY
) -> Event:
    """Claims of a live token changed: CAEP token-claims-change. `claims` are the new values."""
    subject = {"format": "jwt_id", "iss": issuer, "jti": token}
    content = {**_caep(at, reason, by), "claims": dict(claims)}
    return Event(type=TOKEN_CLAIMS_CHANGE, sub_id=subject, at=at, txn=txn, content=content)


def key_revoked(
    issuer: str,
    kid: str,
    at: float,
    txn: str,
    reason: str,
    issued_before: int | None = None,
    by: str = POLICY,
) -> list[Event]:
    """A signing key was revoked. No standard event says so (docs/detection.md): three say what follows from
    it.

    Every session of the issuer is to be ended, and the credential named by `kid` is compromised. With
    `issued_before` (unix seconds) older tokens stay valid: then no session is ended.
    """
    tenant = {"format": "complex", "tenant": {"format": "opaque", "id": issuer}}
    credential = {"format": "opaque", "id": f"{issuer}#{kid}"}
    change = {
        **_caep(at, reason, by),
        "credential_type": "urn:sealwright:signing-key",
        "change_type": "revoke",
        "friendly_name": kid,
    }
    compromise = {
        "credential_type": "urn:sealwright:signing-key",
        "event_timestamp": int(at),
        "reason_admin": reason,
    }
    spared = {} if issued_before is None else {"issued_before": issued_before}
    change, compromise = change | spared, compromise | spared
    ended = Event(type=SESSION_REVOKED, sub_id=tenant, at=at, txn=txn, content=_caep(at, reason, by))
    return [
        *([ended] if issued_before is None else []),
        Event(type=CREDENTIAL_CHANGE, sub_id=credential, at=at, txn=txn, content=change),
        Event(type=CREDENTIAL_COMPROMISE, sub_id=credential, at=at, txn=txn, content=compromise),
    ]


def subject_key(sub_id: Mapping[str, Any]) -> str:
    """A subject as one string, the same for the same subject."""
    return msgspec.json.encode(sub_id, order="deterministic").decode()


def _caep(at: float, reason: str, by: str) -> dict[str, Any]:
    return {"event_timestamp": int(at), "initiating_entity": by, "reason_admin": {"en": reason}}


def is_loopback(host: str) -> bool:
    """Whether a host is an address of the loopback interface, or `localhost`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
