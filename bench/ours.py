"""Starts Sealwright as a user would, `sealwright up`, and gives its token endpoints to the benchmark.

Everything is as it is by default but port, state directory and realms. It may never switch anything off that
a user has.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness import procfs
from harness.load import Target, call
from harness.model import NotMeasured, WrongAnswer
from harness.processes import START_SECONDS, free_port, running, tail, wait_for_answer

PROGRAM = Path(sys.executable).with_name("sealwright")
AUDIENCE, SCOPE = "https://api.example/", "mail.read"
REALMS = {"ES256": "enterprise", "EdDSA": "with-eddsa", "RS256": "with-rs256"}


@dataclass(frozen=True, slots=True)
class Running:
    """A running Sealwright: one endpoint per algorithm, all of one authority and one signer."""

    targets: Mapping[str, Target]
    config: Path

    def fsck(self) -> dict[str, Any]:
        """What `sealwright ledger fsck` finds; raises WrongAnswer unless the ledger is sound."""
        found: dict[str, Any] = tell(self.config, "ledger", "fsck")
        if not found["sound"]:
            raise WrongAnswer(f"the ledger is damaged: {found['damages'][:3]}")
        return found


def tell(config: Path, *words: str) -> Any:
    """What our program answers in JSON."""
    command = [str(PROGRAM), *words, "--config", str(config), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise WrongAnswer(f"sealwright {' '.join(words)}: {ran.stderr[-500:]}{ran.stdout[-500:]}")
    return json.loads(ran.stdout)


def configuration(state: Path, port: int, further: str = "") -> str:
    """A file with one realm for each algorithm, and further sections."""
    lines = ["[server]", f"port = {port}", "[state]", f"directory = {json.dumps(str(state))}"]
    lines += ["[demo]", "enabled = false"]
    for algorithm, realm in REALMS.items():
        lines += [f"[realms.{realm}]", f'audiences = ["{AUDIENCE}"]', f'scopes = ["{SCOPE}"]']
        lines += [f'algorithms = ["{algorithm}"]']
    return "\n".join(lines) + "\n" + further


def role(root: int, pid: int) -> str:
    """What a process of ours is for. A signer hides its command line; the small process that guards it
    counts with it.
    """
    if pid == root:
        return "supervisor"
    return "authority" if "authority" in procfs.command_line(pid) else "signer"


def endpoint(config: Path, port: int, algorithm: str, root: int) -> Target:
    """The token endpoint of the realm that uses this algorithm, with a client made for it."""
    realm = REALMS[algorithm]
    client = tell(config, "clients", "add", realm, "--audience", AUDIENCE, "--scope", SCOPE, "--apply")
    return Target(
        port=port,
        path=f"/{realm}/oauth2/token",
        jwks_path=f"/{realm}/jwks.json",
        client_id=client["client_id"],
        client_secret=client["client_secret"],
        form={"grant_type": "client_credentials", "scope": SCOPE},
        algorithm=algorithm,
        issuer=f"http://127.0.0.1:{port}/{realm}",
        audience=AUDIENCE,
        root=root,
        role=lambda pid: role(root, pid),
    )


def wait_until_it_issues(target: Target, log: Path) -> None:
    """Return when the endpoint gives a token; raises WrongAnswer when it does not within START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            call(target, "POST", target.path, target.body)
        except WrongAnswer as refusal:
            if time.monotonic() > deadline:
                raise WrongAnswer(f"no token: {refusal}: {tail(log)}") from refusal
            time.sleep(0.1)
        else:
            return


@contextlib.contextmanager
def sealwright(scratch: Path, further: str = "") -> Iterator[Running]:
    """A Sealwright of its own on a free port, with a fresh state directory and `further` configuration."""
    if not PROGRAM.is_file() or find_spec("sealwright.cli") is None:
        raise NotMeasured("the program sealwright is not there: make env")
    port, log, config = free_port(), scratch / "sealwright.log", scratch / "sealwright.toml"
    config.write_text(configuration(scratch / "state", port, further))
    with running([str(PROGRAM), "up", "--config", str(config)], log) as process:
        try:
            wait_for_answer(process, port, f"/{REALMS['ES256']}/jwks.json", log)
        except NotMeasured as reason:  # what is ours has no excuse for not coming up
            raise WrongAnswer(str(reason)) from reason
        targets = {algorithm: endpoint(config, port, algorithm, process.pid) for algorithm in REALMS}
        for target in targets.values():
            wait_until_it_issues(target, log)
        yield Running(targets, config)
