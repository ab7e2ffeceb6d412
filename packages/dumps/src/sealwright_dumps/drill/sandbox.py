"""A whole gate in a folder of its own: spool, policy, ledger, key, outside, and two people who can approve.

May never do: be pointed at anything that exists; it makes everything it uses.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sealwright_dumps.corpus import containers
from sealwright_dumps.errors import Unavailable
from sealwright_dumps.gate import policy, signing
from sealwright_dumps.gate.model import Approval, Origin
from sealwright_dumps.gate.service import Gate
from sealwright_dumps.gate.spool import Spool

STACK = 0x7FFC00000000
CODE = 0x400000


@dataclass(slots=True)
class Steps:
    """A ledger that keeps steps in memory, and fails when it is told to."""

    steps: list[str] = field(default_factory=list)
    broken: bool = False
    last: dict[str, str] = field(default_factory=dict)

    def append(self, step: str, fields: Mapping[str, Any]) -> None:
        """Keep a step."""
        if self.broken:
            raise Unavailable("ledger-unwritable", "no room")
        self.steps.append(step)
        self.last[str(fields.get("name", ""))] = step

    def last_step(self, name: str) -> str:
        """The last step of a dump, or nothing."""
        return self.last.get(name, "")


@dataclass(frozen=True, slots=True)
class Person:
    """Someone whom the policy knows."""

    name: str
    file: Path
    public: str


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The gate and what belongs to it."""

    gate: Gate
    steps: Steps
    people: tuple[Person, ...]
    options: tuple[str, ...]

    def approve(self, name: str, person: Person) -> int:
        """One person's approval of a redacted dump; how many there are then."""
        digest = self.gate.spool.get(name).manifest_sha256
        signature = signing.sign_approval(signing.load_key(person.file), digest)
        return self.gate.approve(name, Approval(person.name, digest, signature))

    def redacted(self, data: bytes, program: str = "/usr/bin/other") -> str:
        """Take a dump in and process it; its name."""
        record = self.gate.take_in(io.BytesIO(data).read, Origin("pipe", program))
        return self.gate.process(record.name).name


def make(root: Path, *, fingerprints: tuple[str, ...] = (), canaries: tuple[str, ...] = ()) -> Sandbox:
    """A sandbox below an empty folder. Programs: */vault* never, */signer two approvals, others one."""
    people: list[Person] = []
    for name in ("alice", "bob"):
        file = root / f"{name}.pem"
        people.append(Person(name, file, signing.make_key(file)))
    classes = [
        {"name": "never", "programs": ["*/vault*"], "accept": False, "approvals": 1},
        {"name": "signer", "programs": ["*/signer"], "accept": True, "approvals": 2},
        {"name": "other", "programs": ["*"], "accept": True, "approvals": 1},
    ]
    body = {
        "format": policy.FORMAT,
        "classes": classes,
        "approvers": {person.name: person.public for person in people},
        "largest_bytes": 1 << 26,
        "oldest_seconds": 3600,
        "spool_on_disk": True,
        "fingerprints": list(fingerprints),
        "canaries": list(canaries),
    }
    (root / "policy.json").write_text(json.dumps(body), encoding="utf-8")
    signing.make_key(root / "gate.pem")
    for name in ("outside", "spool"):
        (root / name).mkdir(mode=0o700)
    steps = Steps()
    gate = Gate(
        Spool(root / "spool", on_disk=True),
        policy.load(root / "policy.json"),
        steps,
        signing.load_key(root / "gate.pem"),
        root / "outside",
        workers=1,
    )
    names = {"spool": "spool", "policy": "policy.json", "outside": "outside", "gate-key": "gate.pem"}
    options = (*(f"--{option}={root}/{name}" for option, name in names.items()), "--workers=1")
    return Sandbox(gate, steps, tuple(people), options)


def small_core(stack: bytes | None = None) -> bytes:
    """A core of one thread with random bytes all over its stack, or with the given ones."""
    general = [0] * 27
    general[16], general[19] = CODE + 0x123, STACK + 256
    notes = containers.note(1, containers.status(general))
    content = os.urandom(8192) if stack is None else stack.ljust(8192, b"\x00")
    return containers.elf_core([containers.Region(STACK, content)], notes)
