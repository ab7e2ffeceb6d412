"""Ordinary life of the generated world: tenants, people, applications, and a rhythm of day and night.

Repeatable: everything follows from one seed. Nothing here is an attack; what only looks like one is marked
so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from sealwright.detection.engine import arrow_schema

DAY, HOUR = 86_400, 3_600
NOW = 1_800_000_000 - 1_800_000_000 % DAY + DAY
"""End of the generated time: midnight UTC."""
ISSUER, MAIL = "https://issuer.example/enterprise", "https://mail.enterprise.example"
CONSUMER = "https://issuer.example/consumer"
RHYTHM = np.array(
    [1, 1, 1, 1, 1, 2, 4, 8, 14, 16, 15, 13, 11, 13, 15, 14, 12, 9, 7, 6, 5, 4, 3, 2], dtype=float
)
"""How busy each hour of the day is."""
APPS = tuple(f"app-{letter}" for letter in "abcdefghijkl")
NETWORKS = 400
KEEN = 0.5
"""Share of all use that is by few people; the rest is spread evenly."""

Rows = dict[str, Any]


@dataclass(slots=True)
class Plan:
    """Size of the world. `days` of history end at `NOW`; the last of them is the one that is searched."""

    seed: int
    events: int = 1_000_000
    days: int = 16
    tenants: int = 40
    people: int = 5_000


@dataclass(slots=True)
class Lake:
    """Columns of `issued` and `observed`, and rows of everything else."""

    plan: Plan
    chance: np.random.Generator
    parts: dict[str, list[pa.Table]] = field(default_factory=lambda: {"issued": [], "observed": []})
    rows: dict[str, list[Rows]] = field(default_factory=dict)
    index: int = 0
    serial: int = 0

    def add(self, table: str, **columns: Any) -> None:
        """Add one row to a small table."""
        self.rows.setdefault(table, []).append(columns)

    def issue(self, **columns: Any) -> Rows:
        """Add token leaves, one for each entry of `iat`; returns all columns."""
        count = len(columns["iat"])
        index = np.arange(self.index, self.index + count)
        self.index += count
        iat = np.asarray(columns["iat"], dtype=np.int64)
        filled: Rows = {
            "log_id": ["abcdefghijklmnop"] * count,
            "idx": index,
            "jti": [f"abcdefghijklmnop.{i}.abcdefghijkl" for i in index],
            "digest": [digest(f"{self.plan.seed}/{i}") for i in index],
            "kid": np.where(iat < NOW - DAY, "key-old", "key-active"),
            "iat": iat,
            "exp": iat + HOUR,
            "realm": ["enterprise"] * count,
            "aud": [[MAIL]] * count,
            "scope": [["mail.read"]] * count,
            "grant": ["authorization_code"] * count,
            "event_id": [f"event-{i}" for i in index],
            **columns,
        }
        self._append("issued", filled, count)
        return filled

    def observe(self, tokens: Rows, which: np.ndarray, at: np.ndarray, **columns: Any) -> None:
        """Add reports of tokens: `which` indexes into them, `at` says when."""
        count = len(which)
        serial = np.arange(self.serial, self.serial + count)
        self.serial += count
        names = ("digest", "kid", "jti", "log_id", "idx", "iat", "exp", "client_id", "sub_digest", "tenant")
        copied = {name: np.asarray(tokens[name], dtype=object)[which] for name in names}
        filled: Rows = {
            "id": [f"{i:032x}" for i in serial],
            "reporter": ["mail"] * count,
            "instance": ["mail-1"] * count,
            "received_at": at + self.chance.uniform(0.05, 0.9, count),
            "at": at,
            "verdict": ["accepted"] * count,
            "signature": ["valid"] * count,
            "iss": [ISSUER] * count,
            "aud": [[MAIL]] * count,
            "resource": ["mailbox"] * count,
            **copied,
            **columns,
        }
        self._append("observed", filled, count)

    def _append(self, table: str, columns: Rows, count: int) -> None:
        schema = arrow_schema(table)
        arrays = [
            pa.array(list(columns[name]), type=schema.field(name).type)
            if name in columns
            else pa.nulls(count, schema.field(name).type)
            for name in schema.names
        ]
        self.parts[table].append(pa.Table.from_arrays(arrays, schema=schema))


def digest(name: str) -> str:
    """A digest for a name."""
    return hashlib.sha256(name.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class People:
    """Everybody: digest, tenant, usual network and place, and which applications they use."""

    digests: np.ndarray
    tenants: np.ndarray
    networks: np.ndarray
    latitudes: np.ndarray
    longitudes: np.ndarray
    apps: np.ndarray


def people_of(lake: Lake) -> People:
    """Make everybody."""
    plan, chance = lake.plan, lake.chance
    count = plan.people
    tenant = chance.integers(0, plan.tenants, count)
    return People(
        digests=np.array([digest(f"{plan.seed}/person/{number}") for number in range(count)], dtype=object),
        tenants=np.array([f"tenant-{number:02}" for number in tenant], dtype=object),
        networks=np.array(
            [f"AS{64_512 + number}" for number in chance.integers(0, NETWORKS, count)], dtype=object
        ),
        latitudes=chance.uniform(35, 60, count),
        longitudes=chance.uniform(-10, 30, count),
        apps=np.array([chance.choice(len(APPS), 4, replace=False) for _ in range(count)]),
    )


def moments(lake: Lake, count: int, first_day: int, last_day: int) -> np.ndarray:
    """Times with the rhythm of day and night, unix seconds; days count back from `NOW`."""
    hours = lake.chance.choice(24, count, p=RHYTHM / RHYTHM.sum())
    days = lake.chance.integers(last_day, first_day, count)
    seconds = lake.chance.uniform(0, HOUR, count)
    return np.asarray(NOW - (days + 1) * DAY + hours * HOUR + seconds)


def ordinary(lake: Lake, people: People) -> None:
    """Everybody at work: a token for each person, application and hour, used a few times."""
    plan, chance = lake.plan, lake.chance
    uses = plan.events
    who = np.minimum((chance.pareto(1.2, uses) * plan.people / 8).astype(int), plan.people - 1)
    who = np.where(chance.random(uses) < KEEN, who, chance.integers(0, plan.people, uses))
    app = people.apps[who, chance.integers(0, 4, uses)]
    at = moments(lake, uses, plan.days, 0)
    hour = ((at - (NOW - plan.days * DAY)) // HOUR).astype(np.int64)
    key = (who.astype(np.int64) * len(APPS) + app) * (plan.days * 24) + hour
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    begin = (NOW - plan.days * DAY + hour[first] * HOUR).astype(np.int64)
    tokens = lake.issue(
        iat=begin,
        exp=begin + HOUR,
        client_id=np.array(APPS, dtype=object)[app[first]],
        sub_digest=people.digests[who[first]],
        tenant=people.tenants[who[first]],
    )
    lake.observe(
        tokens,
        which,
        at,
        network=people.networks[who],
        latitude=people.latitudes[who],
        longitude=people.longitudes[who],
    )
    for name in APPS:
        lake.add("clients", client_id=name, realm="enterprise", scopes=["mail.read", "mail.send"])


def look_alikes(lake: Lake, people: People) -> None:
    """What looks like an attack and is none: roll-out, backup, newsletter, proxy abroad, migration."""
    chance, count = lake.chance, lake.plan.people
    everyone = np.arange(count)
    staff = chance.choice(count, 150, replace=False)
    _app(lake, people, "rollout-app", np.repeat(staff, 8), moments(lake, 150 * 8, 1, 0))
    nightly = chance.choice(count, 200, replace=False)
    times = (
        NOW
        - np.repeat(np.arange(lake.plan.days), 200) * DAY
        - DAY
        + 2 * HOUR
        + chance.uniform(0, HOUR, 200 * lake.plan.days)
    )
    _app(lake, people, "backup-app", np.tile(nightly, lake.plan.days), times)
    _app(lake, people, "newsletter-app", everyone, NOW - 6 * DAY + 9 * HOUR + chance.uniform(0, HOUR, count))
    abroad = chance.choice(count, 5, replace=False)
    when = NOW - 9 * HOUR + chance.uniform(0, 600, 5)
    _app(lake, people, "app-a", abroad, when, latitude=np.full(5, -33.9), longitude=np.full(5, 151.2))
    moved = chance.choice(count, 400, replace=False)
    _app(lake, people, "migration-app", np.repeat(moved, 5), NOW - 12 * HOUR + chance.uniform(0, HOUR, 2_000))


def _app(lake: Lake, people: People, name: str, who: np.ndarray, at: np.ndarray, **columns: Any) -> None:
    """Genuine use of an application: a token for each use."""
    iat = at.astype(np.int64)
    shared = {
        "client_id": [name] * len(who),
        "sub_digest": people.digests[who],
        "tenant": people.tenants[who],
    }
    tokens = lake.issue(iat=iat, **shared)
    place = {"latitude": people.latitudes[who], "longitude": people.longitudes[who]}
    lake.observe(
        tokens, np.arange(len(who)), at + 1.0, **{"network": people.networks[who], **place, **columns}
    )
    if name not in APPS:
        lake.add("clients", client_id=name, realm="enterprise", scopes=["mail.read"])


use_app = _app
