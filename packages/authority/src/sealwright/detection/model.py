"""What detection speaks of: observations, sights of the ledger, key facts, findings, alarms.

Values only. Nothing here decides, stores or sends; nothing here may hold a token or a subject in clear.
Wire format of a report: docs/formats/observation.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MAX_OBSERVATIONS = 1_000
"""Observations in one report (docs/formats/observation.md)."""
MAX_REPORT_BYTES = 1 << 20
"""Bytes of one report's body."""

Text = Annotated[str, Meta(max_length=512)]
HexDigest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
ObservationId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32,128}\Z")]
ReasonCode = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]{0,63}\Z")]
Seconds = Annotated[float, Meta(ge=0, le=253_402_300_799)]
WholeSeconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]

INTROSPECTION = "introspection"
"""The library of relying parties that ask us about tokens instead of validating them, without heartbeats."""
ACCEPTED = "accepted"
"""The verdict of a validator that let the token in; every other verdict is a refusal's reason code."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One validator's report of one token: its digest, its key, the verdict, the time. Times are unix
    seconds.

    Members that this version does not know are ignored, not stored: a newer validator must not be locked out.
    The members after `sub_digest` are what a relying party may add; behavioural detections use them where
    present.
    """

    id: ObservationId
    at: Seconds
    verdict: ReasonCode
    signature: Literal["valid", "unverified"]
    digest: HexDigest
    kid: Text | None = None
    jti: Text | None = None
    iss: Text | None = None
    aud: Annotated[tuple[Text, ...], Meta(max_length=32)] = ()
    iat: WholeSeconds | None = None
    exp: WholeSeconds | None = None
    client_id: Text | None = None
    sub_digest: HexDigest | None = None
    tenant: Text | None = None
    resource: Text | None = None
    network: Text | None = None
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    binding: Text | None = None


class ValidatorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Who reports: one running instance of a validating library, how fresh its manifest is (age in seconds),
    and the ids of the keys that it trusts now.
    """

    name: Text
    instance: Annotated[str, Meta(min_length=1, max_length=64)]
    library: Text = ""
    version: Text = ""
    mode: Text = ""
    manifest_version: Annotated[int, Meta(ge=0)] | None = None
    manifest_age: Annotated[float, Meta(ge=0)] | None = None
    keys: Annotated[tuple[Text, ...], Meta(max_length=1_024)] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /observations`. No observations at all is a heartbeat."""

    validator: ValidatorFacts
    observations: tuple[Observation, ...] = ()


class Receipt(msgspec.Struct, frozen=True):
    """How many observations are durable now, and how many of the report had been before."""

    stored: int
    duplicates: int


class Seen(msgspec.Struct, frozen=True):
    """An observation as it was received: by whom it was reported, and when it arrived by our own clock."""

    reporter: str
    instance: str
    received_at: float
    observation: Observation


class Kept(msgspec.Struct, frozen=True):
    """A batch that is durable: its number, one receipt for each report in order, and what was new."""

    batch: int
    receipts: list[Receipt]
    new: list[Seen]


class Place(msgspec.Struct, frozen=True):
    """Where a token says that its leaf is (the first two parts of its `jti`)."""

    log_id: str
    index: int


class LeafFacts(msgspec.Struct, frozen=True):
    """What the ledger holds at a place. `kind` is the leaf kind of docs/formats/ledger.md; digest in hex."""

    kind: int
    digest: str
    kid: str


class LedgerSight(msgspec.Struct, frozen=True):
    """One consistent look at the ledger.

    `complete_until`: every leaf that was committed at or before this time (unix seconds, our clock) is in
    sight. A token leaves only after its leaf is committed, so whatever was received before this time and has
    no leaf in sight was never issued.
    """

    complete_until: float
    sizes: dict[str, int]
    leaves: dict[Place, LeafFacts]


class Planted(msgspec.Struct, frozen=True):
    """What lies where only a thief looks: digests of tokens (hex) and ids of keys."""

    tokens: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()


class KeyStatus(StrEnum):
    """DESIGN section 1, key states, plus `revoked`."""

    STAGED = "staged"
    ACTIVE = "active"
    VERIFY_ONLY = "verify-only"
    RETIRED = "retired"
    REVOKED = "revoked"


class KeyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a key was for, whatever became of it. Times are unix seconds; `max_lifetime` is seconds."""

    kid: str
    realm: str
    issuer: str
    audiences: tuple[str, ...]
    use_from: float
    use_until: float
    verify_until: float
    max_lifetime: int
    status: KeyStatus
    retired_at: float | None = None
    revoked_at: float | None = None
    issued_before: float | None = None


class Code(StrEnum):
    """Stable codes of alarms. A code never changes its meaning; it is part of the de-duplication key."""

    NEVER_ISSUED = "never_issued"
    DIGEST_MISMATCH = "digest_mismatch"
    KID_MISMATCH = "kid_mismatch"
    UNKNOWN_KEY = "unknown_key"
    KEY_OF_OTHER_REALM = "key_of_other_realm"
    KEY_OUTSIDE_WINDOW = "key_outside_window"
    KEY_RETIRED = "key_retired"
    KEY_REVOKED = "key_revoked"
    LIFETIME_BEYOND_POLICY = "lifetime_beyond_policy"
    REVOKED_KEY_PRESENTED = "revoked_key_presented"
    RETIRED_KEY_PRESENTED = "retired_key_presented"
    CANARY_TOKEN = "canary_token"  # noqa: S105 - the name of an alarm
    CANARY_KEY = "canary_key"
    DETECTION_STALLED = "detection_stalled"
    WITNESS_REFUSED = "witness_refused"
    WITNESS_QUORUM_MISSED = "witness_quorum_missed"


class Severity(StrEnum):
    """How soon a person or a response rule must act: critical means now."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


FactValue = str | int | float | bool | list[str] | None
Facts = dict[str, FactValue]


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong with one observed token, with the facts that say why."""

    code: Code
    severity: Severity
    facts: Facts
    subject: str
    """What the alarm is about: equal code and subject are one alarm."""


class Judgement(msgspec.Struct, frozen=True):
    """What the rules say of one observation. `held`: the ledger cannot be asked about it yet; ask again."""

    findings: tuple[Finding, ...] = ()
    held: bool = False


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that someone must act on. `id` is hex SHA-256 of code and subject, so that a repeat is the
    same alarm.

    `code` is one of `Code` or of the catalogue; `digest` is the token's (empty where no token is concerned);
    times are unix seconds.
    """

    id: str
    code: str
    severity: Severity
    raised_at: float
    observed_at: float
    reporter: str
    digest: str
    kid: str | None
    jti: str | None
    facts: Facts


class StoredAlarm(msgspec.Struct, frozen=True):
    """An alarm with its place in the feed: `seq` only grows, and is the cursor of everyone who reads on."""

    seq: int
    alarm: Alarm


class ValidatorStatus(msgspec.Struct, frozen=True):
    """The last that was heard of one validator instance."""

    reporter: str
    validator: ValidatorFacts
    heard_at: float
