"""TLS 1.3 in which each side proves one raw Ed25519 public key that the other was told before (ADR 0031).

As with raw public keys (RFC 7250) nothing of a certificate counts but its key. May never speak below TLS 1.3,
resume a session, take early data, or accept a key because of who signed it.
"""

import asyncio
import contextlib
import datetime as dt
import json
import os
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from sealwright_signer.jws import b64u, unb64u
from sealwright_signer.protocol import Refused

SCHEME, RAW = "ed25519:", 32
HANDSHAKE, ANSWER = 10.0, 60.0  # seconds for a handshake; for an answer of the other side's process
MAX_FRAME = 1 << 20  # bytes
HEAD = 4
_HOLDER = "sealwright channel"  # the subject of what a holder shows; its issuer is named after the key
_BEGIN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_NEVER = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)  # RFC 5280 section 4.1.2.5
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ChannelError(Exception):
    """The channel cannot be used; the text says why and is safe to show."""


def key_text(public: Ed25519PublicKey) -> str:
    """A raw public key as people exchange it: `ed25519:` and 43 characters of base64url."""
    return SCHEME + b64u(public.public_bytes_raw())


def parsed_key(unverified: str) -> Ed25519PublicKey:
    """The public key that a text names; ChannelError when it names none."""
    try:
        raw = unb64u(unverified.removeprefix(SCHEME))
    except Refused:
        raw = b""
    if not unverified.startswith(SCHEME) or len(raw) != RAW:
        raise ChannelError(f"{unverified[:80]!r} is no key: {SCHEME} and 43 characters of base64url")
    return Ed25519PublicKey.from_public_bytes(raw)


def open_key(file: Path) -> Ed25519PrivateKey:
    """The channel key in a file that only its owner can read; made now when there is none."""
    with contextlib.suppress(FileExistsError):
        made = Ed25519PrivateKey.generate()
        for place in reversed([file.parent, *file.parent.parents]):
            place.mkdir(mode=0o700, exist_ok=True)
        text = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.write(text)
    if file.stat().st_mode & 0o077:
        raise ChannelError(f"{file} must be a file that only its owner can read (chmod 600)")
    try:
        key = load_pem_private_key(file.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise ChannelError(f"{file} holds no key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ChannelError(f"{file} holds no Ed25519 key")
    return key


def _certificate(public: Ed25519PublicKey, signer: Ed25519PrivateKey, subject: str = "") -> bytes:
    """What a key shows, named `subject`; without a name the trust anchor that stands for the key."""
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (key_text(public), subject) if n
    ]
    builder = x509.CertificateBuilder(
        names[0], names[-1], public, x509.random_serial_number(), _BEGIN, _NEVER
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=not subject, path_length=None), critical=True)
    return builder.sign(signer, None).public_bytes(Encoding.PEM)


def _context(side: int, own: Ed25519PrivateKey, peers: Collection[Ed25519PublicKey]) -> ssl.SSLContext:
    """Anchors are made of the peers' bare keys: what a peer shows must be signed by the very key it names."""
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_REQUIRED
    chain = os.memfd_create("channel")
    try:
        text = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        os.write(chain, text + _certificate(own.public_key(), own, _HOLDER))
        context.load_cert_chain(f"/proc/self/fd/{chain}")
    finally:
        os.close(chain)
    nobody = Ed25519PrivateKey.generate()  # a trust anchor's own signature is not looked at
    for peer in peers:
        context.load_verify_locations(cadata=_certificate(peer, nobody).decode())
    return context


def serving(own: Ed25519PrivateKey, peers: Collection[Ed25519PublicKey]) -> ssl.SSLContext:
    """For the side that is called."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, own, peers)
    context.num_tickets = 0  # nothing is ever resumed
    return context


def calling(own: Ed25519PrivateKey, peer: Ed25519PublicKey) -> ssl.SSLContext:
    """For the side that calls."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, own, [peer])


def require_peer(writer: asyncio.StreamWriter, peers: Collection[str]) -> str:
    """The key, as text, that the other side proved; ChannelError unless it is one of `peers`."""
    wrapped = writer.get_extra_info("ssl_object")
    shown = wrapped.getpeercert(binary_form=True) if wrapped and wrapped.version() == "TLSv1.3" else None
    public = x509.load_der_x509_certificate(shown).public_key() if shown else None
    text = key_text(public) if isinstance(public, Ed25519PublicKey) else ""
    if text not in peers:
        raise ChannelError("the other side proved another key than the one it should have")
    return text


async def read_frame(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next frame, a JSON object; ChannelError for anything else, EOFError at the end."""
    length = int.from_bytes(await reader.readexactly(HEAD), "big")
    if length > MAX_FRAME:
        raise ChannelError("a frame is too long")
    try:
        frame = json.loads(await reader.readexactly(length))
    except ValueError as error:
        raise ChannelError("a frame is not JSON") from error
    if type(frame) is not dict:
        raise ChannelError("a frame is no object")
    return frame


async def write_frame(writer: asyncio.StreamWriter, frame: dict[str, Any]) -> None:
    """Send a frame."""
    body = json.dumps(frame).encode()
    writer.write(len(body).to_bytes(HEAD, "big") + body)
    await writer.drain()


async def carry(one: Stream, other: Stream) -> None:
    """Carry bytes both ways until either side ends; then both have ended."""

    async def flow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()

    flows = [asyncio.ensure_future(flow(one[0], other[1])), asyncio.ensure_future(flow(other[0], one[1]))]
    try:
        await asyncio.wait(flows, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in flows:
            each.cancel()
        await asyncio.gather(*flows, return_exceptions=True)
        for _, writer in (one, other):
            writer.transport.abort()
