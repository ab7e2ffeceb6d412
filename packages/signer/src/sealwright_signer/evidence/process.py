"""Runs the collector in a process of its own, forked before the first key exists.

It may open devices and make files, which the signer no longer can; it is told 64 bytes and a nonce, answers
with evidence, and ends with the signer. May never be forked once there is a key.
"""

import json
import os
import socket
import struct
from importlib import import_module
from pathlib import Path
from typing import Any

from sealwright_signer.evidence import Ask, nothing
from sealwright_signer.protocol import Misconfigured

PATIENCE = 8  # seconds; less than the authority gives the signer for its introduction
LARGEST = 1 << 18  # bytes of an answer
DEVICES = {  # collector: module beside this one, function in it, and where unless said otherwise
    "simulated": ("linux", "simulated", ""),
    "configfs-tsm": ("linux", "configfs_tsm", "/sys/kernel/config/tsm/report"),
    "sev-guest": ("linux", "sev_guest", "/dev/sev-guest"),
    "nsm": ("linux", "nsm", "/dev/nsm"),
    "tpm": ("tpm", "quote", "/dev/tpmrm0"),
    "azure": ("tpm", "azure", "/dev/tpmrm0"),
}


def start(collector: str) -> Ask:
    """Start the collector `name` or `name:/path`; what asks it. Misconfigured for an unknown name."""
    name, _, place = collector.partition(":")
    if name == "none":
        return nothing
    if name not in DEVICES:
        raise Misconfigured(f"collectors are none, {', '.join(DEVICES)}")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        module, function, usual = DEVICES[name]  # loaded here only: this code never runs beside a key
        collect = getattr(import_module(f"sealwright_signer.evidence.{module}"), function)
        import_module("sealwright_signer.evidence.serve").run(theirs, collect, name, Path(place or usual))
    theirs.close()
    # Set now: later the filter allows neither poll nor setsockopt.
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", PATIENCE, 0))

    def ask(nonce: bytes, wide: bytes, narrow: bytes) -> dict[str, Any]:
        try:
            ours.send(wide + narrow + nonce)
            while answer := ours.recv(LARGEST):
                found: dict[str, Any] = json.loads(answer)
                if found.pop("nonce") == nonce.hex():  # else a late answer to a question before
                    return found
        except OSError as error:
            return {"note": f"the collector does not answer: {error.strerror}"}
        return {"note": "the collector has ended"}

    return ask
