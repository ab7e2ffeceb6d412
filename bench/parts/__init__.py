"""The parts of the benchmark, one file each, in the order in which they run.

To add one: write `bench/parts/NAME.py` with a constant `PART`, and add its module here. A part may not depend
on another.
"""

from harness.model import Part
from parts import (
    alarms,
    attest,
    custody,
    dumps,
    genuine,
    growth,
    issue,
    lake,
    ledger,
    monitor,
    revocation,
    rollover,
    sidecar,
    signer,
    validate,
)

PARTS: tuple[Part, ...] = (
    issue.PART,
    validate.PART,
    sidecar.PART,
    signer.PART,
    revocation.PART,
    rollover.PART,
    custody.PART,
    growth.PART,
    ledger.PART,
    monitor.PART,
    attest.PART,
    dumps.PART,
    alarms.PART,
    genuine.PART,
    lake.PART,
)
