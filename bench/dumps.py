"""The dump scanner beside its peers: one run, one file, CPU seconds, recall by kind, false positives.

    python bench/dumps.py [--size MIB] [--slow-size MIB] [--folder DIR] [--peers DIR] [--json FILE]

A core with every kind of key planted is made for the run. Each program scans the same file; CPU seconds are
user and system time of the program and its children, so that a busy machine changes them little. A kind
counts as found when the program points into a plant of it. A peer that is not installed is a row that says
so: they are looked for in DIR/NAME/bin, where bench/dumps_peers.py puts them, then on PATH. It may never
print a rate for a program that failed.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sealwright_dumps.cli.corpus import write_big
from sealwright_dumps.corpus import build
from sealwright_dumps.corpus.build import Place
from sealwright_dumps.corpus.keys import make_keys

INSTALLER = "python bench/dumps_peers.py"
SHORTEST = 6  # characters of a secret that are looked for again
Spans = list[tuple[int, int]]
Locate = Callable[[str, Path], Spans]


@dataclass(frozen=True)
class Program:
    """A program to run: its command, how its output points into the file, and which file it gets."""

    name: str
    command: list[str]
    locate: Locate | None = None
    good: tuple[int, ...] = (0,)
    slow: bool = False
    package: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the table. `kinds` and `strays` are -1 for programs that look for nothing."""

    name: str
    megabytes: float
    cpu_seconds: float
    wall_seconds: float
    rate: float
    kinds: int
    strays: int
    peak_mb: float
    note: str


def ours(output: str, _file: Path) -> Spans:
    """Our own JSON report: findings that are more than possible."""
    found = json.loads(output)["findings"]
    return [(f["offset"], f["offset"] + f["length"]) for f in found if f["confidence"] != "possible"]


def documents(output: str) -> Iterator[Any]:
    """Every JSON value in an output that also holds lines of log."""
    decoder, at = json.JSONDecoder(), 0
    while (at := min((p for p in (output.find("[", at), output.find("{", at)) if p >= 0), default=-1)) >= 0:
        try:
            body, at = decoder.raw_decode(output, at)
        except ValueError:  # a bracket in a line of log
            at += 1
            continue
        yield body


def secrets_in(node: Any) -> Iterator[str]:
    """The secrets of a report, whatever its layout."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in ("Secret", "secret", "snippet", "full") and isinstance(value, str):
                yield value
            yield from secrets_in(value)
    elif isinstance(node, list):
        for item in node:
            yield from secrets_in(item)


def texts(output: str, file: Path) -> Spans:
    """Secrets as text, found again in the file: the peers give lines of text, not offsets."""
    data = file.read_bytes()
    spans: Spans = []
    for text in {secret for body in documents(output) for secret in secrets_in(body)}:
        longest = max(text.encode("utf-8", errors="ignore").splitlines(), key=len, default=b"")
        at = data.find(longest) if len(longest) >= SHORTEST else -1
        while at >= 0:
            spans.append((at, at + len(longest)))
            at = data.find(longest, at + 1)
    return spans


def rsakeyfind(output: str, _file: Path) -> Spans:
    """Offsets of DER keys in hexadecimal."""
    return [(int(at, 16), int(at, 16) + 64) for at in re.findall(r"FOUND PRIVATE KEY AT ([0-9a-f]+)", output)]


def aeskeyfind(output: str, file: Path) -> Spans:
    """The keys themselves, found again in the file."""
    data = file.read_bytes()
    found = [
        data.find(bytes.fromhex(key))
        for key in re.findall(r"^([0-9a-f]{32}|[0-9a-f]{64})$", output, re.MULTILINE)
    ]
    return [(at, at + 16) for at in found if at >= 0]


def detect_secrets(output: str, file: Path) -> Spans:
    """Numbers of lines: it gives hashes of what it found, not the text."""
    found = [one["line_number"] for many in json.loads(output)["results"].values() for one in many]
    wanted, spans, start = set(found), Spans(), 0
    for number, line in enumerate(file.read_bytes().splitlines(keepends=True) if found else (), 1):
        if number in wanted:
            spans.append((start, start + len(line)))
        start += len(line)
    return spans


def executable(peers: Path, name: str) -> str:
    """Where a program is: in its own environment below `peers`, or on PATH."""
    own = peers / name / "bin" / name
    return str(own) if own.exists() else shutil.which(name) or name


def programs(folder: Path, peers: Path) -> list[Program]:
    """Everything that is run; FILE stands for the file."""
    scan = [sys.executable, "-m", "sealwright_dumps", "scan", "--json", "--quiet", "--workers", "1"]
    knowing = [f"--fingerprints={folder}/own.fingerprints.json"]
    knowing += [f"--public-key={folder}/public-{n}.pem" for n in range(3)]
    gitleaks = [
        "dir",
        "FILE",
        "--report-format=json",
        "--report-path=/dev/stdout",
        "--no-banner",
        "--exit-code=0",
    ]
    betterleaks = ["auto", "FILE", "--output=-", "--no-banner", "--exit-code=0"]
    kingfisher = [
        "scan",
        "FILE",
        "--format=json",
        "--no-validate",
        "--max-file-size=4096",
        "--no-update-check",
    ]
    return [
        Program("cat to nowhere", ["cat", "FILE"]),
        Program("sha256sum", ["sha256sum", "FILE"]),
        Program("grep -c -F 'PRIVATE KEY'", ["grep", "-c", "-F", "PRIVATE KEY", "FILE"]),
        Program("ours, told nothing", [*scan, "FILE"], ours),
        Program("ours, with fingerprints and public keys", [*scan, *knowing, "FILE"], ours),
        Program("ours, the same, exhaustive", [*scan, *knowing, "--exhaustive", "FILE"], ours),
        Program("ours, two processes", [*scan[:-1], "2", *knowing, "FILE"], ours),
        Program(
            "ours, numpy without hyperscan", [*scan, *knowing, "--engine=numpy", "FILE"], ours, slow=True
        ),
        Program("ours, standard library only", [*scan, *knowing, "--engine=stdlib", "FILE"], ours, slow=True),
        Program("rsakeyfind", ["rsakeyfind", "FILE"], rsakeyfind, package="Debian rsakeyfind"),
        Program("aeskeyfind", ["aeskeyfind", "FILE"], aeskeyfind, (0, 1), package="Debian aeskeyfind"),
        Program("gitleaks", [executable(peers, "gitleaks"), *gitleaks], texts, package=INSTALLER),
        Program(
            "detect-secrets",
            [executable(peers, "detect-secrets"), "scan", "--no-verify", "FILE"],
            detect_secrets,
            package=INSTALLER,
        ),
        Program(
            "betterleaks",
            [executable(peers, "betterleaks"), *betterleaks],
            texts,
            package=INSTALLER,
        ),
        Program(
            "kingfisher",
            [executable(peers, "kingfisher"), *kingfisher],
            texts,
            (0, 200, 205),
            package=INSTALLER,
        ),
    ]


def measure(program: Program, file: Path, places: tuple[Place, ...]) -> Row:
    """Run one program on one file."""
    size = file.stat().st_size / 1e6
    if shutil.which(program.command[0]) is None:
        return Row(program.name, size, 0, 0, 0, -1, -1, 0, f"not installed ({program.package})")
    command = [str(file) if part == "FILE" else part for part in program.command]
    with tempfile.TemporaryFile() as out:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        _, raw, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(raw)
        out.seek(0)
        output = out.read().decode("utf-8", errors="replace") if program.locate else ""
    cpu = usage.ru_utime + usage.ru_stime
    if process.returncode not in program.good:
        return Row(program.name, size, cpu, wall, 0, -1, -1, 0, f"failed with status {process.returncode}")
    kinds = strays = -1
    if program.locate is not None:
        spans = program.locate(output, file)
        kinds = len(
            {p.name for p in places if any(a < p.offset + p.length and p.offset < b for a, b in spans)}
        )
        strays = sum(not any(a < p.offset + p.length and p.offset < b for p in places) for a, b in spans)
    return Row(program.name, size, cpu, wall, size / cpu, kinds, strays, usage.ru_maxrss / 1000, "")


def table(rows: list[Row], kinds: int) -> str:
    """The rows as Markdown."""
    lines = [
        f"| program | MB | CPU s | MB per CPU s | kinds found of {kinds} | outside any plant | peak MB |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows:
        if row.note:
            lines.append(f"| {row.name} | {row.megabytes:.0f} | | {row.note} | | | |")
            continue
        found = "" if row.kinds < 0 else str(row.kinds)
        strays = "" if row.strays < 0 else str(row.strays)
        rate = f"{row.rate:.0f}"
        cells = (row.name, f"{row.megabytes:.0f}", f"{row.cpu_seconds:.2f}", rate, found, strays)
        lines.append(f"| {' | '.join(cells)} | {row.peak_mb:.0f} |")
    return "\n".join(lines)


def clean(paths: list[str]) -> str:
    """What is found in files that nobody planted anything in: test keys of libraries, and false positives."""
    command = [sys.executable, "-m", "sealwright_dumps", "scan", "--json", "--quiet", *paths]
    body = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
    counts = Counter((f["detector"], f["kind"], f["confidence"]) for f in body["findings"])
    partial = sum(item["status"] != "scanned" for item in body["objects"])
    head = f"{body['bytes_read'] / 1e9:.2f} GB read (members of archives included), "
    lines = [
        f"{head}{body['files']} files, {partial} of them not wholly",
        "",
        "| detector | kind | confidence | findings |",
        "|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(kind)} | {count} |" for kind, count in sorted(counts.items())]
    return "\n".join(lines)


def put(document: Path, name: str, text: str, maker: str = "bench/dumps.py") -> None:
    """Replace what stands between a pair of marks."""
    begin, end = f"<!-- {name}: made by {maker} -->", f"<!-- end of {name} -->"
    before, _, rest = document.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    document.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--slow-size", type=int, default=32, help="MiB for the engines that need no extra")
    parser.add_argument("--folder", type=Path, help="where to make the files (default: a temporary folder)")
    parser.add_argument("--peers", type=Path, default=Path("peers"), help="environments of the PyPI peers")
    parser.add_argument("--only", action="append", default=[], help="rows whose name starts so")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--clean", action="append", default=[], metavar="PATH", help="count findings in clean files"
    )
    parser.add_argument("--write", type=Path, help="document whose tables are replaced")
    return parser.parse_args()


def the_setting() -> dict[str, Any]:
    """Where and with what this was measured."""
    return {
        "machine": platform.processor() or platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sealwright-dumps": version("sealwright-dumps"),
        "load": os.getloadavg()[0],
    }


def main() -> int:
    """Make the file, run everything, print the setting and the tables."""
    options = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        site = build.make_site()
        site.write_knowledge(folder)
        core = build.core(site, make_keys())
        big, small = folder / "big.core", folder / "small.core"
        places = write_big(big, core, options.size)
        write_big(small, core, options.slow_size)
        wanted = [
            program
            for program in programs(folder, options.peers)
            if not options.only or any(program.name.startswith(start) for start in options.only)
        ]
        rows = [measure(program, small if program.slow else big, places) for program in wanted]
    setting = the_setting()
    kinds = len({place.name for place in places})
    body = {"setting": setting, "kinds": kinds, "rows": [asdict(row) for row in rows]}
    if options.json:
        options.json.write_text(json.dumps(body, indent=1), encoding="utf-8")
    text = f"`{json.dumps(setting)}`\n\n{table(rows, kinds)}"
    print(text)
    if options.write:
        put(options.write, "speed", text)
    if options.clean:
        text = clean(options.clean)
        print(text)
        if options.write:
            put(options.write, "clean", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
