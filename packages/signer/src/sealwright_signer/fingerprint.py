"""Salted fingerprints of a new key's secrets: a scanner can find the key anywhere, and nobody can learn it.

Format and what it gives away: docs/formats/fingerprints.md. May never let out more than three bytes of a
secret for each mark, nor leave behind one of the copies that it works on.
"""

import ctypes
import hmac
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sealwright_signer.kernel import libc

DOMAIN = b"sealwright-fingerprint/1\0"
WINDOW, TAG, DIGITS = 24, 3, 15  # every fourth 30-bit digit of a Python int starts at a multiple of 15 bytes
_RSA = {"p": "p", "q": "q", "d": "d", "dp": "dmp1", "dq": "dmq1", "qi": "iqmp"}
_MARKS = (48, 1), (160, 2), (512, 4)  # up to this length, so many marks
_INT, _BYTES = 24, 32  # where the value of an int and of a bytes object starts
# glibc keeps up to seven freed blocks of each size at hand, the last one first. All these are taken before a
# copy can be made: then every copy that is freed is among those taken afterwards, which are cleared.
_SIZES = [size for size in range(24, 424, 16) for _ in range(7)]
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]


def of(key: Any, salt: bytes) -> list[dict[str, Any]]:
    """One entry for each secret of a private key of a kind that we make."""
    before = [libc.malloc(size) for size in _SIZES]
    entries = _entries(key, salt)
    after = [libc.malloc(size) for size in _SIZES]
    for block, size in zip(after, _SIZES, strict=True):
        ctypes.memset(block, 0, size)
    for block in before + after:
        libc.free(ctypes.c_void_p(block))
    return entries


def _entries(key: Any, salt: bytes) -> list[dict[str, Any]]:
    if isinstance(key, rsa.RSAPrivateKey):
        numbers, size = key.private_numbers(), key.key_size // 8
        sizes = {name: size if name == "d" else size // 2 for name in _RSA}
        # Montgomery's constants, which give the primes away: they stay in memory beside the primes
        squares = [(f"rsa-rr-{n}", (1 << 8 * size) % getattr(numbers, n), size // 2) for n in "pq"]
        listed = [(f"rsa-{n}", getattr(numbers, _RSA[n]), sizes[n]) for n in _RSA]
        return [_integer(*one, salt) for one in listed + squares]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return [_integer("ec-d", key.private_numbers().private_value, key.key_size // 8, salt)]
    return [_entry("ed25519-seed", "bytes", key.private_bytes_raw(), salt)]


def _integer(name: str, value: int, size: int, salt: bytes) -> dict[str, Any]:
    raw = value.to_bytes(size, "little")
    ctypes.memset(id(value) + _INT, 0, value.__sizeof__() - _INT)
    return _entry(name, "integer", raw, salt)


def _entry(name: str, kind: str, raw: bytes, salt: bytes) -> dict[str, Any]:
    size, step = len(raw), DIGITS if kind == "integer" else 1
    count = next(count for longest, count in _MARKS if size <= longest)
    view, marks = memoryview(raw), list[dict[str, Any]]()
    for part in range(count):
        low, high = size * part // count, size * (part + 1) // count
        places = [at for at in range(0, high - TAG + 1, step) if low <= at]
        at = min(places, key=lambda place: (_commonness(view[place : place + TAG]), place))
        window = min(max(low, at - (WINDOW - TAG) // 2), high - WINDOW)
        mac = hmac.new(salt, DOMAIN, "sha256")
        mac.update(view[window : window + WINDOW])
        tag = view[at : at + TAG].hex()
        marks.append({"at": at, "window": window, "tag": tag, "mac": mac.digest()[:16].hex()})
    view.release()
    ctypes.memset(id(raw) + _BYTES, 0, size)
    return {"name": name, "kind": kind, "length": size, "marks": marks}


def _commonness(tag: memoryview) -> int:
    """How usual three bytes are in ordinary memory."""
    usual = sum(3 if byte in (0, 0xFF) else byte < 0x7F for byte in tag)  # noqa: PLR2004 - ASCII
    return usual + 4 * (TAG - len(set(tag)))
