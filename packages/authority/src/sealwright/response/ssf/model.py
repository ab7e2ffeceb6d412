"""Streams, security events and what waits in the outbox, as values. Times are unix seconds."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

PUSH, POLL = "urn:ietf:rfc:8935", "urn:ietf:rfc:8936"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
SESSION_REVOKED = CAEP + "session-revoked"
CREDENTIAL_CHANGE = CAEP + "credential-change"
TOKEN_CLAIMS_CHANGE = CAEP + "token-claims-change"
CREDENTIAL_COMPROMISE = RISC + "credential-compromise"
VERIFICATION = SSF + "verification"
STREAM_UPDATED = SSF + "stream-updated"
SUPPORTED = (SESSION_REVOKED, CREDENTIAL_CHANGE, TOKEN_CLAIMS_CHANGE, CREDENTIAL_COMPROMISE)
"""Events that a receiver can ask for; verification and stream-updated it gets unasked."""

SubjectId = dict[str, Any]
Text = Annotated[str, Meta(max_length=2_048)]


class Status(StrEnum):
    """SSF 1.0 section 8.1.2: paused holds events back, disabled drops them."""

    ENABLED = "enabled"
    PAUSED = "paused"
    DISABLED = "disabled"


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a stream's events travel (RFC 8935 push, RFC 8936 poll)."""

    method: Text
    endpoint_url: Text | None = None
    authorization_header: Text | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One security event, before it is addressed to a stream. `at` is when it happened."""

    type: str
    sub_id: SubjectId
    at: float
    txn: str
    content: dict[str, Any]

    def addressed(self, stream: Stream, issuer: str, jti: str, now: float) -> dict[str, Any]:
        """The claims of the SET that tells a stream (RFC 8417, SSF 1.0 section 4): no `sub`, no `exp`."""
        return {
            "iss": issuer,
            "jti": jti,
            "iat": int(now),
            "aud": stream.aud,
            "txn": self.txn,
            "sub_id": self.sub_id,
            "events": {self.type: self.content},
        }


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """One receiver's subscription. `receiver` is who made it, and the only one who may read or change it."""

    stream_id: str
    receiver: str
    aud: str
    delivery: Delivery
    events_requested: tuple[str, ...]
    description: str = ""
    status: Status = Status.ENABLED
    reason: str = ""
    verified_at: float = 0.0

    @property
    def delivered(self) -> tuple[str, ...]:
        """The events that it gets: those asked for that there are; all when nothing was asked."""
        asked = self.events_requested or SUPPORTED
        return tuple(kind for kind in SUPPORTED if kind in asked)

    def wants(self, event: Event) -> bool:
        """Whether an event goes to it. SSF's own events always do; nothing once disabled."""
        if self.status is Status.DISABLED:
            return False
        return event.type.startswith(SSF) or event.type in self.delivered


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver may say about a stream when making or changing it. Unset members stay as they are.

    The last four are the transmitter's own: a receiver may repeat them, and may not change them.
    """

    stream_id: Text | None = None
    delivery: Delivery | None = None
    events_requested: Annotated[tuple[Text, ...], Meta(max_length=64)] | None = None
    description: Text | None = None
    aud: Text | None = None
    iss: Text | None = None
    events_supported: Annotated[tuple[Text, ...], Meta(max_length=64)] | None = None
    events_delivered: Annotated[tuple[Text, ...], Meta(max_length=64)] | None = None
    min_verification_interval: int | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A SET's claims in the outbox. The same `jti` on every attempt; signed when sent."""

    seq: int
    stream_id: str
    jti: str
    queued_at: float
    claims: dict[str, Any]
