"""What a commit would take in: the staged content itself, not the files that lie there now.

May never do: run anything but git's read-only commands, or pass over a staged file that git cannot show.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from sealwright_dumps.errors import Unavailable

_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Staged:
    """One staged file."""

    path: str
    data: bytes


def files() -> Iterator[Staged]:
    """Every added, copied, changed or renamed file of the index. Raises Unavailable outside a work tree."""
    names = _git("diff", "--cached", "--name-only", "--diff-filter=ACMRT", "-z")
    for name in names.split(b"\x00"):
        if name:
            path = name.decode("utf-8", errors="surrogateescape")
            yield Staged(path, _git("cat-file", "blob", f":{path}"))


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable("git-failed", "git cannot tell what is staged", str(error)) from error
    return done.stdout
