"""How long what is in the ledger is kept, by profile; a configuration can only ask for longer. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from sealwright.config.durations import spoken
from sealwright.config.model import RetentionConfig
from sealwright.config.problem import Problem

DAY: Final = 86_400
SCHEMES: Final = ("s3", "gs", "az")
EVERY_FLOOR: Final = 60
EVERY_CEILING: Final = 7 * DAY
KEEP_FLOOR: Final = 2 * 365 * DAY
"""Seconds beyond the end of a key's trust: the least of every profile."""


@dataclass(frozen=True, slots=True)
class Retention:
    """`hot` seconds a leaf stays where it was written, before it may move to cold storage; `keep` seconds a
    key's private records live after the key was last trusted.
    """

    hot: int
    keep: int


PROFILES: Final[Mapping[str, Retention]] = MappingProxyType(
    {
        "default": Retention(183 * DAY, KEEP_FLOOR),
        # OMB M-21-31, logs of authentication: 12 months active and 18 cold, more than two years.
        "m-21-31": Retention(365 * DAY, (365 + 548) * DAY),
        "ten-years": Retention(365 * DAY, 3_653 * DAY),
    }
)


def retention_of(asked: RetentionConfig) -> Retention:
    """What a configuration that may run asks for."""
    base = PROFILES[asked.profile]
    return Retention(max(asked.hot, base.hot), max(asked.keep, base.keep))


def retention_problems(asked: RetentionConfig) -> Iterator[Problem]:
    """Every broken rule: an unknown profile, or a time below that of the profile."""
    base = PROFILES.get(asked.profile)
    if base is None:
        known = ", ".join(PROFILES)
        yield Problem("retention_profile", "retention.profile", "it is not known", f"choose one of {known}")
        return
    for name, value, least in (("hot", asked.hot, base.hot), ("keep", asked.keep, base.keep)):
        if value and value < least:
            wrong = f"{spoken(value)} is below {spoken(least)} of profile {asked.profile}"
            yield Problem(
                "retention_too_short", f"retention.{name}", wrong, "it can only be raised; 0 is the profile's"
            )
    yield from _storage_problems(asked)


def _storage_problems(asked: RetentionConfig) -> Iterator[Problem]:
    scheme = asked.cold.partition("://")[0] if asked.is_elsewhere else ""
    if scheme and (scheme not in SCHEMES or not urlsplit(asked.cold).netloc):
        known = ", ".join(f"{one}://bucket/prefix" for one in SCHEMES)
        yield Problem(
            "cold_storage", "retention.cold", "it is no object store that is known", f"write {known}"
        )
    if asked.access and not scheme:
        yield Problem("cold_storage", "retention.access", "a directory is reached without it", "leave it out")
    if not EVERY_FLOOR <= asked.every <= EVERY_CEILING:
        yield Problem(
            "retention_every", "retention.every", spoken(asked.every), "it is between a minute and a week"
        )
