"""The dump scanner beside its peers on one file (bench/dumps.py); hashing the same bytes is the limit."""

from pathlib import Path

import dumps as scanners
from harness.model import Floor, NotMeasured, Outcome, Part, Setting, Table
from sealwright_dumps.cli.corpus import write_big
from sealwright_dumps.corpus import build
from sealwright_dumps.corpus.keys import make_keys

SIZE, SLOW, QUICK = 1024, 32, 40  # MiB
TOLD_NOTHING, KNOWING = "ours, told nothing", "ours, with fingerprints and public keys"
EXHAUSTIVE, LIMIT = "ours, the same, exhaustive", "sha256sum"
LEAST_EXHAUSTIVE, MOST_MEMORY = 100.0, 300.0  # MB per CPU second, MB
PEERS = Path("peers")


def run(setting: Setting) -> Outcome:
    """Make the core, run every program on it."""
    folder = setting.scratch
    site = build.make_site()
    site.write_knowledge(folder)
    core = build.core(site, make_keys())
    big, small = folder / "big.core", folder / "small.core"
    places = write_big(big, core, QUICK if setting.quick else SIZE)
    write_big(small, core, SLOW)
    chosen = [
        program
        for program in scanners.programs(folder, PEERS)
        if not setting.quick or program.name in (TOLD_NOTHING, KNOWING, EXHAUSTIVE, LIMIT)
    ]
    rows = []
    for program in chosen:
        setting.say(program.name)
        rows.append(scanners.measure(program, small if program.slow else big, places))
    by_name = {row.name: row for row in rows}
    broken = [row for row in rows if row.note.startswith("failed") and row.name in (TOLD_NOTHING, KNOWING)]
    if broken or LIMIT not in by_name:
        raise NotMeasured(f"{broken[0].name}: {broken[0].note}" if broken else f"no {LIMIT}")
    kinds = len({place.name for place in places})
    knowing, limit = by_name[KNOWING], by_name[LIMIT]
    columns = ("program", "MB", "CPU s", "MB/CPU s", f"kinds of {kinds}", "outside", "peak MB", "note")
    cells = tuple(
        (
            row.name,
            row.megabytes,
            row.cpu_seconds,
            row.rate or None,
            row.kinds if row.kinds >= 0 else None,
            row.strays if row.strays >= 0 else None,
            row.peak_mb or None,
            row.note,
        )
        for row in rows
    )
    exhaustive = by_name.get(EXHAUSTIVE)
    floors = (
        Floor(f"default detectors' rate by that of {LIMIT}", 1.0, knowing.rate / limit.rate),
        Floor("kinds found by kinds planted", 1.0, knowing.kinds / kinds),
        Floor(
            f"exhaustive rate by {LEAST_EXHAUSTIVE:.0f} MB/s",
            1.0,
            exhaustive.rate / LEAST_EXHAUSTIVE if exhaustive else None,
        ),
        Floor(f"{MOST_MEMORY:.0f} MB by the memory used", 1.0, MOST_MEMORY / knowing.peak_mb),
    )
    notes = ("CPU seconds are user and system time of a program and its children, one run each.",)
    return Outcome((Table("Keys in a core", columns, cells),), floors, notes)


PART = Part("dumps", "Scanning crash dumps", run)
