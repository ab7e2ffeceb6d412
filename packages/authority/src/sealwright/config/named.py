"""Looks whether the files that a configuration names can be read, before anything is started with it.

Apart from `rules`, which are pure: a file that vanishes later must not keep an operator from `keys revoke`.
May never read more of a file than it takes to open it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sealwright.config.model import Config
from sealwright.config.problem import Problem
from sealwright.errors import Misconfigured


def require_files(config: Config) -> None:
    """Refuse a configuration that names a file which cannot be read.

    Raises:
        Misconfigured: `unreadable_file`; the text names every one, a line each.
    """
    found = list(_problems(config))
    if found:
        raise Misconfigured(found[0].rule, "\n".join(str(problem) for problem in found))


def _problems(config: Config) -> Iterator[Problem]:
    asked = config.admission
    named = {
        "witness.policy": config.witness.policy,
        "admission.policy": asked.policy,
        "admission.shadow": asked.shadow,
    }
    named |= {f"admission.release.{purpose}": file for purpose, file in asked.release.items()}
    for path, file in named.items():
        if not file:
            continue
        try:
            with (Path(file) if path == "witness.policy" else Path(file).expanduser()).open("rb"):
                continue
        except OSError as error:
            wrong = f'cannot read "{file}": {error.strerror}'
        except (ValueError, RuntimeError) as error:  # no path at all; a home directory that nobody has
            wrong = f"{file!r} is no path: {error}"
        yield Problem("unreadable_file", path, wrong, "name a file that this user can read")
