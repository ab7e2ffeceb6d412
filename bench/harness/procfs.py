"""CPU time and memory of process trees, from /proc. It reads only; Linux only."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes; `pss` is None where the kernel does not let us read it (another user's or an undumpable
    process).
    """

    rss: int
    pss: int | None


def stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on (man proc, field 3), or None where the process has
    gone.
    """
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def family(root: int) -> list[int]:
    """The process and all its descendants that are alive, oldest id first."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := stat_fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return sorted(found)


def cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """Seconds of CPU that each process has used, in user and system; a process that has gone is left out."""
    used = {}
    for pid in pids:
        if fields := stat_fields(pid):
            used[pid] = (int(fields[11]) + int(fields[12])) / TICKS
    return used


def command_line(pid: int) -> list[str]:
    """The words that the process was started with; empty where it has gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def memory(pid: int) -> Memory | None:
    """What the process holds in RAM now, or None where it has gone."""
    folder = PROC / str(pid)
    try:
        rss = int((folder / "statm").read_text().split()[1]) * PAGE
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        lines = (folder / "smaps_rollup").read_text().splitlines()
    except OSError:  # undumpable, another user's, or just gone: the resident size is what is known
        return Memory(rss, None)
    sizes = {line.split(":")[0]: line.split() for line in lines[1:]}
    return Memory(int(sizes["Rss"][1]) * 1024, int(sizes["Pss"][1]) * 1024)


def by_role(figures: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Sums per role, in the order in which roles first occur."""
    sums: dict[str, float] = {}
    for role, figure in figures:
        sums[role] = sums.get(role, 0.0) + figure
    return sums
