"""The forms in which TPM evidence arrives, turned into one: our JSON, a hex JSON, and go-tpm-tools' protobuf.

It may never pick among several quotes by anything but the bank: the one over sha256 is taken, or none.
Source: docs/formats/attestation-evidence.md; go-tpm-tools attest.proto for the message numbers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sealwright_attest.errors import Code, Refused
from sealwright_attest.octets import b64, hexadecimal, malformed, strict_object

from .tpm_structures import ALG_SHA256, MAX_PCRS

MAX_PCR_INDEX: Final = MAX_PCRS - 1
_MAX_VARINT: Final = 10
_MAX_FIELDS: Final = 4096


@dataclass(frozen=True, slots=True)
class TpmEvidence:
    """A quote with what came along. All of it is untrusted."""

    message: bytes
    signature: bytes
    ak_public: bytes
    pcrs: Mapping[int, bytes]
    ak_certificates: tuple[bytes, ...] = ()
    event_log: bytes = b""


def read_pcrs(value: object) -> dict[int, bytes]:
    """Return PCR values given as an object of index to hex."""
    if not isinstance(value, dict) or len(value) > MAX_PCRS:
        raise malformed("pcrs is not an object of PCR values")
    found: dict[int, bytes] = {}
    for index, digest in value.items():
        if (
            not index.isdecimal()
            or not index.isascii()
            or int(index) > MAX_PCR_INDEX
            or str(int(index)) != index
        ):
            raise malformed("pcrs has an index that is not a PCR")
        found[int(index)] = hexadecimal(digest, "a PCR value")
    return found


def _from_json(table: dict[str, Any]) -> TpmEvidence:
    if "msg" in table:
        return TpmEvidence(
            hexadecimal(table.get("msg"), "msg"),
            hexadecimal(table.get("sig"), "sig"),
            hexadecimal(table.get("ak_tpmt_public"), "ak_tpmt_public"),
            read_pcrs(table.get("pcrs")),
        )
    unknown = set(table) - {"message", "signature", "ak_public", "pcrs"}
    if unknown:
        raise malformed("the TPM evidence has unknown members", ", ".join(sorted(unknown))[:200])
    return TpmEvidence(
        b64(table.get("message"), "message"),
        b64(table.get("signature"), "signature"),
        b64(table.get("ak_public"), "ak_public"),
        read_pcrs(table.get("pcrs")),
    )


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count in range(_MAX_VARINT):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:  # noqa: PLR2004
            return value, at
    raise malformed("a protobuf number runs past its end")


def fields(unverified_message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and value of each field of a protobuf message (varint and length-delimited only)."""
    at = 0
    for _ in range(_MAX_FIELDS):
        if at == len(unverified_message):
            return
        tag, at = _varint(unverified_message, at)
        if tag & 7 == 0:
            value, at = _varint(unverified_message, at)
            yield tag >> 3, value
        elif tag & 7 == 2:  # noqa: PLR2004
            length, at = _varint(unverified_message, at)
            if at + length > len(unverified_message):
                raise malformed("a protobuf field runs past its end")
            yield tag >> 3, unverified_message[at : at + length]
            at += length
        else:
            raise malformed("a protobuf field of an unknown kind")
    raise malformed("a protobuf message with too many fields")


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise malformed("a protobuf field is not of its kind")
    return value


def _proto_pcrs(message: bytes) -> tuple[int, dict[int, bytes]]:
    bank, found = 0, dict[int, bytes]()
    for number, value in fields(message):
        if number == 1 and isinstance(value, int):
            bank = value
        elif number == 2:  # noqa: PLR2004
            entry = dict(fields(_bytes(value)))
            index = entry.get(1, 0)
            if not isinstance(index, int) or index > MAX_PCR_INDEX or index in found:
                raise malformed("a PCR of an unknown index, or twice")
            found[index] = _bytes(entry.get(2, b""))
    return bank, found


def _from_protobuf(message: bytes) -> TpmEvidence:
    public, log, certificates = b"", b"", []
    quotes: list[tuple[bytes, bytes, dict[int, bytes]]] = []
    for number, value in fields(message):
        if number == 1:
            public = _bytes(value)
        elif number == 2:  # noqa: PLR2004
            inner = dict(fields(_bytes(value)))
            bank, pcrs = _proto_pcrs(_bytes(inner.get(3, b"")))
            if bank == ALG_SHA256:
                quotes.append((_bytes(inner.get(1, b"")), _bytes(inner.get(2, b"")), pcrs))
        elif number == 3:  # noqa: PLR2004
            log = _bytes(value)
        elif number in {6, 7}:
            certificates.append(_bytes(value))
    if len(quotes) != 1:
        raise Refused(Code.PCR_BANK, f"needs exactly one quote over sha256, found {len(quotes)}")
    quote, signature, pcrs = quotes[0]
    return TpmEvidence(quote, signature, public, pcrs, tuple(certificates), log)


def parse_tpm_evidence(unverified_body: bytes) -> TpmEvidence:
    """Parse TPM evidence in any of its forms.

    Raises:
        Refused: `malformed`, or `pcr-bank` when a protobuf has no single sha256 quote.
    """
    if unverified_body[:1] == b"{":
        return _from_json(strict_object(unverified_body))
    return _from_protobuf(unverified_body)
