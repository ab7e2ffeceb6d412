"""AWS Nitro Enclaves: one COSE_Sign1 document with its certificate chain inside.

It may never re-encode what was signed, take the document's timestamp for freshness, or count an enclave whose
PCR0 is zero as anything but a debug one. NitroTPM documents are another kind and are refused here. Source:
AWS Nitro Enclaves NSM API, attestation process; RFC 9052 section 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import cbor2

from sealwright_attest.errors import Code, Refused
from sealwright_attest.keys import Algorithm, ecdsa_raw, require_signature
from sealwright_attest.model import Claims, Evidence, EvidenceLevel, Stage
from sealwright_attest.octets import malformed
from sealwright_attest.roots import Anchors
from sealwright_attest.x509 import (
    DIGITAL_SIGNATURE,
    Certificate,
    build_chain,
    key_usage,
    parse_certificate,
    period,
    require_valid_at,
)

from .context import Context, check_fresh

MAX_DOCUMENT: Final = 16 * 1024
_PROTECTED: Final = bytes.fromhex("a1013822")  # {1: -35}, ES384
_SIGNATURE: Final = 96
_COSE_SIGN1: Final = 18
_DEPTH: Final = 4
_PCR_SIZES: Final = (32, 48, 64)
_MAX_PCRS: Final = 32
_MAX_BUNDLE: Final = 8
_LIMITS: Final = {"public_key": 1024, "user_data": 512, "nonce": 512}
_MEMBERS: Final = {"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", *_LIMITS}
MAX_AHEAD_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class NitroDocument:
    """A parsed document. Parsed is not verified. `timestamp` is milliseconds since the epoch."""

    payload: bytes
    signature: bytes
    module_id: str
    timestamp: int
    pcrs: Mapping[int, bytes]
    certificate: bytes
    cabundle: tuple[bytes, ...]
    public_key: bytes
    user_data: bytes
    nonce: bytes


def _refuse_tag(*_: object) -> Any:
    raise malformed("a CBOR tag that a document does not have")


# Every tag that the library would otherwise turn into a date, a number, a pattern or a shared reference.
_NO_TAGS: Final = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799),
    _refuse_tag,
)


def _strict_cbor(data: bytes, what: str) -> Any:
    """Decode strict CBOR: no indefinite lengths, repeated keys, padded heads, or bytes left over."""
    try:
        value = cbor2.loads(
            data,
            max_depth=_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_NO_TAGS,
        )
        same = cbor2.dumps(value) == data
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as err:
        raise malformed(f"{what} is not strict CBOR", str(err)) from err
    if not same:
        raise malformed(f"{what} is not strict CBOR", "it does not encode back to the same bytes")
    return value


def _bytes(value: object, name: str, limit: int) -> bytes:
    if not isinstance(value, bytes) or len(value) > limit:
        raise malformed(f"{name} is not a byte string of at most {limit}")
    return value


def _pcrs(value: object) -> dict[int, bytes]:
    if not isinstance(value, dict) or not 1 <= len(value) <= _MAX_PCRS:
        raise malformed("pcrs is not a map of PCRs")
    for index, digest in value.items():
        if type(index) is not int or not 0 <= index < _MAX_PCRS:
            raise malformed("pcrs has an index that is not a PCR")
        if not isinstance(digest, bytes) or len(digest) not in _PCR_SIZES:
            raise malformed("a PCR of an unknown size")
    return value


def _fields(payload: bytes, signature: bytes) -> NitroDocument:
    table = _strict_cbor(payload, "the payload")
    if not isinstance(table, dict) or not _MEMBERS >= set(table) >= _MEMBERS - set(_LIMITS):
        raise malformed("the payload does not have the members of a Nitro Enclaves document")
    module, timestamp, bundle = table["module_id"], table["timestamp"], table["cabundle"]
    if not isinstance(module, str) or not module or type(timestamp) is not int or table["digest"] != "SHA384":
        raise malformed("the payload is of an unknown form")
    if not isinstance(bundle, list) or not 1 <= len(bundle) <= _MAX_BUNDLE or timestamp <= 0:
        raise malformed("the payload is of an unknown form")
    options = {name: table.get(name) or b"" for name in _LIMITS}
    return NitroDocument(
        payload=payload,
        signature=signature,
        module_id=module,
        timestamp=timestamp,
        pcrs=_pcrs(table["pcrs"]),
        certificate=_bytes(table["certificate"], "certificate", 1024),
        cabundle=tuple(_bytes(one, "cabundle", 1024) for one in bundle),
        public_key=_bytes(options["public_key"], "public_key", _LIMITS["public_key"]),
        user_data=_bytes(options["user_data"], "user_data", _LIMITS["user_data"]),
        nonce=_bytes(options["nonce"], "nonce", _LIMITS["nonce"]),
    )


def parse_document(unverified_document: bytes) -> NitroDocument:
    """Parse a COSE_Sign1 attestation document, with or without tag 18.

    Raises:
        Refused: `malformed`, `too-large`, or `version-unknown` for another algorithm.
    """
    if len(unverified_document) > MAX_DOCUMENT:
        raise Refused(Code.TOO_LARGE, "the attestation document is too large")
    outer = _strict_cbor(unverified_document, "the document")
    if isinstance(outer, cbor2.CBORTag) and outer.tag == _COSE_SIGN1:
        outer = outer.value
    if not isinstance(outer, list | tuple) or len(outer) != 4 or outer[1] != {}:  # noqa: PLR2004
        raise malformed("not a COSE_Sign1 document")
    protected, _, payload, signature = outer
    if protected != _PROTECTED:
        raise Refused(Code.VERSION_UNKNOWN, "a document that is not signed with ES384 alone")
    if not isinstance(payload, bytes) or not isinstance(signature, bytes) or len(signature) != _SIGNATURE:
        raise malformed("not a COSE_Sign1 document")
    return _fields(payload, signature)


def nitro_chain(document: NitroDocument, anchors: Anchors) -> list[Certificate]:
    """Return the verified chain from the document's certificate to the pinned root.

    Raises:
        Refused: `chain-untrusted` or `signature-invalid`.
    """
    leaf = parse_certificate(document.certificate)
    bundle = [parse_certificate(one) for one in document.cabundle]
    if bundle[0].raw != anchors.nitro.raw:
        raise Refused(Code.CHAIN_UNTRUSTED, "the bundle does not begin with the AWS Nitro Enclaves root")
    chain = build_chain(leaf, bundle[1:], (anchors.nitro,), (Algorithm.ECDSA_SHA384,))
    usage = key_usage(leaf)
    if usage is None or not usage & DIGITAL_SIGNATURE:
        raise Refused(Code.CHAIN_UNTRUSTED, "the document's certificate may not sign documents")
    return chain


def require_document_signature(document: NitroDocument) -> None:
    """Refuse a payload that the document's certificate did not sign (RFC 9052 section 4.4).

    Raises:
        Refused: `signature-invalid`.
    """
    signed = cbor2.dumps(["Signature1", _PROTECTED, b"", document.payload])
    half = _SIGNATURE // 2
    signature = ecdsa_raw(document.signature[:half], document.signature[half:])
    key = parse_certificate(document.certificate).public_key()
    require_signature(key, Algorithm.ECDSA_SHA384, signature, signed)


def _check_chain(document: NitroDocument, context: Context) -> None:
    chain: list[Certificate] = []
    context.checks.attempt(
        Stage.GENUINE,
        "document.chain",
        Code.CHAIN_UNTRUSTED,
        "signed down from the pinned AWS Nitro Enclaves root",
        lambda: chain.extend(nitro_chain(document, context.anchors)),
    )
    for depth, certificate in enumerate(chain or [parse_certificate(document.certificate)]):
        context.checks.attempt(
            Stage.GENUINE,
            f"document.validity.{depth}",
            Code.CERTIFICATE_EXPIRED,
            f"valid at {context.now.isoformat()}",
            partial(require_valid_at, certificate, context.now),
            period(certificate),
        )


def _check_fresh(document: NitroDocument, context: Context) -> None:
    expected = context.expected
    if not expected.bound:
        check_fresh(context, "document.nonce", document.nonce, expected.nonce)
        return
    check_fresh(context, "document.user_data", document.user_data, expected.wide)
    if expected.nonce is not None:
        context.checks.expect(
            Stage.FRESH,
            "document.nonce",
            Code.NONCE_MISMATCH,
            holds=document.nonce == expected.nonce,
            found=document.nonce,
            asked=expected.nonce,
        )


def verify(evidence: Evidence, context: Context) -> Claims:
    """Check a Nitro document and return its claims.

    Raises:
        Refused: the document cannot be read at all.
    """
    document = parse_document(evidence.unverified_body)
    _check_chain(document, context)
    context.checks.attempt(
        Stage.GENUINE,
        "document.signature",
        Code.SIGNATURE_INVALID,
        "ES384 by the document's certificate",
        lambda: require_document_signature(document),
    )
    _check_fresh(document, context)
    ahead = document.timestamp - int(context.now.timestamp() * 1000)
    context.checks.expect(
        Stage.FRESH,
        "document.timestamp",
        Code.STALE,
        holds=ahead <= MAX_AHEAD_MS,
        found=datetime.fromtimestamp(min(document.timestamp / 1000, 253402300799), tz=UTC).isoformat(),
        asked="not after now",
    )
    pcrs = {f"pcr{index}": value.hex() for index, value in sorted(document.pcrs.items())}
    signer = document.pcrs.get(8, b"")
    return Claims(
        level=EvidenceLevel.HARDWARE,
        product="Nitro",
        measurements={"launch": pcrs.get("pcr0", ""), **pcrs},
        image_signers={"pcr8": signer.hex()} if any(signer) else {},
        instance={"module_id": document.module_id},
        settings={
            "timestamp_ms": document.timestamp,
            "debug": not any(document.pcrs.get(0, b"")),
            "public_key": document.public_key.hex(),
            "user_data": document.user_data.hex(),
            "nonce": document.nonce.hex(),
        },
    )
