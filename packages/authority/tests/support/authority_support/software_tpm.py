"""A software TPM (swtpm) on a Unix socket, with a certified endorsement key where that is asked for."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class SoftwareTpm:
    """swtpm on a Unix socket."""

    place: Path
    running: subprocess.Popen[bytes]

    def command(self, command: bytes) -> None:
        """One command that must succeed."""
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self.place))
            link.send(command)
            answer = link.recv(4096)
        if struct.unpack_from(">I", answer, 6) != (0,):
            raise AssertionError(answer.hex())

    def extend(self, pcr: int) -> None:
        """TPM2_PCR_Extend of the sha256 bank, with zeros."""
        head = struct.pack(">HIIIIIHBH", 0x8002, 65, 0x182, pcr, 9, 0x40000009, 0, 0, 0)
        self.command(head + struct.pack(">IH", 1, 0x0B) + bytes(32))

    def stop(self) -> None:
        """End it."""
        self.running.terminate()
        self.running.wait()


def start_tpm(folder: Path, name: str) -> SoftwareTpm:
    """A TPM in this folder, whose path must be short; its state is there already when it was certified."""
    program = shutil.which("swtpm")
    if program is None:
        pytest.skip("SWTPM ABSENT: admission of a signer with a TPM is not tested (apt-get install swtpm)")
    (folder / f"{name}-state").mkdir(exist_ok=True)
    argv = [program, "socket", "--tpm2", "--tpmstate", f"dir={folder / name}-state"]
    argv += ["--server", f"type=unixio,path={folder / name}", "--flags", "not-need-init,startup-clear"]
    running = subprocess.Popen(argv)
    wait_for(folder / name, running)
    return SoftwareTpm(folder / name, running)


def wait_for(place: Path, running: subprocess.Popen[bytes]) -> None:
    """Return when it answers: the name of a socket is there before anybody listens."""
    while running.poll() is None:
        with socket.socket(socket.AF_UNIX) as link:
            if link.connect_ex(str(place)) == 0:
                return
        time.sleep(0.02)


def certify(folder: Path, name: str) -> Path:
    """Make a TPM whose endorsement key an authority of its own certified; PEM of root and intermediate."""
    tool = shutil.which("swtpm_localca") or "/usr/share/swtpm/swtpm-localca"
    if shutil.which("swtpm_setup") is None or not Path(tool).exists():
        pytest.skip("SWTPM_SETUP ABSENT: credential activation is not tested (apt-get install swtpm-tools)")
    state, authority, made = folder / f"{name}-state", folder / f"{name}-ca", folder / f"{name}-ca.pem"
    state.mkdir()
    authority.mkdir()
    (folder / f"{name}.conf").write_text(
        f"statedir = {authority}\nsigningkey = {authority}/signkey.pem\n"
        f"issuercert = {authority}/issuercert.pem\ncertserial = {authority}/serial\n"
    )
    (folder / f"{name}.options").write_text(
        "--platform-manufacturer Synthetic\n--platform-version 1\n--platform-model Test\n"
    )
    (folder / f"{name}.setup").write_text(
        f"create_certs_tool = {tool}\ncreate_certs_tool_config = {folder / name}.conf\n"
        f"create_certs_tool_options = {folder / name}.options\n"
    )
    words = ["swtpm_setup", "--tpm2", "--tpmstate", f"dir://{state}", "--create-ek-cert", "--lock-nvram"]
    words += ["--overwrite", "--config", f"{folder / name}.setup"]
    subprocess.run(words, check=True, capture_output=True)
    root, issuer = authority / "swtpm-localca-rootca-cert.pem", authority / "issuercert.pem"
    made.write_bytes(root.read_bytes() + issuer.read_bytes())
    return made
