"""Private keys in vendors' containers: Windows CNG and CAPI blobs, SymCrypt structures, Java key stores.

Sources: Microsoft bcrypt.h and wincrypt.h (BCRYPT_RSAKEY_BLOB, BCRYPT_ECCKEY_BLOB, PRIVATEKEYBLOB), OpenJDK
sun.security.provider.JavaKeyStore. May never do: report a magic number without the layout behind it.
"""

from __future__ import annotations

from sealwright_dumps.detectors.der import DETECTOR, looks_random
from sealwright_dumps.detectors.public import rsa_key_id
from sealwright_dumps.model import Confidence, Hit

_BIT_LENGTHS = range(512, 16385)
_ECC_SIZES = (32, 48, 66)


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def cng_rsa(data: bytes, at: int) -> Hit | None:
    """BCRYPT_RSAPRIVATE_BLOB (RSA2) or BCRYPT_RSAFULLPRIVATE_BLOB (RSA3): big-endian e, n, p, q follow the
    header.
    """
    bits, exponent, modulus, prime_p, prime_q = (_u32(data, at + 4 * place) for place in range(1, 6))
    if bits not in _BIT_LENGTHS or modulus != (bits + 7) // 8 or exponent > 8:
        return _capi_rsa(data, at)
    cursor = at + 24
    numbers: list[int] = []
    for size in (exponent, modulus, prime_p, prime_q):
        numbers.append(int.from_bytes(data[cursor : cursor + size], "big"))
        cursor += size
    public, product, first, second = numbers
    if first < 2 or first * second != product:
        return None
    name = rsa_key_id(product, public)
    return Hit(DETECTOR, "cng-rsa", "binary", f"rsa-{bits}", Confidence.CONFIRMED, at, cursor, name)


def _capi_rsa(data: bytes, at: int) -> Hit | None:
    """PRIVATEKEYBLOB: an 8-byte header, RSA2, bits, e, then little-endian n, p, q."""
    bits, public = _u32(data, at + 4), _u32(data, at + 8)
    if bits not in _BIT_LENGTHS or bits % 16 or data[max(0, at - 8) : at - 6] != b"\x07\x02":
        return None
    size, cursor = bits // 8, at + 12
    product = int.from_bytes(data[cursor : cursor + size], "little")
    first = int.from_bytes(data[cursor + size : cursor + size + size // 2], "little")
    second = int.from_bytes(data[cursor + size + size // 2 : cursor + 2 * size], "little")
    if first < 2 or first * second != product:
        return None
    end = cursor + size * 9 // 2
    name = rsa_key_id(product, public)
    return Hit(DETECTOR, "capi-rsa", "binary", f"rsa-{bits}", Confidence.CONFIRMED, at - 8, end, name)


def cng_ecc(data: bytes, at: int) -> Hit | None:
    """BCRYPT_ECCPRIVATE_BLOB: magic ECS2, ECS4, ECS6 (or ECK…), the size, then X, Y, d."""
    size = _u32(data, at + 4)
    if size not in _ECC_SIZES or not looks_random(data[at + 8 + 2 * size : at + 8 + 3 * size]):
        return None
    end = at + 8 + 3 * size
    return Hit(DETECTOR, "cng-ecc", "binary", f"ec-{8 * size}", Confidence.LIKELY, at, end)


def symcrypt_rsa(data: bytes, at: int) -> Hit | None:
    """The key structure of SymCrypt in a Windows process: a size of 0x28 before the magic MSRK."""
    if data[max(0, at - 4) : at] != b"\x28\x00\x00\x00":
        return None
    return Hit(DETECTOR, "symcrypt-rsa", "binary", "rsa", Confidence.LIKELY, at - 4, at + 36)


def java_store(data: bytes, at: int) -> Hit | None:
    """JKS or JCEKS: magic, version 1 or 2, count, then an entry with tag 1 (private key) somewhere at its
    start.
    """
    version = int.from_bytes(data[at + 4 : at + 8], "big")
    count = int.from_bytes(data[at + 8 : at + 12], "big")
    tag = int.from_bytes(data[at + 12 : at + 16], "big")
    if version not in (1, 2) or not 1 <= count <= 10000 or tag not in (1, 2, 3):
        return None
    alias = int.from_bytes(data[at + 16 : at + 18], "big")
    end = min(len(data), at + 4096)
    if (tag == 2 and count == 1) or alias > 512:  # one trusted certificate: nothing private
        return None
    return Hit(DETECTOR, "java-keystore", "binary", "", Confidence.LIKELY, at, end)
