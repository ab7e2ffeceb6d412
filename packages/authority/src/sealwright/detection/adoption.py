"""The adoption meter: which audiences are covered by the standard validator, and how many tokens it has seen.

Pure. It counts what validators reported and what was fetched; a relying party that does neither is not in
sight, and is shown as such rather than guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from sealwright.detection.model import ValidatorStatus

STANDARD = "sealwright-validate"
SILENT_AFTER = 300.0
"""Seconds after which a validator that was not heard of counts as silent; heartbeats come every minute."""


class AudienceSeen(msgspec.Struct, frozen=True):
    """How often tokens for an audience were reported since a moment: by whom, and how many different
    tokens.
    """

    audience: str
    reporter: str
    instance: str
    tokens: int


class Coverage(msgspec.Struct, frozen=True):
    """One audience. `covered`: a standard validator that is not silent reported tokens for it.

    `others` saw tokens for it too: by another library that reports, or by asking us (introspection).
    """

    realm: str
    audience: str
    covered: bool
    tokens: int
    validators: tuple[str, ...]
    others: tuple[str, ...] = ()
    other_tokens: int = 0


class Adoption(msgspec.Struct, frozen=True):
    """The whole picture. `share` is tokens validated by the standard validator of those issued since
    `since`.
    """

    since: float
    issued: int
    validated: int
    share: float | None
    audiences: tuple[Coverage, ...]
    validators: tuple[ValidatorStatus, ...]
    silent: tuple[str, ...]
    plain_jwks_fetches: Mapping[str, int]


def name_of(status: ValidatorStatus) -> str:
    """What people call a running validator."""
    facts = status.validator
    return f"{facts.name} ({facts.library} {facts.version}, {facts.mode}, {facts.instance})"


def adoption(
    audiences: Mapping[str, Sequence[str]],
    statuses: Sequence[ValidatorStatus],
    seen: Sequence[AudienceSeen],
    issued: int,
    fetches: Mapping[str, int],
    *,
    since: float,
    now: float,
) -> Adoption:
    """Put the picture together.

    Args:
        audiences: of each realm.
        statuses: the last that was heard of each validator.
        seen: what was reported since `since`.
        issued: tokens issued since `since`.
        fetches: plain JWKS fetches per realm since `since`: relying parties that read no manifest.
        since: seconds since 1970.
        now: seconds since 1970.
    """
    standard = {
        (status.reporter, status.validator.instance): status
        for status in statuses
        if status.validator.library == STANDARD
    }
    silent = {key for key, status in standard.items() if now - status.heard_at > SILENT_AFTER}
    named = {(status.reporter, status.validator.instance): name_of(status) for status in statuses}
    covered = []
    for realm, names in sorted(audiences.items()):
        for audience in names:
            here = [one for one in seen if one.audience == audience]
            by = [one for one in here if (one.reporter, one.instance) in standard]
            rest = [one for one in here if (one.reporter, one.instance) not in standard]
            heard = {(one.reporter, one.instance) for one in by}
            covered.append(
                Coverage(
                    realm=realm,
                    audience=audience,
                    covered=bool(heard - silent),
                    tokens=sum(one.tokens for one in by),
                    validators=tuple(sorted(name_of(standard[key]) for key in heard)),
                    others=tuple(
                        sorted({named.get((one.reporter, one.instance), one.reporter) for one in rest})
                    ),
                    other_tokens=sum(one.tokens for one in rest),
                )
            )
    validated = sum(one.tokens for one in covered)
    return Adoption(
        since=since,
        issued=issued,
        validated=validated,
        share=min(1.0, validated / issued) if issued else None,
        audiences=tuple(covered),
        validators=tuple(statuses),
        silent=tuple(sorted(name_of(standard[key]) for key in silent)),
        plain_jwks_fetches=dict(fetches),
    )
