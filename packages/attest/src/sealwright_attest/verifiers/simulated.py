"""Simulated evidence for laptops and tests. It proves nothing, says so everywhere, and never rises above
`simulated`.

It may never contain a key or a signature: something that looks verified would one day be believed.
Source: docs/formats/attestation-evidence.md.
"""

import json
from typing import Final

from sealwright_attest.errors import Code, Refused
from sealwright_attest.model import Claims, Evidence, EvidenceLevel, Stage
from sealwright_attest.octets import hexadecimal, malformed, strict_object

from .context import Context, check_fresh

FORMAT: Final = "sealwright-simulated/1"
NOTICE: Final = "simulated: this proves nothing about the machine"
_MEMBERS: Final = {"format", "notice", "report_data", "measurement"}
_REPORT_DATA: Final = 64
_MEASUREMENT: Final = 48


def make_simulated(report_data: bytes, measurement: bytes) -> bytes:
    """Return simulated evidence over 64 bytes of report data and a 48-byte measurement."""
    table = {
        "format": FORMAT,
        "notice": NOTICE,
        "report_data": report_data.hex(),
        "measurement": measurement.hex(),
    }
    return json.dumps(table).encode()


def verify(evidence: Evidence, context: Context) -> Claims:
    """Read simulated evidence and return its claims, at level `simulated`.

    Raises:
        Refused: `malformed` or `version-unknown`.
    """
    table = strict_object(evidence.unverified_body)
    if table.get("format") != FORMAT:
        raise Refused(Code.VERSION_UNKNOWN, f"not a {FORMAT} document")
    if set(table) != _MEMBERS or table["notice"] != NOTICE:
        raise malformed("simulated evidence has exactly its members, and its notice")
    report_data = hexadecimal(table["report_data"], "report_data")
    measurement = hexadecimal(table["measurement"], "measurement")
    if len(report_data) != _REPORT_DATA or len(measurement) != _MEASUREMENT:
        raise malformed("simulated evidence of an unknown size")
    context.checks.skip(Stage.GENUINE, "simulated", Code.LEVEL_TOO_LOW, NOTICE, "nothing can be verified")
    check_fresh(context, "report_data", report_data, context.expected.wide)
    return Claims(
        level=EvidenceLevel.SIMULATED,
        product="simulated",
        measurements={"launch": measurement.hex()},
        settings={"notice": NOTICE, "report_data": report_data.hex()},
    )
