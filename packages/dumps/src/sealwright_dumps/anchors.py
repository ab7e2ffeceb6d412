"""The table of literals that private keys cannot do without, and who confirms each.

A literal is chosen so that public material does not hold it (the PKCS#8 ones include the OCTET STRING's tag,
which a
certificate has not). May never do: hold a literal shorter than the sieve allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sealwright_dumps.detectors import der, text, vendor
from sealwright_dumps.model import Hit

Confirm = Callable[[bytes, int], Hit | None]


@dataclass(frozen=True, slots=True)
class Anchor:
    """`confirm` is called with the place of the literal plus `shift`.

    `text`: it is ASCII, so it also occurs as UTF-16. `spelled`: look for it in base64 and hexadecimal as
    well.
    """

    literal: bytes
    confirm: Confirm
    shift: int = 0
    text: bool = False
    spelled: bool = False


_EC = "06072a8648ce3d0201"
_NAMED_CURVES = ("06082a8648ce3d030107", "06052b81040022", "06052b81040023", "06052b8104000a")


def _hex(literal: str, confirm: Confirm, shift: int = 0, *, spelled: bool = True) -> Anchor:
    return Anchor(bytes.fromhex(literal), confirm, shift, spelled=spelled)


def _algorithm(literal: str, shift: int = 0) -> Anchor:
    """A PKCS#8 AlgorithmIdentifier with what must follow it; `confirm` gets the place of its SEQUENCE."""
    return _hex(literal, der.pkcs8, shift)


_PKCS1 = (
    Anchor(bytes.fromhex("0201000282"), der.pkcs1),
    Anchor(bytes.fromhex("0201000281"), der.pkcs1),
    *(
        # the spelled forms need more determined characters than the raw ones
        _hex(head + "00", der.pkcs1)
        for head in ("02010002820101", "02010002820181", "02010002820201", "020100028181", "0201000281c1")
    ),
)
_PKCS8 = (
    _algorithm("300d06092a864886f70d010101050004"),
    _algorithm("300b06092a864886f70d01010a"),
    *(_algorithm(_EC + curve + "04", -2) for curve in _NAMED_CURVES),
    *(_algorithm(f"300506032b65{oid}04", 0) for oid in ("6e", "6f", "70", "71")),
    *(_algorithm(f"300b060960864801650304{oid}04") for oid in ("0311", "0312", "0313")),
    *(_algorithm(f"300b060960864801650304{oid}04") for oid in ("0401", "0402", "0403")),
    *(_algorithm(f"300b06096086480165030403{oid:02x}04") for oid in range(0x14, 0x20)),
)
_SEC1 = (
    *(Anchor(bytes.fromhex(head), der.sec1) for head in ("0201010420", "0201010430", "0201010442")),
    *(
        _hex(head, der.sec1, shift)
        for head, shift in (
            ("30770201010420", 2),
            ("30740201010420", 2),
            ("3081a40201010430", 3),
            ("3081dc0201010442", 3),
        )
    ),
)
_CONTAINERS = (
    _hex("06092a864886f70d01050d", der.encrypted_pkcs8),
    Anchor(bytes.fromhex("06092a864886f70d010701a0"), der.content_info),
    *(_hex("02010330" + length, der.pkcs12) for length in ("82", "83")),
    Anchor(b"RSA2", vendor.cng_rsa),
    Anchor(b"RSA3", vendor.cng_rsa),
    *(Anchor(f"EC{kind}{size}".encode(), vendor.cng_ecc) for kind in "SK" for size in "246"),
    Anchor(b"MRSK\x00"[:4], vendor.symcrypt_rsa),
    Anchor(b"KRSM", vendor.symcrypt_rsa),
    Anchor(b"\xfe\xed\xfe\xed\x00\x00\x00", vendor.java_store),
    Anchor(b"\xce\xce\xce\xce\x00\x00\x00", vendor.java_store),
)
_TEXT = (
    Anchor(b"PRIVATE KEY-----", text.pem, text=True),
    Anchor(b"PRIVATE KEY BLOCK-----", text.pem, text=True),
    Anchor(b'"kty"', text.jwk, text=True, spelled=True),
    Anchor(b'\\"kty\\"', text.jwk, text=True),
    Anchor(b"'kty'", text.jwk, text=True),
    Anchor(b"PuTTY-User-Key-File-", text.putty, text=True, spelled=True),
    Anchor(b"openssh-key-v1\x00", text.openssh, spelled=True),
    Anchor(b"-----BEGIN ", lambda _data, _at: None, text=False, spelled=True),
)

STRUCTURE: tuple[Anchor, ...] = (*_PKCS1, *_PKCS8, *_SEC1, *_CONTAINERS, *_TEXT)
