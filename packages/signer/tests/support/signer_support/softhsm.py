"""A SoftHSM2 token of a test's own, in a folder of its own; tests skip, saying so, where there is none."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
LABEL, PIN = "sealwright test", "a PIN of the test's"


def module() -> str:
    """Path of the module; skips the test where SoftHSM2 or python-pkcs11 is absent."""
    found = [path for path in MODULES if Path(path).is_file()]
    if not found or not shutil.which("softhsm2-util"):
        pytest.skip("SOFTHSM2 IS NOT INSTALLED (apt-get install softhsm2): no PKCS#11 token was tried")
    if not find_spec("pkcs11"):
        pytest.skip("PYTHON-PKCS11 IS NOT INSTALLED (extra pkcs11): no PKCS#11 token was tried")
    return found[0]


@dataclass(frozen=True, slots=True)
class SoftHsm:
    """Where the token is kept, and how a policy names it."""

    folder: Path
    module: str

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    def custody(self, **changed: Any) -> dict[str, Any]:
        """The `custody` member of a policy."""
        members = {"kind": "pkcs11", "module": self.module, "token": LABEL, "objects": "session"}
        members |= {"pin_file": str(self.folder / "pin"), "label": "sealwright signer-0"}
        further = {"sessions": 2, "patience": 60, "reach": [str(self.tokens)], "network": False}
        return members | further | {"environment": self.environment} | changed

    def objects(self) -> int:
        """Files of objects that the token holds: public and private keys that outlive a process."""
        return len(list(self.tokens.glob("*/*.object"))) - len(list(self.tokens.glob("*/token.object")))


def make_token(folder: Path) -> SoftHsm:
    """Initialise a token."""
    made = SoftHsm(folder, module())
    made.tokens.mkdir(parents=True)
    settings = f"directories.tokendir = {made.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
    (folder / "softhsm2.conf").write_text(settings)
    secret = folder / "pin"
    secret.touch(mode=0o600)
    secret.write_text(PIN + "\n")
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--so-pin", "12345678", "--pin", PIN],
        env={"PATH": os.defpath} | made.environment,
        check=True,
        capture_output=True,
    )
    return made
