"""The rules of a gate, read from a JSON file.

May never do: have a default that lets a dump out. No approvers, no release; no class that fits, no intake.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sealwright_dumps import given
from sealwright_dumps.errors import Misconfigured

FORMAT = "sealwright-dump-policy/1"


@dataclass(frozen=True, slots=True)
class Class:
    """A kind of program: its executables (shell patterns), whether its dumps are taken at all, approvals
    needed.
    """

    name: str
    programs: tuple[str, ...]
    accept: bool
    approvals: int


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """Everything that a release is judged by. `oldest` is the longest time from crash to release, in
    seconds. `keep_refused`: how long a refused dump stays in quarantine, in seconds; 0 destroys it at once.
    """

    classes: tuple[Class, ...]
    approvers: dict[str, str]  # name -> Ed25519 public key, base64
    largest: int
    oldest: int
    keep_refused: int
    keep_refused_bytes: int
    fingerprints: tuple[str, ...]
    public_keys: tuple[str, ...]
    canaries: tuple[str, ...]
    spool_on_disk: bool
    sha256: str

    def class_of(self, program: str) -> Class | None:
        """The first class with a pattern that fits, or nothing."""
        for item in self.classes:
            if any(fnmatch.fnmatchcase(program, pattern) for pattern in item.programs):
                return item
        return None


def load(path: Path) -> GatePolicy:
    """Read a policy. Raises Misconfigured for anything missing, unknown or of the wrong type."""
    try:
        raw = given.read(path)
        body = json.loads(raw)
        policy = _read(body, hashlib.sha256(raw).hexdigest())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Misconfigured(
            "policy-unreadable", "the gate's policy cannot be read", f"{path}: {error}"
        ) from error
    if not policy.classes or any(item.approvals < 1 for item in policy.classes):
        raise Misconfigured("policy-too-open", "a policy needs classes, each with one approval or more")
    if policy.largest <= 0 or policy.oldest <= 0:
        raise Misconfigured("policy-limits", "size and age limits are positive")
    if policy.keep_refused < 0 or policy.keep_refused_bytes < 0:
        raise Misconfigured("policy-limits", "the limits for refused dumps are not negative")
    return policy


def _read(body: dict[str, Any], sha256: str) -> GatePolicy:
    known = {
        "format",
        "classes",
        "approvers",
        "largest_bytes",
        "oldest_seconds",
        "fingerprints",
        "public_keys",
    }
    known |= {"canaries", "spool_on_disk", "keep_refused_seconds", "keep_refused_bytes"}
    if body["format"] != FORMAT or set(body) - known:
        raise ValueError("unknown format or member")
    classes = tuple(
        Class(str(c["name"]), tuple(map(str, c["programs"])), c["accept"] is True, int(c["approvals"]))
        for c in body["classes"]
    )
    return GatePolicy(
        classes,
        {str(name): str(key) for name, key in body["approvers"].items()},
        int(body["largest_bytes"]),
        int(body["oldest_seconds"]),
        int(body.get("keep_refused_seconds", body["oldest_seconds"])),
        int(body.get("keep_refused_bytes", body["largest_bytes"])),
        tuple(map(str, body.get("fingerprints", ()))),
        tuple(map(str, body.get("public_keys", ()))),
        tuple(map(str, body.get("canaries", ()))),
        body.get("spool_on_disk", False) is True,
        sha256,
    )
