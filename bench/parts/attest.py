"""CPU time of one appraisal for each platform (bench/attest.py): genuine evidence where it is there."""

import attest as appraisals
from harness.model import Floor, Outcome, Part, Setting, Table

SECONDS, QUICK = 2.0, 0.05  # CPU seconds per row


def run(setting: Setting) -> Outcome:
    """Measure every row."""
    folder = appraisals.DEFAULT_VECTORS / "attestation"
    genuine = [one.row(folder) for one in appraisals.GENUINE] if folder.is_dir() else []
    notes = () if genuine else ("NOT MEASURED: genuine evidence, whose folder is not here; synthetic only.",)
    found = []
    for row in (*genuine, *appraisals.synthetic_rows()):
        setting.say(f"{row.platform}: {row.evidence}")
        found.append(appraisals.measure(row, QUICK if setting.quick else SECONDS))
    columns = ("platform", "evidence", "CPU ms", "best slice", "aim", "per second")
    names = ("platform", "evidence", "cpu_ms", "cpu_ms_best_slice", "aim_cpu_ms", "appraisals_per_second")
    floors = tuple(
        Floor(
            f"{row['platform']}, {row['evidence']}: aim by CPU time",
            1.0,
            row["aim_cpu_ms"] / row["cpu_ms_best_slice"],
        )
        for row in found
        if row["aim_cpu_ms"]
    )
    rows = tuple(tuple(row[name] for name in names) for row in found)
    return Outcome((Table("One appraisal", columns, rows),), floors, notes)


PART = Part("attest", "Appraising attestation evidence", run)
