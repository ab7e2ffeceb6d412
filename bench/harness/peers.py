"""Starts the peers of the issuing benchmark with a key made for the run. Each gets what is fastest for it.

Nothing of ours is imported here.
"""

import contextlib
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import procfs
from harness.load import Target
from harness.model import NotMeasured
from harness.processes import free_port, running, wait_for_answer

FOLDER = Path(__file__).resolve().parent.parent / "peers"
NODE_FOLDER = FOLDER / "oidc-provider"
LIFETIME = 600  # seconds
AUDIENCE = "https://api.example/"
SCOPE = "mail.read"


def settings_file(scratch: Path, name: str, port: int) -> Path:
    """The settings of one peer with a fresh ES256 key and client secret, readable by nobody else."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = {
        "key": key.decode(),
        "alg": "ES256",
        "issuer": f"http://127.0.0.1:{port}",
        "port": port,
        "client_id": "bench-client",
        "client_secret": secrets.token_urlsafe(32),
        "audience": AUDIENCE,
        "scope": SCOPE,
        "lifetime": LIFETIME,
    }
    path = scratch / f"{name}.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(made))
    return path


def target_of(settings: Path, process: "subprocess.Popen[bytes]", kind: str) -> Target:
    """The endpoint that a peer with these settings serves."""
    made = json.loads(settings.read_text())

    def role(pid: int) -> str:
        return f"{kind} worker" if len(procfs.family(process.pid)) > 1 and pid != process.pid else kind

    return Target(
        port=made["port"],
        path="/token",
        jwks_path="/jwks",
        client_id=made["client_id"],
        client_secret=made["client_secret"],
        form={"grant_type": "client_credentials", "scope": SCOPE},
        algorithm=made["alg"],
        issuer=made["issuer"],
        audience=AUDIENCE,
        root=process.pid,
        role=role,
    )


def install_oidc_provider() -> str:
    """Install the peer from its lock file unless it is there; returns its version, raises NotMeasured without
    node.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise NotMeasured("node and npm are not installed")
    manifest = NODE_FOLDER / "node_modules" / "oidc-provider" / "package.json"
    wanted = json.loads((NODE_FOLDER / "package.json").read_text())["dependencies"]["oidc-provider"]
    if not manifest.exists() or json.loads(manifest.read_text())["version"] != wanted:
        ran = subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=NODE_FOLDER,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise NotMeasured(f"npm ci failed: {ran.stderr.strip()[-300:]}")
    runtime = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"oidc-provider {wanted} on node {runtime}"


@contextlib.contextmanager
def oidc_provider(scratch: Path, processes: int) -> Iterator[Target]:
    """The peer oidc-provider with this many processes; install_oidc_provider() must have succeeded."""
    port, name = free_port(), f"oidc-provider-{processes}"
    settings, log = settings_file(scratch, name, port), scratch / f"{name}.log"
    command = ["node", str(NODE_FOLDER / "server.mjs"), str(settings), str(processes)]
    with running(command, log, {"NODE_ENV": "production"}, NODE_FOLDER) as process:
        wait_for_answer(process, port, "/jwks", log)
        yield target_of(settings, process, "node")


@contextlib.contextmanager
def authlib(scratch: Path, processes: int) -> Iterator[Target]:
    """Authlib on FastAPI and uvicorn (uvloop, httptools, no access log) with this many processes."""
    port, name = free_port(), f"authlib-{processes}"
    settings, log = settings_file(scratch, name, port), scratch / f"{name}.log"
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--app-dir",
        str(FOLDER),
        "--factory",
        "authlib_server:fastapi_app",
    ]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(processes)]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    environment = {"BENCH_AUTHLIB_SETTINGS": str(settings), "AUTHLIB_INSECURE_TRANSPORT": "1"}
    with running(command, log, environment) as process:
        wait_for_answer(process, port, "/jwks", log)
        yield target_of(settings, process, "uvicorn")
