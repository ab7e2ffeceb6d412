"""How long a key may sign at the most, by policy profile and tenancy. Pure; a configuration only tightens it.

NIST IR 8587 (protecting tokens and assertions from forgery, theft and misuse) asks that a key which signs for
several tenants is used for two weeks at the most, one that signs for a single tenant for three months, one on
premises for a year, and that access tokens live an hour. The default is stricter. The signer has the longest
of these as ceilings in its own code: no profile can lift them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sealwright.config.durations import spoken
from sealwright.config.model import Config
from sealwright.config.problem import Problem

DAY = 86_400
MULTI_TENANT, TENANT_SPECIFIC, ON_PREMISES = "multi-tenant", "tenant-specific", "on-premises"
TENANCIES = (MULTI_TENANT, TENANT_SPECIFIC, ON_PREMISES)
STRICT, NIST = "strict", "nist-ir-8587"

KEY_USE: Mapping[str, Mapping[str, int]] = {
    STRICT: {MULTI_TENANT: DAY, TENANT_SPECIFIC: 7 * DAY, ON_PREMISES: 14 * DAY},
    NIST: {MULTI_TENANT: 14 * DAY, TENANT_SPECIFIC: 90 * DAY, ON_PREMISES: 365 * DAY},
}
"""Seconds from `use_from` to `use_until`, at the most."""


def key_use_ceiling(config: Config) -> int:
    """Seconds that a key may sign: the strictest of the realms' ceilings, as all keys live alike."""
    ceilings = KEY_USE.get(config.keys.profile, KEY_USE[STRICT])
    found = [ceilings.get(realm.tenancy, ceilings[MULTI_TENANT]) for realm in config.realms.values()]
    return min(found, default=ceilings[MULTI_TENANT])


def admission_ceiling(config: Config, least: int) -> int:
    """Seconds that an admission may hold: `least`, or what keys that live so long need (twice their life)."""
    return max(least, 2 * key_use_ceiling(config) + 4 * DAY)


def profile_problems(config: Config, floor: int) -> Iterator[Problem]:
    """What breaks the profile; `floor` is the shortest use of a key, in seconds."""
    if config.keys.profile not in KEY_USE:
        wrong = f'"{config.keys.profile}" is no policy profile'
        yield Problem("profile", "keys.profile", wrong, f"use one of {', '.join(KEY_USE)}")
    for name, realm in config.realms.items():
        if realm.tenancy not in TENANCIES:
            wrong = f'"{realm.tenancy}" is no tenancy'
            yield Problem("tenancy", f"realms.{name}.tenancy", wrong, f"use one of {', '.join(TENANCIES)}")
    ceiling = key_use_ceiling(config)
    if not floor <= config.keys.use <= ceiling:
        wrong = f"{spoken(config.keys.use)} is outside {spoken(floor)} to {spoken(ceiling)}"
        rule = f"the ceiling of profile {config.keys.profile} for the strictest tenancy of the realms"
        yield Problem(
            "key_use", "keys.use", f"{wrong}, {rule}", "shorten it: a profile can only be tightened"
        )
