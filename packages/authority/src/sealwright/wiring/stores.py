"""Everything durable, opened once. What is imported here has its tables made."""

from __future__ import annotations

from dataclasses import dataclass

from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.ledger.ports import FileStore
from sealwright.store.admin import SqlApprovalStore, SqlAuditStore
from sealwright.store.admission import SqlAdmissionStore
from sealwright.store.canaries import SqlCanaryStore
from sealwright.store.clients import SqlClientStore, SqlReplayStore
from sealwright.store.cold import ColdLeaves
from sealwright.store.db import open_state
from sealwright.store.detection import SqlAlarmStore, SqlCursorStore, SqlObservationStore, open_detection
from sealwright.store.digests import SqliteDigestIndex
from sealwright.store.keys import SqlKeyStore
from sealwright.store.ledger import SqlLedgerStore
from sealwright.store.log_list import SqlLogListStore
from sealwright.store.notices import SqlNoticeStore
from sealwright.store.response import SqlResponseStore
from sealwright.store.sight import SqlLedgerView
from sealwright.store.ssf import SqlStreamStore
from sealwright.store.standing import SqlStandingStore
from sealwright.store.strict import SqlStrictStore
from sealwright.wiring.cold import cold_files
from sealwright.wiring.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything durable."""

    cold: FileStore
    segments: ColdLeaves
    ledger: SqlLedgerStore
    digests: SqliteDigestIndex
    lists: SqlLogListStore
    keys: SqlKeyStore
    clients: SqlClientStore
    replay: SqlReplayStore
    admissions: SqlAdmissionStore
    observations: SqlObservationStore
    alarms: SqlAlarmStore
    cursors: SqlCursorStore
    responses: SqlResponseStore
    sight: SqlLedgerView
    audit: SqlAuditStore
    approvals: SqlApprovalStore
    notices: SqlNoticeStore
    streams: SqlStreamStore
    strict: SqlStrictStore
    canaries: SqlCanaryStore
    standing: SqlStandingStore

    @classmethod
    def open(cls, config: Config, clock: Clock) -> Stores:
        """Open the databases of the state directory and make missing tables."""
        engine = open_state(config.state.path)
        detection = open_detection(config.state.path)
        outbox = Outbox(config, clock)
        cold = cold_files(config)
        leaves = ColdLeaves(engine, cold)
        ledger = SqlLedgerStore(engine, leaves)
        return cls(
            cold=cold,
            segments=leaves,
            ledger=ledger,
            digests=SqliteDigestIndex(config.state.path),
            lists=SqlLogListStore(engine),
            keys=SqlKeyStore(engine, outbox.key_revoked),
            clients=SqlClientStore(engine, outbox.client_disabled),
            replay=SqlReplayStore(engine),
            admissions=SqlAdmissionStore(engine),
            observations=SqlObservationStore(detection),
            alarms=SqlAlarmStore(detection),
            cursors=SqlCursorStore(detection),
            responses=SqlResponseStore(detection),
            sight=SqlLedgerView(engine, clock, ledger.leaf),
            audit=SqlAuditStore(engine),
            approvals=SqlApprovalStore(engine),
            notices=SqlNoticeStore(engine),
            streams=SqlStreamStore(engine),
            strict=SqlStrictStore(engine),
            canaries=SqlCanaryStore(engine),
            standing=SqlStandingStore(engine),
        )
