"""What is supervised, and what is told about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Stage(StrEnum):
    """Where a part is in its life."""

    DOWN = "down"
    STARTING = "starting"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a part listens, and how the operator changes that."""

    host: str
    port: int
    setting: str
    """Dotted path of the setting that holds the port."""

    @property
    def variable(self) -> str:
        """The environment variable of the same setting."""
        return "SEALWRIGHT_" + self.setting.upper().replace(".", "__")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Program:
    """A child process that serves HTTP: its name, arguments, log, address, and the path that answers 200 when
    ready.
    """

    name: str
    arguments: Sequence[str]
    log: Path
    address: Address
    ready_path: str
    held: bool = False
    """Whether its listening socket outlives it: clients that connect during a restart wait instead of
    failing.
    """


@dataclass(frozen=True, slots=True)
class LiveSigner:
    """One line of `run/signers.json` (docs/formats/signers-file.md)."""

    slot: int
    log_id: str
    socket: Path
    pid: int
