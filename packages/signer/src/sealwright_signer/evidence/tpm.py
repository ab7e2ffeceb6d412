"""Collectors on a TPM 2.0: a quote by a restricted key of ours, and Azure's report with its own key.

Speaks raw commands to a device or to the socket of a software TPM. The key comes from a fixed template, so it
is the same at every start and can be enrolled. May never extend, clear or define anything.
Source: TCG TPM 2.0 Library, Parts 2 and 3; TCG EK Credential Profile.
"""

import json
import os
import socket
import stat
import struct
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from sealwright_signer.evidence.linux import boot_log
from sealwright_signer.protocol import encode

_CREATE_PRIMARY, _QUOTE, _PCR_READ, _FLUSH, _NV_READ, _NV_READ_PUBLIC = (
    0x131, 0x158, 0x17E, 0x165, 0x14E, 0x169,
)  # fmt: skip
_AGAIN = (0x922, 0x908, 0x90A)  # RETRY, YIELDED, TESTING
_ENDORSEMENT, _OWNER = 0x4000000B, 0x40000001
_PASSWORD = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)  # a session with an empty password
# ECC P-256, ECDSA with SHA-256; fixedTPM fixedParent sensitiveDataOrigin userWithAuth noDA restricted sign
_TEMPLATE = struct.pack(">HHIHHHHHHHH", 0x23, 0x0B, 0x00050472, 0, 0x10, 0x18, 0x0B, 3, 0x10, 0, 0)
_START_SESSION, _POLICY_SECRET, _ACTIVATE = 0x176, 0x151, 0x147
_NULL = 0x40000007
# The standard endorsement keys, with where their certificates are: RSA 2048 (L-1), ECC P-256 (L-2)
_EK_HEAD = bytes.fromhex("000b000300b20020837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
_EK_HEAD += struct.pack(">HHHH", 0x06, 128, 0x43, 0x10)
_EKS = {
    0x01C00002: b"\0\x01" + _EK_HEAD + struct.pack(">HIH", 2048, 0, 256) + bytes(256),
    0x01C0000A: b"\0\x23" + _EK_HEAD + struct.pack(">HH", 3, 0x10) + 2 * (b"\0\x20" + bytes(32)),
}
_AZURE_KEY, _AZURE_REPORT, _CHUNK = 0x81000003, 0x01400001, 512
_AZURE_KIND, _AZURE_TDX, _TD_REPORT = 32 + 1184 + 8, 4, 1024  # offset and value of the report's kind; bytes
MEASUREMENTS = Path("/sys/kernel/security/tpm0/binary_bios_measurements")
Command = Callable[..., bytes]


@contextmanager
def _opened(place: Path) -> Iterator[Command]:
    if stat.S_ISSOCK(place.stat().st_mode):
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(place))
        device = link.detach()
    else:
        device = os.open(place, os.O_RDWR | os.O_CLOEXEC)

    def command(code: int, body: bytes, *handles: int, session: bytes = b"") -> bytes:
        """What follows the header of the answer."""
        whole = b"".join(struct.pack(">I", handle) for handle in handles) + session + body
        tag = 0x8002 if session else 0x8001
        for _ in range(8):
            os.write(device, struct.pack(">HII", tag, 10 + len(whole), code) + whole)
            answer = os.read(device, 4096)
            _, size, result = struct.unpack_from(">HII", answer)
            if result not in _AGAIN:
                break
        if result or size != len(answer):
            raise OSError(0, f"TPM command {code:#x} answers {result:#x}")
        return answer[10:]

    try:
        yield command
    finally:
        os.close(device)


def _sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _take(data: bytes, at: int) -> bytes:
    (length,) = struct.unpack_from(">H", data, at)
    return data[at + 2 : at + 2 + length]


def _selection(pcrs: range) -> bytes:
    bits = sum(1 << pcr for pcr in pcrs)
    return struct.pack(">IHB", 1, 0x0B, 3) + bits.to_bytes(3, "little")


def _quoted(command: Command, key: int, extra: bytes) -> tuple[bytes, bytes, dict[str, str]]:
    """Message, signature, and the values of PCR 0 to 15, read again while they change in between."""
    for _ in range(4):
        values = list[bytes]()
        for half in (range(8), range(8, 16)):
            answer = command(_PCR_READ, _selection(half))
            at = 4 + 10 + 4  # counter, selection, number of digests
            values += [_take(answer, at + 34 * i) for i in range(8)]
        asked = _sized(extra) + struct.pack(">H", 0x10) + _selection(range(16))
        answer = command(_QUOTE, asked, key, session=_PASSWORD)
        message = _take(answer, 4)
        if message.endswith(sha256(b"".join(values)).digest()):
            (size,) = struct.unpack_from(">I", answer)
            pcrs = {str(index): value.hex() for index, value in enumerate(values)}
            return message, answer[4 + 2 + len(message) : 4 + size], pcrs
    raise OSError(0, "the PCRs change all the time")


@contextmanager
def _primary(command: Command, template: bytes) -> Iterator[tuple[int, bytes]]:
    """The endorsement hierarchy's key of this template: handle and TPMT_PUBLIC, for as long as it is used."""
    made = bytes.fromhex("000400000000") + _sized(template) + bytes(6)
    answer = command(_CREATE_PRIMARY, made, _ENDORSEMENT, session=_PASSWORD)
    (key,) = struct.unpack_from(">I", answer)
    try:
        yield key, _take(answer, 8)
    finally:
        command(_FLUSH, b"", key)


def _stored(command: Command, index: int) -> bytes:
    """What is in NV."""
    (size,) = struct.unpack(">H", _take(command(_NV_READ_PUBLIC, b"", index), 0)[-2:])
    found = b""
    while len(found) < size:
        part = struct.pack(">HH", min(_CHUNK, size - len(found)), len(found))
        found += _take(command(_NV_READ, part, _OWNER, index, session=_PASSWORD), 4)
    return found


def endorsement_certificate(place: Path) -> bytes:
    """The certificate (DER) that the TPM's maker stored of its endorsement key."""
    with _opened(place) as command:
        return _endorsed_key(command)[0]


def _endorsed_key(command: Command) -> tuple[bytes, bytes]:
    """Certificate and template of the endorsement key that has one; OSError when none has."""
    for index, template in _EKS.items():
        with suppress(OSError):
            found = _stored(command, index)
            return found[: 4 + int.from_bytes(found[2:4], "big")], template
    raise OSError(0, "the TPM has no certificate of its endorsement key")


def activate(place: Path, credential: bytes, secret: bytes) -> bytes:
    """The answer to a challenge: TPM2_ActivateCredential of our attestation key under the endorsement key.

    Both are TPM2B structures. OSError when the TPM holds another endorsement key, or the challenge is for
    another attestation key.
    """
    with _opened(place) as command:
        _, template = _endorsed_key(command)
        with _primary(command, template) as (endorsement, _), _primary(command, _TEMPLATE) as (key, _):
            started = struct.pack(">H16xHBHH", 16, 0, 1, 0x10, 0x0B)
            (session,) = struct.unpack_from(">I", command(_START_SESSION, started, _NULL, _NULL))
            try:
                command(_POLICY_SECRET, bytes(10), _ENDORSEMENT, session, session=_PASSWORD)
                two = struct.pack(">IIHBHIHBH", 18, 0x40000009, 0, 0, 0, session, 0, 1, 0)
                return _take(command(_ACTIVATE, credential + secret, key, endorsement, session=two), 4)
            finally:
                command(_FLUSH, b"", session)


def _boot_log(place: Path, log: Path) -> dict[str, Any]:
    """The log of this machine's own TPM; that of a software TPM is somebody else's."""
    return {} if stat.S_ISSOCK(place.stat().st_mode) else boot_log(log)


def quote(
    place: Path, _nonce: bytes, _wide: bytes, narrow: bytes, *, log: Path = MEASUREMENTS
) -> dict[str, Any]:
    """A quote over PCR 0 to 15 of the sha256 bank, and the log that leads to their values."""
    with _opened(place) as command, _primary(command, _TEMPLATE) as (key, public):
        message, signature, pcrs = _quoted(command, key, narrow)
    parts = {"message": message, "signature": signature, "ak_public": public}
    body = {name: b64encode(part).decode() for name, part in parts.items()}
    evidence = b64encode(encode({**body, "pcrs": pcrs}).encode()).decode()
    return {"kind": "tpm2", "evidence": evidence, **_boot_log(place, log)}


def _b64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _told(asked: Request) -> Any:
    with build_opener(ProxyHandler({})).open(asked, timeout=3) as answer:
        return json.loads(answer.read(1 << 17))


def _endorsed(report: bytes, metadata: str) -> dict[str, str]:
    """What the host adds to the report: on SNP the chip's certificate (its chain is not believed), on TDX a
    quote of the TD report, made by its quoting enclave.
    """
    headers = {"Metadata": "true"}
    (kind,) = struct.unpack_from("<I", report, _AZURE_KIND) if len(report) > _AZURE_KIND + 4 else (0,)
    if kind == _AZURE_TDX:
        body = encode({"report": _b64url(report[32 : 32 + _TD_REPORT])}).encode()
        headers["Content-Type"] = "application/json"
        asked = Request(f"{metadata}/acc/tdquote", body, headers)  # noqa: S310
        return {"td_quote": str(_told(asked)["quote"]).rstrip("=")}
    asked = Request(f"{metadata}/metadata/THIM/amd/certification", headers=headers)  # noqa: S310
    return {"vcek": _b64url(str(_told(asked)["vcekCert"]).encode())}


def azure(
    place: Path,
    _nonce: bytes,
    _wide: bytes,
    narrow: bytes,
    *,
    metadata: str = "http://169.254.169.254",
    log: Path = MEASUREMENTS,
) -> dict[str, Any]:
    """The SNP or TDX report that the paravisor left in the vTPM, what the host adds to it, and a fresh quote
    by the key that is hashed into the report.
    """
    with _opened(place) as command:
        report = _stored(command, _AZURE_REPORT)
        message, signature, pcrs = _quoted(command, _AZURE_KEY, narrow)
    signed = {"message": message.hex(), "signature": signature.hex(), "pcrs": pcrs}
    body = {"hcl_report": _b64url(report), "quote": signed, **_endorsed(report, metadata)}
    evidence = b64encode(encode(body).encode()).decode()
    return {"kind": "azure", "evidence": evidence, **_boot_log(place, log)}
