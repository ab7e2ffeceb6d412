"""`sealwright version`: what is installed, for a report of a fault."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from sealwright.cli.options import AsJson
from sealwright.cli.output import write_json

DISTRIBUTIONS = (
    "sealwright",
    "sealwright-signer",
    "sealwright-validate",
    "sealwright-attest",
    "sealwright-dumps",
    "cryptography",
)


def command(*, as_json: AsJson = False) -> None:
    """Print the versions of what is installed."""
    found = {name: _version(name) for name in DISTRIBUTIONS}
    found |= {"python": platform.python_version(), "system": platform.platform()}
    if as_json:
        write_json(found)
        return
    for name, value in found.items():
        sys.stdout.write(f"{name:<20} {value}\n")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
