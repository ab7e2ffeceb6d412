"""Keys in a PKCS#11 token (an HSM), as the signer sees them: one round trip for each batch to the keeper.

The keeper is a process of its own, forked before the first key exists, which alone loads the token's module
(ADR 0030). May never hold a private half, the PIN or a session, nor take half a batch for an answer.
"""

import binascii
import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sealwright_signer.custody import CustodyLost
from sealwright_signer.protocol import Code, Misconfigured, Refused, encode

HEAD = 4  # bytes of a frame's length
GONE = "the keeper of the token has ended"
OPENING = 60  # seconds that the keeper may take to load the module, log in and try the algorithms


class Pkcs11Custody:
    """Handles are numbers of the keeper's; what it does not answer in time is lost."""

    kind = "pkcs11"

    def __init__(self, keeper: socket.socket, pid: int) -> None:
        """`keeper` is the connected socket, with its timeouts set."""
        self._keeper, self.pid = keeper, pid
        self.measures, self.release_key = list[dict[str, str]](), b""
        self._keys = dict[int, tuple[str, dict[str, str]]]()

    def generate(self, alg: str) -> int:
        """Make a key in the token, which is asked whether it can ever come out."""
        made = self.ask({"op": "generate", "alg": alg})
        handle: int = made["handle"]
        self._keys[handle] = alg, made["jwk"]
        return handle

    def sign(self, wanted: Sequence[tuple[int, bytes, bytes]]) -> list[bytes]:
        """The raw JOSE signatures. Only EdDSA tells the keeper the message, the others its SHA-256."""
        keys = self._keys
        told = [(h, message if keys[h][0] == "EdDSA" else digest) for h, message, digest in wanted]
        texts = [(handle, binascii.b2a_base64(data, newline=False).decode()) for handle, data in told]
        signatures = self.ask({"op": "sign", "wanted": texts})["signatures"]
        if len(signatures) != len(wanted):
            raise CustodyLost("the keeper answered another batch")
        return list(map(binascii.a2b_base64, signatures))

    def public_jwk(self, handle: int) -> dict[str, str]:
        """The required members of the public JWK."""
        return self._keys[handle][1]

    def destroy(self, handle: int) -> None:
        """Have the token destroy it."""
        del self._keys[handle]
        self.ask({"op": "destroy", "handle": handle})

    def require_there(self) -> None:
        """The keeper says nothing unasked; when it has ended, its keys have."""
        with suppress(BlockingIOError):
            self._keeper.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            raise CustodyLost(GONE)

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The keeper's answer; CustodyLost when there is none, Refused when the token failed but is there."""
        body = encode(question).encode()
        try:
            self._keeper.sendall(len(body).to_bytes(HEAD, "big") + body)
            answer: dict[str, Any] = json.loads(self._read(int.from_bytes(self._read(HEAD), "big")))
        except BlockingIOError:
            raise CustodyLost("the token did not answer in time") from None
        except OSError:
            raise CustodyLost(GONE) from None
        if "lost" in answer:
            raise CustodyLost(f"the token is lost: {answer['lost']}")
        if "failed" in answer:
            raise Refused(Code.custody_unavailable, f"the token failed: {answer['failed']}")
        return answer

    def release(self, sealed: str, shown: Mapping[str, str]) -> None:
        """Let the keeper open the token with a PIN that only it can decrypt (`shown`: what it was asked for
        with); Refused when it cannot, and it waits on.
        """
        opened = self.ask({"op": "open", "sealed": sealed, **shown})
        if "misconfigured" in opened:
            raise Refused(Code.custody_unavailable, f"custody: {opened['misconfigured']}")
        self.release_key = b""

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._keeper.recv(min(size - len(parts), 1 << 18))
            if not part:
                raise ConnectionResetError
            parts += part
        return bytes(parts)

    def wait(self, seconds: int) -> None:
        """How long each question may take. Set before the filter, which allows no setsockopt."""
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._keeper.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", seconds, 0))


def start(custody: Mapping[str, Any], algorithms: Sequence[str]) -> Pkcs11Custody:
    """Start the keeper; Misconfigured, with what to do, when the token cannot be used."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        from sealwright_signer.custody.keeper import serve  # loaded in the keeper only

        serve.run(theirs, custody, algorithms)
    theirs.close()
    keys = Pkcs11Custody(ours, pid)
    keys.wait(OPENING)
    try:
        opened = keys.ask({"op": "open"})
    except CustodyLost as lost:
        opened = {"misconfigured": str(lost)}
    if "misconfigured" in opened:
        ours.close()
        raise Misconfigured(f"custody: {opened['misconfigured']}")
    keys.release_key = bytes.fromhex(opened["release_key"])
    keys.wait(max(opened["patience"], OPENING) if keys.release_key else opened["patience"])
    keys.measures = opened["measures"]
    return keys
