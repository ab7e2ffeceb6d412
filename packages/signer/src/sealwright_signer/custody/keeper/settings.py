"""What a policy's `custody` member says about a PKCS#11 token, and the PIN from the file that it names.

May never put the PIN into a message, a log or the environment.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHAPE: dict[str, type] = dict.fromkeys(("kind", "module", "token", "pin_file", "objects", "label"), str)
SHAPE |= {"sessions": int, "patience": int, "reach": list, "network": bool, "environment": dict}
RELEASE = "release:"  # in the place of a path: the PIN comes by attested release, for the purpose behind it
MOST_SESSIONS, LONGEST_PATIENCE, LONGEST_PIN = 64, 600, 1024


class Unusable(Exception):
    """The token cannot be used as it is; the text says why and what to do, and is safe to show."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked members: `patience` in seconds for one question; `objects` is `session` or `token`."""

    module: str
    token: str
    pin_file: str
    objects: str
    label: str
    sessions: int
    patience: int
    reach: list[str]
    network: bool
    environment: dict[str, str]

    @property
    def released(self) -> str:
        """For which purpose the PIN is released by attestation; empty where it comes from a file."""
        return self.pin_file.removeprefix(RELEASE) if self.pin_file.startswith(RELEASE) else ""


def settings_of(custody: Mapping[str, Any]) -> Settings:
    """The settings; Unusable for members that are missing, unknown or out of range."""
    members = dict(custody)
    if members.keys() != SHAPE.keys() or any(type(members[n]) is not kind for n, kind in SHAPE.items()):
        raise Unusable(f"it has exactly the members {', '.join(SHAPE)}")
    del members["kind"]
    found = Settings(**members)
    if found.objects not in ("session", "token"):
        raise Unusable('objects is "session" (die with the signer) or "token"')
    if not 1 <= found.sessions <= MOST_SESSIONS or not 1 <= found.patience <= LONGEST_PATIENCE:
        raise Unusable(f"sessions is 1 to {MOST_SESSIONS}, patience 1 to {LONGEST_PATIENCE} s")
    places = [found.module, *found.reach, *([] if found.released else [found.pin_file])]
    texts = [*found.reach, *found.environment, *found.environment.values()]
    if not found.label or not all(type(text) is str for text in texts):
        raise Unusable("a label, and texts in reach and environment are needed")
    if not all(place.startswith("/") for place in places):
        raise Unusable("module, pin_file and reach are absolute paths")
    return found


def pin_of(file: str) -> str:
    """The PIN, without the end of its line; Unusable when others could read the file."""
    try:
        with Path(file).open("rb") as source:
            found = os.fstat(source.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
                raise Unusable(f"{file} must be a file that only its owner can read (chmod 600)")
            pin = source.read(LONGEST_PIN).decode().rstrip("\r\n")
    except OSError as error:
        raise Unusable(f"the PIN cannot be read from {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Unusable(f"the PIN in {file} is not UTF-8") from None
    if not pin:
        raise Unusable(f"{file} holds no PIN")
    return pin
