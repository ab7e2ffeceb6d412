"""Checks that help text shown in a Markdown file is what the program prints; `--write` brings it up to date.

A block looks like this, and the command may be one of our programs or `make help`:

    <!-- help: sealwright up --help -->
    ```
    …
    ```

It may never run anything else: a document must not become a way to run commands.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from repo import ROOT, Finding, report, text_of, tracked_files

BLOCK = re.compile(
    r"^(?P<head><!-- help: (?P<command>[^\n]+?) -->\n```\w*\n)(?P<shown>.*?)^```$", re.MULTILINE | re.DOTALL
)
MARK = re.compile(r"^<!-- help:", re.MULTILINE)
WIDTH = 100  # columns that the programs are told they have

Run = Callable[[str], str]


class RefusedCommandError(Exception):
    """A help block names a command that is not one of ours, or one that does more than print help."""


def our_programs(root: Path) -> set[str]:
    """The programs that our distributions declare."""
    programs: set[str] = set()
    for project in root.glob("packages/*/pyproject.toml"):
        programs |= set(tomllib.loads(project.read_text())["project"].get("scripts", {}))
    return programs


def require_help_command(command: str, programs: set[str]) -> list[str]:
    """The command's words; raises RefusedCommandError unless it only asks for help."""
    words = shlex.split(command)
    if words == ["make", "help"]:
        return words
    if len(words) < 2 or words[0] not in programs or words[-1] != "--help":  # noqa: PLR2004 - a program and --help
        raise RefusedCommandError(
            f"help blocks show `make help` or a program of ours with --help, not {command!r}"
        )
    return words


def run_help(command: str) -> str:
    """What the command prints on a plain terminal of WIDTH columns, without trailing spaces."""
    words = require_help_command(command, our_programs(ROOT))
    if words[0] == "make":
        words.append("--no-print-directory")
    else:
        words[0] = str(Path(sys.executable).parent / words[0])
    plain = {
        "COLUMNS": str(WIDTH),
        "TERMINAL_WIDTH": str(WIDTH),
        "TERM": "dumb",
        "NO_COLOR": "1",
        "MAKEFLAGS": "",
    }
    ran = subprocess.run(
        words,
        cwd=ROOT,
        env=os.environ | plain,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return "".join(f"{line.rstrip()}\n" for line in ran.stdout.strip("\n").splitlines())


def stale_blocks(name: str, text: str, run: Run) -> Iterator[Finding]:
    """Every help block of `text` that differs from what `run` says its command prints."""
    blocks = list(BLOCK.finditer(text))
    if len(blocks) != len(MARK.findall(text)):
        yield Finding(name, 0, "a help mark without a fenced block right below it")
    for block in blocks:
        line = text.count("\n", 0, block.start()) + 1
        try:
            printed = run(block["command"])
        except (RefusedCommandError, subprocess.CalledProcessError, OSError) as error:
            yield Finding(name, line, str(error))
            continue
        if printed != block["shown"]:
            yield Finding(name, line, f"differs from what `{block['command']}` prints: run make help-text")


def renewed(text: str, run: Run) -> str:
    """`text` with every help block as its command prints it."""

    def renew(block: re.Match[str]) -> str:
        return f"{block['head']}{run(block['command'])}```"

    return BLOCK.sub(renew, text)


def main() -> int:
    """Check every Markdown file, or rewrite the blocks; the exit status is 0 only when all are true."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="rewrite the blocks")
    write: bool = parser.parse_args().write
    found: list[Finding] = []
    for name in tracked_files(ROOT):
        text = text_of(ROOT / name) if name.endswith(".md") else None
        if text is None:
            continue
        if write and BLOCK.search(text):
            text = renewed(text, run_help)
            (ROOT / name).write_text(text)
        found += stale_blocks(name, text, run_help)
    return report("help text", found)


if __name__ == "__main__":
    sys.exit(main())
