"""`sealwright admission`: what operators do before signers are admitted, and when the policy changes.

The signer that `enrol` starts is thrown away; it is never admitted, and no state is touched.
"""

from __future__ import annotations

import secrets
import struct
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from sealwright.admission.attested import read_policy
from sealwright.admission.enrol import Endorser, Enrolment, enrolment
from sealwright.cli.admin import Admin
from sealwright.cli.options import Apply, AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import write_json
from sealwright.clock import SystemClock
from sealwright.config import Config, signer_policy
from sealwright.errors import Misconfigured, Refused
from sealwright.supervisor.signer_process import ClientSignerLauncher
from sealwright_attest import Policy
from sealwright_attest.policy.diff import rule_changes
from sealwright_signer.evidence import tpm
from sealwright_signer.evidence.process import DEVICES

app = typer.Typer(no_args_is_help=True)
NONCE_BYTES = 32
PolicyFile = Annotated[Path, typer.Argument(help="The policy (TOML or JSON).", show_default=False)]


@app.callback()
def group() -> None:
    """Enrol TPMs before their signers are admitted; change the policy while signers serve."""


@app.command()
def enrol(
    out: Annotated[Path, typer.Argument(help="The policy file to write; it must not be there yet.")],
    *,
    collector: Annotated[str, typer.Option(help="The TPM, `tpm` or `tpm:/path`.")] = "tpm",
    pcr: Annotated[list[int] | None, typer.Option(help="A register to hold to its value; repeat it.")] = None,
    maker: Annotated[
        Path | None, typer.Option(help="Root and intermediates (PEM) of who certified the TPM.")
    ] = None,
    config: ConfigFile = None,
    state: StateDirectory = None,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Take this machine's TPM for ours: its attestation key and registers as they are become a policy.

    A throw-away signer makes a fresh quote, which must pass that policy. Name it in `admission.policy`. With
    `--maker` the TPM proves by credential activation that the key is in the TPM that its maker certified;
    without, it is your word.
    """
    endorser = Endorser.of(LocalTpm(collector), _document(maker).encode()) if maker else None
    found = _quoted(configured(config, state), collector, sorted(set(pcr or (0, 7))), endorser)
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


@app.command()
def policy(*, config: ConfigFile = None, state: StateDirectory = None, as_json: AsJson = False) -> None:
    """Show the policy that signers are appraised by now, by whom it is in force, and revoked images."""
    told = Admin.of(configured(config, state)).get("/admin/admission/policy")
    if as_json:
        write_json(told)
        return
    sys.stdout.write(f"{told['name']} revision {told['revision']}, {told['policy']}\n")
    since = datetime.fromtimestamp(told["since"], UTC).isoformat()
    sys.stdout.write(f"in force since {since} by {told['by']}; changes: {told['changes']}\n")
    for one in told["revoked"]:
        sys.stdout.write(
            f"revoked {one['digest']}: {one['reason']} (grace {one['grace']} s, by {one['by']})\n"
        )
    sys.stdout.write(told["text"].rstrip("\n") + "\n")


@app.command()
def propose(
    file: PolicyFile,
    *,
    operator: Annotated[str, typer.Option(help="Who asks, and so agrees.")] = "",
    config: ConfigFile = None,
    state: StateDirectory = None,
    apply: Apply = False,
) -> None:
    """Ask for another policy. It counts when another operator agreed (`respond consent`, then `change`)."""
    document, admin = _document(file), Admin.of(configured(config, state))
    before = _read(admin.get("/admin/admission/policy")["text"], "the policy in force")
    after = _read(document, str(file))
    sys.stdout.write(f"{before.hash()} ({before.name} {before.revision}) becomes\n")
    sys.stdout.write(f"{after.hash()} ({after.name} {after.revision}):\n")
    for one in rule_changes(before, after):
        sys.stdout.write(f"  {one.rule}: {one.before} -> {one.after}\n")
    if not apply or not operator:
        sys.stdout.write("nothing asked; add --apply and --operator to ask for agreement\n")
        return
    body = {"document": document, "operator": operator}
    request = admin.post("/admin/admission/policy", body)["request"]
    sys.stdout.write(f"{request}: another operator runs `respond consent {request}`, then\n")
    sys.stdout.write(f"sealwright admission change {file} {request} --apply\n")


@app.command()
def change(
    file: PolicyFile,
    request: Annotated[str, typer.Argument(help="Id of the request that was agreed to.", show_default=False)],
    *,
    config: ConfigFile = None,
    state: StateDirectory = None,
    apply: Apply = False,
) -> None:
    """Put a policy in force that operators agreed to. Every signer proves itself by it at once."""
    document = _document(file)
    if not apply:
        sys.stdout.write(f"would put {_read(document, str(file)).hash()} in force; add --apply\n")
        return
    body = {"document": document, "request": request}
    told = Admin.of(configured(config, state)).post("/admin/admission/policy/change", body)
    sys.stdout.write(f"{told['policy']} is in force\n")


@app.command()
def revoke(
    digest: Annotated[str, typer.Argument(help="Measurement of the image, hex.", show_default=False)],
    *,
    reason: Annotated[str, typer.Option(help="Why; every refusal shows it.")],
    operator: Annotated[str, typer.Option(help="Who revokes.")],
    grace: Annotated[int, typer.Option(help="Seconds that those who serve may go on with it.")] = 0,
    config: ConfigFile = None,
    state: StateDirectory = None,
    apply: Apply = False,
) -> None:
    """Revoke an image for good: no signer is admitted with it, and those who serve end after the grace."""
    if not apply:
        sys.stdout.write(f"would revoke {digest} with {grace} s of grace; add --apply\n")
        return
    body = {"digest": digest, "reason": reason, "grace": grace, "operator": operator}
    told = Admin.of(configured(config, state)).post("/admin/admission/revoked", body)
    sys.stdout.write(f"revoked; {told['policy']} is in force\n")


def _document(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Misconfigured("unreadable_file", f"cannot read {file}: {error}") from error


def _read(document: str, where: str) -> Policy:
    return read_policy(document.encode(), where)


class LocalTpm:
    """`EndorsedTpm` on the device or socket that a collector names."""

    def __init__(self, collector: str) -> None:
        self._place = Path(collector.partition(":")[2] or DEVICES["tpm"][2])

    def certificate(self) -> bytes:
        """The certificate of its endorsement key."""
        try:
            return tpm.endorsement_certificate(self._place)
        except (OSError, struct.error) as error:
            raise Refused("nothing_to_enrol", f"{self._place}: {error.args[-1]}") from error

    def activate(self, credential: bytes, secret: bytes) -> bytes:
        """The answer to a challenge."""
        try:
            return tpm.activate(self._place, credential, secret)
        except (OSError, struct.error) as error:
            raise Refused(
                "not_activated", f"the TPM does not solve the challenge: {error.args[-1]}"
            ) from error


def _quoted(config: Config, collector: str, registers: list[int], endorser: Endorser | None) -> Enrolment:
    policy = {**signer_policy(config, [], 0), "custody": {"kind": "memory"}}
    with tempfile.TemporaryDirectory(prefix="sealwright-") as folder:
        launcher = ClientSignerLauncher(Path(folder), Path(folder), collector=collector)
        process = launcher.launch(0, policy)
        try:
            _, evidence = process.introduce(secrets.token_bytes(NONCE_BYTES))
        finally:
            process.stop()
    return enrolment(evidence, registers, SystemClock().now(), endorser)
