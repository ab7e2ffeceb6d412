"""Connects the collection of cosignatures with HTTP, the ledger's files, the alarms and the metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.detection.model import Code, Facts, Severity
from sealwright.detection.ports import AlarmStore
from sealwright.detection.rules import state_alarm
from sealwright.errors import Misconfigured, SealwrightError, Unavailable
from sealwright.ledger.cosigning import REFUSED, Cosigning, Reply, Trouble
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.model import Log
from sealwright.ledger.proofs import Tree
from sealwright.wiring.cosigner import OwnCosigner, own_cosigner
from sealwright_validate import errors as validate_errors
from sealwright_validate.fetch import Origin
from sealwright_validate.witnesses import WitnessPolicy

log = logging.getLogger(__name__)


class Witnessing:
    """What the publisher asks before it publishes; without a policy it hands the log's own note on."""

    def __init__(
        self, files: LedgerFiles, cosigning: Cosigning | None, own: OwnCosigner | None = None
    ) -> None:
        self._files = files
        self._own = own
        self.cosigning = cosigning

    @classmethod
    def of(
        cls, config: Config, clock: Clock, files: LedgerFiles, alarms: AlarmStore, registry: CollectorRegistry
    ) -> Witnessing:
        """As the configuration says.

        Raises:
            Misconfigured: the policy file cannot be used.
        """
        tell, prove = _alarms(alarms, clock), partial(_prove, files)
        own = own_cosigner(config, prove, clock, tell) if config.witness.own else None
        if not config.witness.policy:
            return cls(files, None, own)
        try:
            policy = WitnessPolicy.read(config.witness.policy)
        except validate_errors.Misconfigured as error:
            raise Misconfigured("witness_policy", str(error)) from error
        cosigning = Cosigning(
            policy,
            _Post(config.witness.timeout),
            prove,
            clock,
            tell,
            config.witness.timeout,
        )
        _gauges(cosigning, registry)
        return cls(files, cosigning, own)

    def cosign(self, stored: Log) -> str:
        """The note to publish for this log."""
        if self._own is not None:
            stored = self._own.cosigned(stored)
        if self.cosigning is None:
            return stored.checkpoint
        return self.cosigning.cosign(stored, self._files.checkpoint(stored.log_id))

    def waiting(self) -> list[str]:
        """The logs whose published head lacks its quorum."""
        return list(self.cosigning.missed) if self.cosigning is not None else []

    def status(self) -> dict[str, Any]:
        """How the witnesses have been, for the admin surface."""
        if self.cosigning is None:
            return {"witnesses": [], "quorum_missed": {}}
        told = [
            {
                "url": one.url,
                "witnesses": [witness.name for witness in one.witnesses],
                "cosigned_at": one.cosigned_at,
                "failures": one.failures,
                "error": one.error,
            }
            for one in self.cosigning.endpoints
        ]
        return {"witnesses": told, "quorum_missed": dict(self.cosigning.missed)}


class _Post:
    """Posts to witnesses over kept connections."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._origins: dict[str, Origin] = {}

    def __call__(self, url: str, body: bytes) -> Reply:
        base, _, path = url.rpartition("/")
        try:
            origin = self._origins.setdefault(base, Origin(base, timeout=self._timeout))
            answer = origin.post(f"/{path}", body, {"Content-Type": "text/plain; charset=utf-8"})
        except (validate_errors.Unavailable, validate_errors.Misconfigured) as error:
            raise Unavailable("witness_away", "no answer", str(error)) from error
        return Reply(answer.status, answer.body)


def _prove(files: LedgerFiles, log_id: str, old: int, size: int) -> list[bytes]:
    def read(level: int, number: int, width: int) -> bytes | None:
        return files.tile(log_id, str(level), number, width)

    return Tree(read).consistency(old, size)


def _gauges(cosigning: Cosigning, registry: CollectorRegistry) -> None:
    missed = Gauge(
        "sealwright_witness_quorum_missed", "Logs whose newest head lacks its quorum", registry=registry
    )
    missed.set_function(lambda: len(cosigning.missed))
    failing = Gauge("sealwright_witnesses_failing", "Witnesses that did not cosign lately", registry=registry)
    failing.set_function(lambda: sum(one.failures > 0 for one in cosigning.endpoints))


def _alarms(store: AlarmStore, clock: Clock) -> Callable[[Trouble], None]:
    def tell(trouble: Trouble) -> None:
        code = Code.WITNESS_REFUSED if trouble.code == REFUSED else Code.WITNESS_QUORUM_MISSED
        severity = Severity.CRITICAL if code is Code.WITNESS_REFUSED else Severity.HIGH
        subject = f"{trouble.log_id} {trouble.witness} {trouble.since}"
        facts: Facts = {"log_id": trouble.log_id, "witness": trouble.witness, "detail": trouble.detail}
        alarm = state_alarm(code, severity, subject, clock.now(), trouble.since, facts)
        log.error("witness alarm", extra={"facts": {"code": code.value, "detail": trouble.detail}})
        try:
            store.add([alarm])
        except SealwrightError as error:
            # It was said in the log; publishing and issuing go on.
            log.warning("the alarm could not be stored", extra={"facts": {"error": str(error)}})

    return tell
