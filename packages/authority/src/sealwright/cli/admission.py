"""`sealwright admission`: what operators do before signers are admitted.

The signer that is started here is thrown away; it is never admitted, and no state is touched.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sealwright.admission.enrol import Enrolment, enrolment
from sealwright.cli.options import Apply, AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import write_json
from sealwright.clock import SystemClock
from sealwright.config import Config, signer_policy
from sealwright.errors import Misconfigured
from sealwright.supervisor.signer_process import ClientSignerLauncher

app = typer.Typer(no_args_is_help=True)
NONCE_BYTES = 32


@app.callback()
def group() -> None:
    """Enrol TPMs, before their signers are admitted."""


@app.command()
def enrol(
    out: Annotated[Path, typer.Argument(help="The policy file to write; it must not be there yet.")],
    *,
    collector: Annotated[str, typer.Option(help="The TPM, `tpm` or `tpm:/path`.")] = "tpm",
    pcr: Annotated[list[int] | None, typer.Option(help="A register to hold to its value; repeat it.")] = None,
    config: ConfigFile = None,
    state: StateDirectory = None,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Take this machine's TPM for ours: its attestation key and registers as they are become a policy.

    A throw-away signer makes a fresh quote, which must pass that policy. Name it in `admission.policy`.
    """
    found = _quoted(configured(config, state), collector, sorted(set(pcr or (0, 7))))
    if as_json:
        write_json({"name": found.name, "pcrs": found.pcrs, "policy": found.policy, "written": apply})
    else:
        sys.stdout.write(found.policy)
        if not apply:
            sys.stdout.write(f"# not written: add --apply to write it to {out}\n")
    if apply:
        try:
            with out.open("x", encoding="utf-8") as file:
                file.write(found.policy)
        except OSError as error:
            raise Misconfigured("cannot_write", f"cannot write {out}: {error.strerror}") from error


def _quoted(config: Config, collector: str, registers: list[int]) -> Enrolment:
    policy = {**signer_policy(config, [], 0), "custody": {"kind": "memory"}}
    with tempfile.TemporaryDirectory(prefix="sealwright-") as folder:
        launcher = ClientSignerLauncher(Path(folder), Path(folder), collector=collector)
        process = launcher.launch(0, policy)
        try:
            _, evidence = process.introduce(secrets.token_bytes(NONCE_BYTES))
        finally:
            process.stop()
    return enrolment(evidence, registers, SystemClock().now())
