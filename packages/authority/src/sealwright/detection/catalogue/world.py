"""A small quiet world in rows: enough history that nothing in it is a finding. Examples and tests add to it.

Needs no optional package. Rows have exactly the columns of `model.TABLES`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from sealwright.detection.catalogue.model import TABLES, Params

NOW = 1_800_000_000.0
SINCE = NOW - 300
DAY = 86_400.0
LOG = "abcdefghijklmnop"
ISSUER = "https://issuer.example/enterprise"
MAIL = "https://mail.enterprise.example"
ACTIVE_KEY, OLD_KEY = "key-active", "key-old"

Fields = dict[str, Any]


def quiet_params() -> Params:
    """A run at `NOW` over the last five minutes."""
    return Params(since=SINCE, now=NOW, complete_until=NOW)


class World:
    """Tables as lists of rows, with a step for each thing that happens in life."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Fields]] = {name: [] for name in TABLES}
        self.unlogged: Counter[tuple[str, str]] = Counter()
        self._leaves: Counter[str] = Counter()
        self._people()
        self._history()

    def add(self, table: str, **fields: Any) -> Fields:
        """Add a row; columns that are not named are null."""
        unknown = fields.keys() - TABLES[table].keys()
        if unknown:
            raise KeyError(f"{table} has no columns {sorted(unknown)}")
        row = {column: fields.get(column) for column in TABLES[table]}
        self.rows[table].append(row)
        return row

    def key(self, kid: str, **changes: Any) -> Fields:
        """A key of the enterprise realm, active for the last day."""
        fields: Fields = {
            "kid": kid,
            "realm": "enterprise",
            "issuer": ISSUER,
            "audiences": [MAIL],
            "use_from": NOW - DAY,
            "use_until": NOW + DAY,
            "verify_until": NOW + DAY + 3_600,
            "max_lifetime": 3_600,
            "status": "active",
            "activated_at": NOW - DAY,
        }
        return self.add("keys", **(fields | changes))

    def issue(self, **changes: Any) -> Fields:
        """A token with its leaf and its authentication event, by default issued a minute ago."""
        log = changes.get("log_id", LOG)
        index = self._leaves[log]
        self._leaves[log] += 1
        iat = int(changes.get("iat", NOW - 60))
        fields: Fields = {
            "log_id": log,
            "idx": index,
            "jti": f"{log}.{index}.abcdefghijkl",
            "digest": digest_of(f"{log}/{index}"),
            "kid": ACTIVE_KEY,
            "iat": iat,
            "exp": iat + 600,
            "realm": "enterprise",
            "client_id": "mail-app",
            "sub_digest": digest_of("alice"),
            "tenant": "tenant-a",
            "aud": [MAIL],
            "scope": ["mail.read"],
            "grant": "client_credentials",
            "event_id": f"event-{log}-{index}",
        }
        fields |= changes
        self.add(
            "grants",
            event_id=f"event-{log}-{index}",
            at=float(iat),
            client_id=fields["client_id"],
            kind="secret",
        )
        return self.add("issued", **fields)

    def forge(self, **changes: Any) -> Fields:
        """A token like a real one that is in no ledger."""
        token = dict(self.issue())
        self.rows["issued"].pop()
        self.rows["grants"].pop()
        self._leaves[LOG] -= 1
        token |= {"digest": digest_of("forged"), "idx": 9_999, "jti": f"{LOG}.9999.abcdefghijkl"}
        return token | changes

    def observe(self, token: Fields, **changes: Any) -> Fields:
        """A report of a token, let in half a minute ago unless it says otherwise."""
        at = changes.get("at", NOW - 30)
        copied = (
            "digest",
            "kid",
            "jti",
            "log_id",
            "idx",
            "aud",
            "iat",
            "exp",
            "client_id",
            "sub_digest",
            "tenant",
        )
        fields: Fields = {
            "id": f"{len(self.rows['observed']):032x}",
            "reporter": "mail",
            "instance": "mail-1",
            "received_at": at + 0.5,
            "at": at,
            "verdict": "accepted",
            "signature": "valid",
            "iss": ISSUER,
            "resource": "mailbox-alice",
            "network": "AS64500",
            **{name: token[name] for name in copied},
        }
        return self.add("observed", **(fields | changes))

    def finish(self) -> World:
        """Make the signer's counters what the ledger holds, plus what was left unlogged."""
        leaves = Counter((row["log_id"], row["kid"]) for row in self.rows["issued"])
        for (log_id, kid), count in (leaves + self.unlogged).items():
            self.add("signer_counts", log_id=log_id, kid=kid, signed=count, at=NOW - 10)
        return self

    def _people(self) -> None:
        self.key(ACTIVE_KEY)
        past = {"use_from": NOW - 40 * DAY, "use_until": NOW - DAY, "verify_until": NOW - DAY + 3_600}
        self.key(OLD_KEY, **past, activated_at=NOW - 40 * DAY, status="retired", retired_at=NOW - DAY + 3_600)
        self.add("clients", client_id="mail-app", realm="enterprise", scopes=["mail.read", "mail.send"])
        self.add("canaries", kind="token", value=digest_of("canary"))
        self.add("canaries", kind="key", value="key-canary")
        self.add(
            "validators",
            reporter="mail",
            instance="mail-1",
            heard_at=NOW - 5,
            manifest_version=7,
            manifest_age=4.0,
        )
        for step in range(3):
            at, size = NOW - 200 + 60 * step, 100 + step
            self.add("checkpoints", log_id=LOG, size=size, root=f"root-{size}", at=at, witnesses=2, live=True)

    def _history(self) -> None:
        """Alice's mail app, from one network, a few times a day for 20 days, and once just now."""
        for day in range(20, 0, -1):
            at = NOW - day * DAY + 600
            token = self.issue(kid=OLD_KEY if day > 1 else ACTIVE_KEY, iat=int(at))
            for use in range(5):
                self.observe(token, at=at + 60 * use + 1, latitude=47.4, longitude=8.5)
        self.observe(self.issue(), latitude=47.4, longitude=8.5)


def digest_of(name: str) -> str:
    """A digest for a name."""
    return hashlib.sha256(name.encode()).hexdigest()
