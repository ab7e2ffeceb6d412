"""Obtains a secret by attestation before a signer starts: `python -m sealwright_signer.obtain`.

    … --authority run/admin.sock --purpose hsm-pin --collector tpm --out /run/sealwright/pin

Makes a key, has it hashed into fresh evidence of this machine, shows that, decrypts the answer, and writes
the secret to a file (on tmpfs, if you care) that it removes when the lease is over. It holds no token key.
May never write the secret anywhere else, or take one that is not for its own key and this very evidence.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256, sha512
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from sealwright_signer.clock import wall
from sealwright_signer.evidence import FORMAT
from sealwright_signer.evidence.process import DEVICES
from sealwright_signer.identity import spki_of

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
BOUND_TAG, INFO_TAG = b"sealwright-identity-release-v1\0", b"sealwright-release-v1\0"
SECONDS, EXPIRY = 60.0, 8
EX_REFUSED = 77  # sysexits.h: EX_NOPERM


class NotReleased(Exception):
    """The secret was not obtained; the text says why."""


def ask(authority: Path, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """One request to the authority's socket; NotReleased for anything but a good answer."""
    connection = http.client.HTTPConnection("authority")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(SECONDS)
        connection.sock.connect(str(authority))
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        told: dict[str, Any] = json.loads(answer.read(1 << 20))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotReleased(f"the authority does not answer: {error}") from None
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise NotReleased(f"{told.get('error')}: {told.get('message')}")
    return told


def obtain(authority: Path, purpose: str, collector: str) -> tuple[bytes, int]:
    """The secret and when its lease ends, seconds since 1970."""
    name, _, place = collector.partition(":")
    if name not in DEVICES:
        raise NotReleased(f"collectors are {', '.join(DEVICES)}")
    module, function, usual = DEVICES[name]
    collect = getattr(import_module(f"sealwright_signer.evidence.{module}"), function)
    key = X25519PrivateKey.generate()
    identity = spki_of(Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    nonce = bytes.fromhex(ask(authority, "/admin/release/nonce", {"purpose": purpose})["nonce"])
    public = key.public_key().public_bytes_raw()
    bound = BOUND_TAG + nonce + sha256(identity).digest() + sha256(public).digest()
    found = collect(Path(place or usual), nonce, sha512(bound).digest(), sha256(bound).digest())
    keys = {"identity_key": b64encode(identity).decode(), "release_key": b64encode(public).decode()}
    told = ask(
        authority,
        "/admin/release",
        {"nonce": nonce.hex(), "evidence": {"format": FORMAT, **found, "binding": keys}},
    )
    body = sha256(b64decode(found["evidence"])).digest()
    info = INFO_TAG + sha256(nonce).digest() + sha256(identity).digest() + body
    info += bytes([len(purpose.encode())]) + purpose.encode()
    try:
        opened = SUITE.decrypt(b64decode(told["sealed"]), key, info=info)
    except InvalidTag:
        raise NotReleased("what came is not for this key, evidence and purpose") from None
    return opened[EXPIRY:], int.from_bytes(opened[:EXPIRY], "big")


def wait_until(expires_at: int, now: Callable[[], float] = wall) -> None:
    """Return when the lease is over."""
    while (left := expires_at - now()) > 0:
        time.sleep(min(left, 1.0))


def main() -> int:
    """Obtain, write, wait for the end of the lease, remove."""
    parser = argparse.ArgumentParser("sealwright_signer.obtain", description=__doc__)
    parser.add_argument("--authority", type=Path, required=True, help="the authority's admin socket")
    parser.add_argument("--purpose", required=True, help="what is asked for, such as hsm-pin")
    parser.add_argument("--collector", required=True, help="how evidence is collected: name or name:/path")
    parser.add_argument("--out", type=Path, required=True, help="file to write; it must not be there yet")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    try:  # a release that cannot be kept must not be asked for
        file = os.open(options.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        sys.stderr.write(f"not asked for: {options.out}: {error.strerror}\n")
        return EX_REFUSED
    try:  # from here on there is a file, however this process ends
        with os.fdopen(file, "wb") as out:
            secret, expires_at = obtain(options.authority, options.purpose, options.collector)
            out.write(secret)
        sys.stdout.write(f"released until {expires_at}\n")
        sys.stdout.flush()
        wait_until(expires_at)
    except (NotReleased, OSError) as error:
        sys.stderr.write(f"not released: {error}\n")
        return EX_REFUSED
    finally:
        options.out.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
