"""The only place of the authority that reads environment variables.

`SEALWRIGHT_<SECTION>__<KEY>` overrides one value of the file, `SEALWRIGHT_CONFIG` names the file. Secrets are
never read from here, and nothing here may change the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

PREFIX = "SEALWRIGHT_"
CONFIG_FILE = "SEALWRIGHT_CONFIG"
_PASSED_ON = frozenset(
    {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)


def environment() -> Mapping[str, str]:
    """This process's environment."""
    return os.environ


def child_environment(unverified_environment: Mapping[str, str]) -> dict[str, str]:
    """What a child process is given: where programs and certificates are, the locale, and nothing else.

    In particular no `SEALWRIGHT_…` (a child is given the configuration that was checked, so that it cannot
    read a different one) and no `PYTHON…` or `LD_…` (so that the parent's environment cannot put code into
    the child).
    """
    return {name: value for name, value in unverified_environment.items() if name in _PASSED_ON}
