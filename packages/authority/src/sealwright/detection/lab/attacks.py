"""The attacks that are hidden in the generated world, each with what a perfect detector would say of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sealwright.detection.lab.traffic import (
    APPS,
    CONSUMER,
    DAY,
    HOUR,
    NOW,
    Lake,
    People,
    digest,
    moments,
    use_app,
)

CHANGEOVER = 2
"""Networks that a phone uses at one time: home and mobile."""
Truth = dict[str, dict[str, float]]
"""For each code the subjects that are to be found, and when their first evidence arose (unix seconds)."""


@dataclass(slots=True)
class Told:
    """Collects the truth."""

    truth: Truth = field(default_factory=dict)

    def add(self, codes: tuple[str, ...], subjects: Any, at: Any) -> None:
        """These subjects are to be found under each of these codes."""
        for code in codes:
            known = self.truth.setdefault(code, {})
            for subject, moment in zip(subjects, at, strict=True):
                known[str(subject)] = min(float(moment), known.get(str(subject), float("inf")))


def hidden(lake: Lake, people: People) -> Truth:
    """Hide every attack in the last day (and the slow one in two weeks); returns what there is to find."""
    told = Told()
    _forged(lake, people, told)
    _harvest(lake, people, told)
    _copied(lake, people, told)
    _inside(lake, people, told)
    return told.truth


def _forge(
    lake: Lake, people: People, name: str, count: int, **columns: Any
) -> tuple[dict[str, Any], np.ndarray]:
    """Forged tokens on known people, presented once each; returns them and when."""
    who, at = lake.chance.choice(people.digests.size, count, replace=False), moments(lake, count, 1, 0)
    iat = at.astype(np.int64) - 5
    tokens = {
        "digest": [digest(f"{lake.plan.seed}/{name}/{number}") for number in range(count)],
        "kid": ["key-active"] * count,
        "jti": [f"abcdefghijklmnop.{10**9 + number}.{name:.12}" for number in range(count)],
        "log_id": ["abcdefghijklmnop"] * count,
        "idx": np.arange(10**9, 10**9 + count),
        "iat": iat,
        "exp": iat + HOUR,
        "client_id": lake.chance.choice(np.array(APPS, dtype=object), count),
        "sub_digest": people.digests[who],
        "tenant": people.tenants[who],
        **columns,
    }
    # The forger knows his victims' ways: their own network and place.
    near = {
        "network": people.networks[who],
        "latitude": people.latitudes[who],
        "longitude": people.longitudes[who],
        "resource": [None] * count,
    }
    realm = columns.get("kid", [""])[0]
    if realm == "key-consumer":
        near["iss"] = ["https://issuer.example/enterprise"] * count
    lake.observe(tokens, np.arange(count), at, **near)
    return tokens, at


def _forged(lake: Lake, people: People, told: Told) -> None:
    tokens, at = _forge(lake, people, "stolen", 200)
    told.add(("never_issued",), tokens["digest"], at)
    tokens, at = _forge(lake, people, "consumer", 100, kid=["key-consumer"] * 100)
    told.add(
        ("never_issued", "key_of_other_realm", "key_outside_window", "dormant_key", "key_retired"),
        tokens["digest"],
        at,
    )
    tokens, at = _forge(lake, people, "unknown", 20, kid=["key-of-nobody"] * 20)
    told.add(("never_issued", "unknown_key"), tokens["digest"], at)
    who = lake.chance.choice(people.digests.size, 30, replace=False)
    at = moments(lake, 30, 1, 0)
    real = lake.issue(
        iat=at.astype(np.int64),
        client_id=["app-a"] * 30,
        sub_digest=people.digests[who],
        tenant=people.tenants[who],
    )
    lake.observe(real, np.arange(30), at + 5, resource=[None] * 30)
    twins = {**real, "digest": [digest(f"{lake.plan.seed}/twin/{number}") for number in range(30)]}
    lake.observe(twins, np.arange(30), at + 60, resource=[None] * 30)
    told.add(("digest_mismatch",), twins["digest"], at + 60)
    told.add(("altered_twin",), real["jti"], at + 60)
    junk, at = (
        {**twins, "jti": [None] * 30, "idx": [None] * 30, "log_id": [None] * 30},
        np.full(300, NOW - 7.0 * HOUR),
    )
    verdicts = {
        "verdict": ["bad_signature"] * 300,
        "signature": ["unverified"] * 300,
        "reporter": ["shop"] * 300,
    }
    lake.observe(junk, np.tile(np.arange(30), 10), at + np.arange(300), **verdicts, resource=[None] * 300)
    told.add(("header_attacks",), ["shop/bad_signature"], [NOW - 7.0 * HOUR])


def _harvest(lake: Lake, people: People, told: Told) -> None:
    """An unknown application with genuine tokens reads mailboxes: 500 in an hour, and 300 over two weeks."""
    fast = lake.chance.choice(people.digests.size, 500, replace=False)
    at = np.sort(NOW - 10.0 * HOUR + lake.chance.uniform(0, HOUR, 500))
    use_app(lake, people, "harvest-app", fast, at)
    subjects = [f"{who}/mailbox/harvest-app" for who in people.digests[fast]]
    told.add(("first_seen_client",), subjects, at)
    hours = np.floor(at / HOUR).astype(np.int64)
    told.add(("volume_burst",), [f"harvest-app/{hour}" for hour in hours], at)
    slow = lake.chance.choice(people.digests.size, 300, replace=False)
    times = NOW - np.linspace(13 * DAY, 600, 300)
    use_app(lake, people, "quiet-app", slow, times)
    told.add(("low_and_slow",), ["quiet-app"], [times[0]])
    today = times >= NOW - DAY
    found = [f"{who}/mailbox/quiet-app" for who in people.digests[slow[today]]]
    told.add(("first_seen_client",), found, times[today])


def _copied(lake: Lake, people: People, told: Told) -> None:
    who, at = lake.chance.choice(people.digests.size, 60, replace=False), moments(lake, 60, 1, 0)
    tokens = lake.issue(
        iat=at.astype(np.int64),
        client_id=["app-b"] * 60,
        sub_digest=people.digests[who],
        tenant=people.tenants[who],
    )
    for step in range(3):
        networks = [f"AS{64_512 + (number * 3 + step) % 400}" for number in range(60)]
        # The second half is used from two networks only: a phone that changes over, and no copy.
        some = np.arange(60) if step < CHANGEOVER else np.arange(30)
        lake.observe(
            tokens,
            some,
            at[some] + 30.0 * (step + 1),
            network=np.array(networks, dtype=object)[some],
            resource=[None] * len(some),
        )
    told.add(("token_replayed",), np.array(tokens["digest"], dtype=object)[:30], at[:30] + 90)
    gone = lake.chance.choice(people.digests.size, 20, replace=False)
    when = NOW - 8.0 * HOUR + lake.chance.uniform(0, HOUR, 20)
    home = {"latitude": people.latitudes[gone], "longitude": people.longitudes[gone]}
    use_app(lake, people, "app-c", gone, when - 900, **home)
    before = lake.index
    use_app(lake, people, "app-c", gone, when, latitude=np.full(20, 39.9), longitude=np.full(20, 116.4))
    told.add(("impossible_travel",), [digest(f"{lake.plan.seed}/{before + n}") for n in range(20)], when)


def _inside(lake: Lake, people: People, told: Told) -> None:
    """A front end that was taken over: tokens without an authentication, and with scopes nobody granted."""

    def issued(count: int, **columns: Any) -> tuple[dict[str, Any], np.ndarray]:
        who, at = lake.chance.choice(people.digests.size, count, replace=False), moments(lake, count, 1, 0)
        subjects = {"sub_digest": people.digests[who], "tenant": people.tenants[who]}
        return lake.issue(iat=at.astype(np.int64), client_id=["app-d"] * count, **subjects, **columns), at

    golden, at = issued(25, event_id=[None] * 25)
    told.add(("issued_without_grant",), golden["digest"], at)
    wide, at = issued(10, scope=[["mail.read", "mail.admin"]] * 10)
    told.add(("scope_beyond_policy",), wide["digest"], at)
    parents = [f"abcdefghijklmnop.{number}.parent" for number in range(15)]
    _, at = issued(30, grant=["refresh_token"] * 30, parent=parents * 2)
    told.add(("family_reused",), parents, [max(float(at[n]), float(at[n + 15])) for n in range(15)])


CONSUMER_KEY = {
    "kid": "key-consumer",
    "realm": "consumer",
    "issuer": CONSUMER,
    "audiences": ["https://mail.consumer.example"],
    "use_from": float(NOW - 900 * DAY),
    "use_until": float(NOW - 800 * DAY),
    "verify_until": float(NOW - 799 * DAY),
    "max_lifetime": 2 * HOUR,
    "status": "retired",
    "activated_at": float(NOW - 900 * DAY),
    "retired_at": float(NOW - 799 * DAY),
}
"""The key of 2016: of the other realm, long retired, and stolen."""
