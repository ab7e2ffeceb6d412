"""Writes DER: what the certificates, revocation lists and extensions of synthetic evidence are made of.

It may never be used to read anything; `der` does that, strictly.
"""

from datetime import UTC, datetime

from sealwright_attest.der import oid


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return one value with its tag and minimal length."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:  # noqa: PLR2004
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE."""
    return tlv(0x30, *parts)


def integer(value: int) -> bytes:
    """Return an INTEGER that is not negative."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(value: bytes) -> bytes:
    """Return an OCTET STRING."""
    return tlv(0x04, value)


def bits(value: bytes, unused: int = 0) -> bytes:
    """Return a BIT STRING."""
    return tlv(0x03, bytes([unused]), value)


def boolean(*, value: bool) -> bytes:
    """Return a BOOLEAN."""
    return tlv(0x01, b"\xff" if value else b"\x00")


def identifier(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    return tlv(0x06, oid(dotted))


def name(common_name: str) -> bytes:
    """Return a Name of an organisation and a common name."""
    pairs = (("2.5.4.10", "Synthetic, trusted by nobody"), ("2.5.4.3", common_name))
    return sequence(
        *(tlv(0x31, sequence(identifier(kind), tlv(0x0C, text.encode()))) for kind, text in pairs)
    )


def time(moment: datetime) -> bytes:
    """Return a UTCTime up to 2049, a GeneralizedTime after it (RFC 5280 section 4.1.2.5)."""
    moment = moment.astimezone(UTC)
    if moment.year < 2050:  # noqa: PLR2004
        return tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    """Return one extension around a value."""
    return sequence(identifier(dotted), *([boolean(value=True)] if critical else []), octets(value))
