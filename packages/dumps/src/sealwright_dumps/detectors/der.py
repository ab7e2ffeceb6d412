"""Private keys in DER: PKCS#1, PKCS#8 (clear and encrypted), SEC1, PKCS#12.

Sources: RFC 8017 A.1.2, RFC 5958, RFC 5915, RFC 7292, RFC 9881 (ML-DSA), RFC 8410 (EdDSA).
May never do: call something a key because of its header; the numbers inside must agree, or it says "likely".
"""

from __future__ import annotations

from sealwright_dumps.detectors.asn1 import (
    OCTETS,
    OID,
    Node,
    children,
    declared_length,
    enclosing_sequence,
    integer,
    read,
)
from sealwright_dumps.detectors.public import LOAD_ERRORS, algorithm_of, key_id, load_private_der, rsa_key_id
from sealwright_dumps.errors import Malformed
from sealwright_dumps.model import Confidence, Hit

DETECTOR = "structure"
_RSA_NUMBERS = 9
_TRUNCATED_LEAST = 64  # bytes of a cut-off key that are worth reporting
_DIVERSE = 20  # distinct values expected among 32 random bytes: about 30; a constant table has far fewer
_SEED = 32
_SEED_ONLY = ("ed25519", "x25519", "ed448", "x448")  # any bytes are a key: nothing inside proves it
_LARGEST_BARE = 73


def looks_random(raw: bytes) -> bool:
    """Whether up to 64 bytes could be secret: many distinct values, no long repetition."""
    return (
        len(set(raw)) >= min(_DIVERSE * len(raw) // _SEED, 40)
        and raw[: len(raw) // 2] != raw[len(raw) // 2 :]
    )


def pkcs1(data: bytes, at: int) -> Hit | None:
    """RSAPrivateKey: `at` is its version INTEGER (02 01 00). The product of its primes must be its
    modulus.
    """
    try:
        node = enclosing_sequence(data, at)
        numbers = [integer(data, child) for child in children(data, node)[:_RSA_NUMBERS]]
    except Malformed:
        return _cut_off_rsa(data, at)
    if len(numbers) < _RSA_NUMBERS:
        return None
    _, modulus, exponent, _, prime_p, prime_q = numbers[:6]
    proved = prime_p > 1 and prime_q > 1 and prime_p * prime_q == modulus
    bits = modulus.bit_length()
    if not proved:
        return None
    return Hit(
        DETECTOR,
        "pkcs1",
        "der",
        f"rsa-{bits}",
        Confidence.CONFIRMED,
        node.start,
        node.end,
        rsa_key_id(modulus, exponent),
    )


def _cut_off_rsa(data: bytes, at: int) -> Hit | None:
    """A key that the buffer ends in, or whose tail was overwritten: n, e and the start of d are there."""
    length = declared_length(data, at)
    if not length:
        return None
    try:
        modulus = read(data, at + 3, len(data))
        exponent = read(data, modulus.end, len(data))
        value = integer(data, modulus)
        public = integer(data, exponent)
    except Malformed:
        return None
    if exponent.end + 4 + _TRUNCATED_LEAST > len(data) or data[exponent.end] != modulus.tag:
        return None
    plausible = value & 1 and public & 1 and value.bit_length() % 8 == 0 and value.bit_length() >= 512
    if not plausible or not looks_random(data[exponent.end + 4 : exponent.end + 4 + _TRUNCATED_LEAST]):
        return None
    end = min(len(data), at + length)
    return Hit(
        DETECTOR,
        "pkcs1",
        "der-damaged",
        f"rsa-{value.bit_length()}",
        Confidence.LIKELY,
        at - 4,
        end,
        rsa_key_id(value, public),
    )


def pkcs8(data: bytes, at: int) -> Hit | None:
    """PrivateKeyInfo: `at` is its AlgorithmIdentifier; before it stands the version, before that the
    SEQUENCE.
    """
    version = at - 3
    if data[max(0, version) : at] not in (b"\x02\x01\x00", b"\x02\x01\x01"):
        return None
    try:
        node = enclosing_sequence(data, version)
        parts = children(data, node)
    except Malformed:
        return _cut_off_pkcs8(data, at)
    if len(parts) < 3 or parts[2].tag != OCTETS:
        return None
    return _loaded(data, node, "pkcs8") or _unloadable(data, node, parts)


def _loaded(data: bytes, node: Node, kind: str) -> Hit | None:
    blob = data[node.start : node.end]
    try:
        key = load_private_der(blob)
        name = key_id(key.public_key())
    except LOAD_ERRORS:
        return None
    if not looks_random(blob[-_SEED:]) and not looks_random(blob[-2 * _SEED : -_SEED]):
        return None
    algorithm = algorithm_of(key)
    bare = algorithm in _SEED_ONLY and len(blob) <= _LARGEST_BARE
    if bare and b"\x06\x03\x2b\x65" in blob[16:]:
        return None  # a table of such prefixes, as in every library that writes them
    confidence = Confidence.LIKELY if bare else Confidence.CONFIRMED
    return Hit(DETECTOR, kind, "der", algorithm, confidence, node.start, node.end, name)


def _unloadable(data: bytes, node: Node, parts: list[Node]) -> Hit | None:
    """Complete, of an algorithm that the library does not know (SLH-DSA, a new parameter set)."""
    body = data[parts[2].body : parts[2].end]
    oid = next((data[n.body : n.end].hex() for n in children(data, parts[1]) if n.tag == OID), "")
    if len(body) < _SEED or not looks_random(body[-_SEED:]):
        return None
    return Hit(DETECTOR, "pkcs8", "der", f"oid-{oid}", Confidence.LIKELY, node.start, node.end)


def _cut_off_pkcs8(data: bytes, at: int) -> Hit | None:
    length = declared_length(data, at - 3)
    rest = data[at : at + length][32 : 32 + _TRUNCATED_LEAST]
    if len(rest) < _TRUNCATED_LEAST or not looks_random(rest):
        return None
    end = min(len(data), at - 3 + length)
    return Hit(DETECTOR, "pkcs8", "der-damaged", "", Confidence.LIKELY, at - 7, end)


def sec1(data: bytes, at: int) -> Hit | None:
    """ECPrivateKey: `at` is its version INTEGER (02 01 01), followed by the scalar's OCTET STRING."""
    try:
        node = enclosing_sequence(data, at)
        parts = children(data, node)
    except Malformed:
        return None
    if len(parts) < 2 or parts[1].tag != OCTETS:
        return None
    found = _loaded(data, node, "sec1")
    if found:
        return found
    scalar = data[parts[1].body : parts[1].end]
    if not looks_random(scalar) or len(scalar) not in (28, 32, 48, 66):
        return None
    # inside PKCS#8 the curve is named outside: the PKCS#8 detector proves that one
    return Hit(DETECTOR, "sec1", "der", f"ec-{8 * len(scalar)}", Confidence.LIKELY, node.start, node.end)


def encrypted_pkcs8(data: bytes, at: int) -> Hit | None:
    """EncryptedPrivateKeyInfo with PBES2: `at` is the OID's tag, two SEQUENCE headers before it."""
    try:
        inner = enclosing_sequence(data, at)
        node = enclosing_sequence(data, inner.start)
        parts = children(data, node)
    except Malformed:
        return None
    if len(parts) != 2 or parts[1].tag != OCTETS or parts[1].end - parts[1].body < _SEED:
        return None
    return Hit(DETECTOR, "pkcs8-encrypted", "der", "", Confidence.LIKELY, node.start, node.end)


def pkcs12(data: bytes, at: int) -> Hit | None:
    """PFX: `at` is its version INTEGER (02 01 03), then the ContentInfo of type data or signedData."""
    try:
        node = enclosing_sequence(data, at)
        content = read(data, at + 3, node.end)
        parts = children(data, content)
    except Malformed:
        return None
    if len(parts) != 2 or parts[0].tag != OID:
        return None
    return Hit(DETECTOR, "pkcs12", "der", "", Confidence.LIKELY, node.start, node.end)


def content_info(data: bytes, at: int) -> Hit | None:
    """A ContentInfo of type data whose OID's tag stands at `at`; a PFX's version stands before its header."""
    for header in (4, 3, 2, 5):
        version = at - header - 3
        if version >= 2 and data[version : version + 3] == b"\x02\x01\x03":
            return pkcs12(data, version)
    return None
