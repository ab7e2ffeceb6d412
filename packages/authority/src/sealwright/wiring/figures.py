"""Counters of the public side: tokens by realm and outcome, plain JWKS fetches. Since the start of this
process.
"""

from __future__ import annotations

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter

ISSUED = "issued"


class Figures:
    """What the public routes count; read by the metrics page and the adoption meter."""

    def __init__(self, registry: CollectorRegistry, since: float) -> None:
        self.since = since
        self._tokens = Counter(
            "sealwright_token_requests",
            "Token requests by realm and outcome",
            ["realm", "outcome"],
            registry=registry,
        )
        self._fetches = Counter(
            "sealwright_jwks_fetches", "Fetches of a realm's plain JWKS", ["realm"], registry=registry
        )
        self._by_label: dict[tuple[str, str], Counter] = {}
        self.issued = 0
        self.fetches: Tally[str] = Tally()

    def token_request(self, realm: str, outcome: str) -> None:
        """Count a token request: `issued`, or the code of its refusal. Unknown realms share one label."""
        counter = self._by_label.get((realm, outcome))
        if counter is None:  # finding a labelled counter takes longer than counting
            counter = self._by_label[realm, outcome] = self._tokens.labels(realm, outcome)
        counter.inc()
        if outcome == ISSUED:
            self.issued += 1

    def jwks_fetched(self, realm: str) -> None:
        """Count a fetch of a plain JWKS."""
        self._fetches.labels(realm).inc()
        self.fetches[realm] += 1
