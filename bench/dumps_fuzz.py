"""Feeds broken files to every parser of the dump scanner until the time is over.

    python bench/dumps_fuzz.py [--seconds N] [--seed N]

A round takes one whole thing (a core, a minidump, an archive, a serialised key, a credential), breaks it in
up to eight places, cuts it now and then, and gives it to the examiner; every tenth core goes to the redactor
too. Anything but a report, or a refusal of ours, is a fault: its round and seed are printed, and the exit
status is 1. It may never pass a fault over.
"""

import argparse
import gzip
import io
import random
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from pathlib import Path

from sealwright_dumps.access import StreamAccess
from sealwright_dumps.corpus import build, containers
from sealwright_dumps.corpus.build import Site
from sealwright_dumps.corpus.keys import make_keys
from sealwright_dumps.corpus.plants import plants
from sealwright_dumps.errors import DumpsError
from sealwright_dumps.examine import Examiner
from sealwright_dumps.redact import service
from sealwright_dumps.redact.service import Policy
from sealwright_dumps.scanner import Scanner, Settings
from sealwright_dumps.source import FileSource

WINDOW, LARGEST, HEAD = 1 << 18, 64 << 20, 4096
EARLY, CUT, DOUBLED, WHOLE_WAY = 0.8, 0.2, 0.1, 0.1  # shares
VALUES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1)


def whole(site: Site) -> dict[str, bytes]:
    """Sound things of every kind."""
    notes = containers.note(1, containers.status([1] * 27)) + containers.note(6, bytes(64))
    regions = [containers.Region(0x10000, b"stack" * 100), containers.Region(0x20000, b"heap" * 99)]
    plain, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        entry = tarfile.TarInfo("member")
        entry.size = 700
        tar.addfile(entry, io.BytesIO(bytes(700)))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", b"content " * 100)
    things = {plant.name: plant.data for plant in plants(site.keys)}
    things |= {"core": containers.elf_core(regions, notes), "full core": build.core(site, make_keys()).data}
    things |= {"minidump": containers.minidump(regions[:1], [bytes(1232)]), "tar": plain.getvalue()}
    return things | {"zip": packed.getvalue(), "gzip": gzip.compress(plain.getvalue())}


def broken(data: bytes, source: random.Random) -> bytes:
    """The same with a few wrong numbers and bits, sometimes cut off, sometimes with a part twice."""
    raw = bytearray(data)
    for _ in range(source.randrange(1, 9)):
        at = source.randrange(min(len(raw), HEAD) if source.random() < EARLY else len(raw))
        size = source.choice((1, 2, 4, 8))
        value = source.choice((*VALUES, source.getrandbits(64)))
        raw[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, source.choice(("little", "big")))
    if source.random() < CUT:
        del raw[source.randrange(len(raw)) :]
    if source.random() < DOUBLED:
        at = source.randrange(len(raw) + 1)
        raw[at:at] = raw[at : at + source.randrange(1 << 12)]
    return bytes(raw)


def redact(data: bytes, folder: Path) -> str:
    """Give it to the redactor: all or nothing may come out."""
    (folder / "in").write_bytes(data)
    source = FileSource(folder / "in")
    try:
        service.redact(source, folder / "out", Policy(Settings(workers=1, credentials=False)))
    except DumpsError as error:
        if sorted(path.name for path in folder.iterdir()) != ["in"]:
            raise ValueError("a refusal left something behind") from error
        return "refused"
    finally:
        source.close()
    return "redacted"


def one_round(examiner: Examiner, name: str, data: bytes, *, whole_way: bool) -> list[str]:
    """What came of one broken thing."""
    outcomes = [str(examiner.stream(name, StreamAccess(lambda: iter([data]), WINDOW)).status)]
    if whole_way:
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(redact(data, Path(folder)))
    return outcomes


def main() -> int:
    """Break things until the time is over; say how often what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    things = sorted(whole(build.make_site()).items())
    examiner = Examiner(Scanner(Settings(workers=1, window=WINDOW, largest_expansion=LARGEST)))
    outcomes: Counter[str] = Counter()
    until, number, faults = time.monotonic() + options.seconds, 0, 0
    while time.monotonic() < until:
        number += 1
        source = random.Random(f"{options.seed} {number}")
        name, sound = source.choice(things)
        data, whole_way = broken(sound, source), name == "core" and source.random() < WHOLE_WAY
        try:
            outcomes.update(one_round(examiner, name, data, whole_way=whole_way))
        except Exception:  # noqa: BLE001 - any exception at all is what is looked for
            faults += 1
            where = f"round {number} of seed {options.seed}, {name}"
            sys.stdout.write(f"FAULT in {where}\n{traceback.format_exc()}\n")
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    sys.stdout.write(f"{number} rounds over {len(things)} things: {told}; {faults} faults\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
