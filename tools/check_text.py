"""Checks what is written: no path of one machine, no registry's host, nothing unfinished, locks with hashes.

With `--message FILE` it checks a commit message instead. It may never excuse a file: the patterns below are
spelt so that they do not find themselves.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repo import ROOT, Finding, report, text_of, tracked_files


@dataclass(frozen=True, slots=True)
class Ban:
    """A pattern that may not occur, why, and the endings of the files it is banned from ("" means all)."""

    pattern: re.Pattern[str]
    why: str
    endings: tuple[str, ...] = ("",)


EVERYWHERE = (
    Ban(re.compile(r"(?<![\w.])/(?:wor[k]|far[m])/"), "path of one machine"),
    Ban(re.compile(r"/tm[p]/bash"), "path of one machine"),
    Ban(re.compile(r"/(?:roo[t]|hom[e]/\w+)/\.pyenv"), "path of one machine"),
    Ban(
        re.compile(
            r"pyp[i]\.org|pythonhoste[d]\.org|registry\.npmj[s]|registry\.yarnpk[g]|(?:deb|security)\.debia[n]\.org"
            r"|proxy\.golan[g]\.org|sum\.golan[g]\.org|(?:static|index)\.crate[s]\.io|crate[s]\.io-index"
            r"|repo1?\.mave[n]\.(?:apache\.)?org"
        ),
        "host of a package registry",
    ),
    Ban(re.compile(r"BEGIN (?:[A-Z]+ )?PRIVAT[E] KEY-----\s*[A-Za-z0-9+/]{16}"), "private key"),
)
FILES_ONLY = (
    Ban(re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b"), "unfinished mark"),
    Ban(re.compile(r"NotImplemente[d]Error"), "unfinished mark", (".py", ".pyi")),
    Ban(re.compile(r"#\s*type:\s*ignor[e](?!\[)"), "an unnamed exemption: say which error", (".py", ".pyi")),
    Ban(re.compile(r"Placeholde[r] docstring"), "unfinished mark", (".py", ".pyi")),
)
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==\S+")
ADDRESS = re.compile(r"://|--(?:extra-)?index-url|--find-links|^-[if] |(?:^| )@ ")


def banned(name: str, text: str, bans: tuple[Ban, ...]) -> Iterator[Finding]:
    """Every place of `text` where a ban for files named like `name` is broken."""
    for ban in bans:
        if not name.endswith(ban.endings):
            continue
        for found in ban.pattern.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield Finding(name, line, f"{ban.why}: {found.group().splitlines()[0]!r}")


def unhashed(name: str, text: str) -> Iterator[Finding]:
    """Every entry of a Python lock file without a hash, and every address in one."""
    logical = re.sub(r"\\\n\s*", " ", text)
    for entry in logical.splitlines():
        if entry.lstrip().startswith("#") or not entry.strip():
            continue
        pin = PIN.match(entry)
        if pin is None:
            yield Finding(name, 0, f"not an exact version: {entry[:60]!r}")
        elif "--hash=sha256:" not in entry:
            yield Finding(name, 0, f"no hash for {pin.group(1)}")
        if ADDRESS.search(entry):
            yield Finding(name, 0, f"address in a lock file: {entry[:60]!r}")


def unhashed_npm(name: str, text: str) -> Iterator[Finding]:
    """Every package of an npm lock file without an integrity hash, and every download address in one."""
    packages: dict[str, dict[str, Any]] = json.loads(text).get("packages", {})
    for package, entry in packages.items():
        if package and not entry.get("link") and "integrity" not in entry:
            yield Finding(name, 0, f"no hash for {package}")
        if "resolved" in entry:
            yield Finding(name, 0, f"address in a lock file: {package}")


def unlocked(files: set[str]) -> Iterator[Finding]:
    """Every requirements file that has no lock file beside it."""
    for name in files:
        if name.startswith("requirements/") and name.endswith(".in"):
            lock = name.removesuffix(".in") + ".lock"
            if lock not in files:
                yield Finding(name, 0, f"{lock} is missing: run make lock")


def unlisted_decisions(root: Path, files: set[str]) -> Iterator[Finding]:
    """Every decision record that the index does not link to."""
    index = root / "docs/adr/README.md"
    text = index.read_text() if index.is_file() else ""
    for name in files:
        if re.fullmatch(r"docs/adr/\d{4}-[\w-]+\.md", name) and f"({Path(name).name})" not in text:
            yield Finding(name, 0, "docs/adr/README.md does not link to it")


def findings(root: Path) -> Iterator[Finding]:
    """Everything that this check finds in the tree at `root`."""
    files = tracked_files(root)
    for name in files:
        text = text_of(root / name)
        if text is None:
            continue
        yield from banned(name, text, EVERYWHERE + FILES_ONLY)
        if name.endswith(".lock") and name.startswith("requirements/"):
            yield from unhashed(name, text)
        if Path(name).name == "package-lock.json":
            yield from unhashed_npm(name, text)
    yield from unlocked(set(files))
    yield from unlisted_decisions(root, set(files))


def main() -> int:
    """Check the repository or one commit message; the exit status is 0 only when nothing is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--message", type=Path, help="a file with a commit message to check instead")
    message: Path | None = parser.parse_args().message
    if message:
        return report("commit message", banned(message.name, message.read_text(), EVERYWHERE))
    return report("text", findings(ROOT))


if __name__ == "__main__":
    sys.exit(main())
