"""Puts the log list together: what admission knows of incarnations, what the ledger knows of logs.

May never list a log without its admission.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sealwright.admission.documents import from_b64u
from sealwright.admission.model import Admission
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.log_list import entries
from sealwright.ledger.model import Admitted
from sealwright.store.admission import SqlAdmissionStore
from sealwright.store.ledger import SqlLedgerStore
from sealwright_validate.keyset import LogKey
from sealwright_validate.log_list import vkey_of


@dataclass(frozen=True, slots=True)
class StoredListing:
    """What the stores have to list."""

    admissions: SqlAdmissionStore
    ledger: SqlLedgerStore
    files: LedgerFiles

    def logs(self) -> list[dict[str, Any]]:
        """The members `logs` of the list as things stand."""
        return entries([_admitted(one) for one in self.admissions.all()], self.ledger.logs(), self.files)

    def marks(self) -> object:
        """How many admissions and logs there are, and how many of each are closed."""
        return self.admissions.counts(), self.ledger.counts()


def _admitted(one: Admission) -> Admitted:
    vkey = vkey_of(LogKey(one.origin, from_b64u(one.jwk["x"])))
    return Admitted(one.log_id, one.origin, vkey, str(one.level), one.statement, one.closed_at)
