"""Collectors on Linux interfaces: configfs-tsm, /dev/sev-guest, /dev/nsm; and the simulated one.

Each returns members of an evidence bundle. May never interpret a report: what was read is passed on, and read
in a process without a key. Sources: Linux ABI/testing/configfs-tsm-report, uapi/linux/sev-guest.h, nsm.h.
"""

import ctypes
import errno
import fcntl
import os
import struct
import uuid
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sealwright_signer.protocol import encode

_SNP_GET_EXT_REPORT, _NSM_RAW = 0xC0205302, 0xC0200A00  # _IOWR('S', 2, 32 bytes), _IOWR(0x0A, 0, 32 bytes)
_REPORT, _CERTIFICATES = 1184, 1 << 14  # bytes
_CHIP_KEYS = ("63da758d-e664-4564-adc5-f4b93be8accd", "a8074bc2-a25a-483e-aae6-39c045a0b8a1")  # VCEK, VLEK
_PROVIDERS = {"sev_guest": "sev-snp", "tdx_guest": "tdx"}
CCEL, LARGEST_LOG = Path("/sys/firmware/acpi/tables/data/CCEL"), 120_000  # bytes, as base64 in one answer
Ioctl = Callable[[int, int, Any], int]


def _b64(data: bytes) -> str:
    return b64encode(data).decode()


def simulated(_place: Path, _nonce: bytes, wide: bytes, _narrow: bytes) -> dict[str, Any]:
    """Evidence that proves nothing, and says so."""
    said = {"format": "sealwright-simulated/1", "notice": "simulated: this proves nothing about the machine"}
    body = encode({**said, "report_data": wide.hex(), "measurement": bytes(48).hex()})
    return {"kind": "simulated", "evidence": _b64(body.encode())}


def _chip_key(table: bytes) -> dict[str, Any]:
    """The VCEK or VLEK of AMD's certificate table (GHCB specification 4.1.8.1); the rest is not believed."""
    names = {form for key in map(uuid.UUID, _CHIP_KEYS) for form in (key.bytes, key.bytes_le)}
    for at in range(0, len(table) - 23, 24):
        name, offset, length = struct.unpack_from("<16sII", table, at)
        if name in names:
            return {"certificates": [_b64(table[offset : offset + length])]}
        if not any(name):
            break
    return {}


def boot_log(log: Path) -> dict[str, Any]:
    """The firmware's event log, where there is one of a size that can be sent."""
    try:
        found = log.read_bytes()
    except OSError:  # no such log here, or it is not ours to read: the digests stand without it
        return {}
    return {"event_log": _b64(found)} if 0 < len(found) <= LARGEST_LOG else {}


def configfs_tsm(
    place: Path,
    _nonce: bytes,
    wide: bytes,
    _narrow: bytes,
    *,
    make: Callable[[Path], object] = os.mkdir,
    remove: Callable[[Path], object] = os.rmdir,
    log: Path = CCEL,
) -> dict[str, Any]:
    """A report of SEV-SNP or a quote of TDX, in a directory of its own that is removed again; with a quote of
    TDX the log of what was measured into its registers.
    """
    make(report := place / f"sealwright-{os.getpid()}")
    try:
        before = int((report / "generation").read_text())
        (report / "inblob").write_bytes(wide)
        kind = _PROVIDERS[(report / "provider").read_text().strip()]
        found: dict[str, Any] = {"kind": kind, "evidence": _b64((report / "outblob").read_bytes())}
        if kind == "sev-snp":
            found["endorsements"] = _chip_key((report / "auxblob").read_bytes())
        else:
            found |= boot_log(log)
        if int((report / "generation").read_text()) != before + 1:
            raise OSError(errno.EBUSY, "somebody else wrote to our report")
    finally:
        remove(report)
    return found


def sev_guest(
    place: Path, _nonce: bytes, wide: bytes, _narrow: bytes, *, ioctl: Ioctl = fcntl.ioctl
) -> dict[str, Any]:
    """A report of SEV-SNP with the certificates that the host handed in."""
    size = _CERTIFICATES
    with place.open("r+b", buffering=0) as device:
        for last in (False, True):
            certificates, answer = ctypes.create_string_buffer(size), ctypes.create_string_buffer(4000)
            asked = struct.pack("<64sI28xQI4x", wide, 0, ctypes.addressof(certificates), size)
            request = ctypes.create_string_buffer(asked, len(asked))
            call = struct.pack("<B7xQQQ", 1, ctypes.addressof(request), ctypes.addressof(answer), 0)
            try:
                ioctl(device.fileno(), _SNP_GET_EXT_REPORT, bytearray(call))
                break
            except OSError as error:
                (size,) = struct.unpack_from("<I", request, 104)  # what would be enough
                if last or error.errno not in (errno.ENOSPC, errno.EIO) or not 0 < size <= 1 << 20:
                    raise
    status, length = struct.unpack_from("<II", answer)
    if status or length != _REPORT:
        raise OSError(errno.EIO, f"status {status}, {length} bytes")
    found = {"kind": "sev-snp", "evidence": _b64(answer.raw[32 : 32 + length])}
    return {**found, "endorsements": _chip_key(certificates.raw)}


def _cbor(major: int, data: bytes) -> bytes:
    head = bytes([major + len(data)]) if len(data) < 24 else bytes([major + 24, len(data)])  # noqa: PLR2004
    return head + data


def nsm(
    place: Path, nonce: bytes, wide: bytes, _narrow: bytes, *, ioctl: Ioctl = fcntl.ioctl
) -> dict[str, Any]:
    """An attestation document of a Nitro Enclave."""
    asked = b"\xa1" + _cbor(0x60, b"Attestation") + b"\xa3" + _cbor(0x60, b"user_data") + _cbor(0x40, wide)
    asked += _cbor(0x60, b"nonce") + _cbor(0x40, nonce) + _cbor(0x60, b"public_key") + b"\xf6"
    request, answer = ctypes.create_string_buffer(asked, len(asked)), ctypes.create_string_buffer(0x3000)
    call = struct.pack("<QQQQ", ctypes.addressof(request), len(asked), ctypes.addressof(answer), 0x3000)
    with place.open("r+b", buffering=0) as device:
        ioctl(device.fileno(), _NSM_RAW, bytearray(call))
    head = b"\xa1" + _cbor(0x60, b"Attestation") + b"\xa1" + _cbor(0x60, b"document") + b"\x59"
    if not answer.raw.startswith(head):
        raise OSError(errno.EIO, "the module refuses")
    (length,) = struct.unpack_from(">H", answer, len(head))
    document = answer.raw[len(head) + 2 : len(head) + 2 + length]
    return {"kind": "nitro", "evidence": _b64(document)}
