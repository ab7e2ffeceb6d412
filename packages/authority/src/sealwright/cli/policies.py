"""Reads the witness policy that an operator names, and says what is wrong with it in one line."""

from __future__ import annotations

from pathlib import Path

from sealwright.errors import Misconfigured
from sealwright.monitor.book import printable
from sealwright_validate import errors as validator
from sealwright_validate.witnesses import WitnessPolicy


def read_policy(file: Path) -> WitnessPolicy:
    """A witness policy file.

    Raises:
        Misconfigured: it is none; the line is named.
    """
    try:
        return WitnessPolicy.read(file)
    except validator.Misconfigured as error:
        raise Misconfigured("witness_policy", printable(f"{file}: {error}")) from error
