"""Certificate authorities of synthetic evidence: keys made at run time, certificates and revocation lists by
them.

It may never write a key anywhere. Serial numbers may be 0, as AMD's are, which is why no certificate builder
of a general library is used.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from sealwright_attest.errors import Misconfigured
from sealwright_attest.keys import Algorithm
from sealwright_attest.synthetic import encode
from sealwright_attest.x509 import ALGORITHMS, Certificate, parse_certificate

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
RSA_BITS: Final = 2048
BEGIN: Final = datetime(2020, 1, 1, tzinfo=UTC)
END: Final = datetime(2049, 1, 1, tzinfo=UTC)
_SERIALS = count(1000)
_IDENTIFIERS: Final = {algorithm: der for der, algorithm in ALGORITHMS.items()}
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def new_key(algorithm: Algorithm) -> PrivateKey:
    """Return a fresh key that signs with this algorithm."""
    if algorithm is Algorithm.ECDSA_SHA256:
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm is Algorithm.ECDSA_SHA384:
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(65537, RSA_BITS)


def sign(key: PrivateKey, algorithm: Algorithm, data: bytes) -> bytes:
    """Return a signature: PKCS#1 bytes, or DER for ECDSA."""
    family, digest_name = algorithm.value.replace("-salt48", "").rsplit("-", 1)
    digest = _HASHES[digest_name]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(digest))
    if family == "rsassa-pkcs1":
        return key.sign(data, padding.PKCS1v15(), digest)
    return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)


def public_der(key: PrivateKey) -> bytes:
    """Return the SubjectPublicKeyInfo of a key."""
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def to_pem(*certificates: bytes) -> str:
    """Return certificates as PEM text."""
    blocks = []
    for der in certificates:
        text = base64.b64encode(der).decode()
        lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
        blocks.append(f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
    return "".join(blocks)


@dataclass(frozen=True, slots=True)
class Request:
    """What a certificate is to say.

    Attributes:
        common_name: of the subject.
        key: the subject's public key (DER).
        begin: start of its validity.
        end: end of its validity.
        path_length: how many authorities may be below it; None for an end entity.
        extensions: encoded extensions beside basic constraints and key usage.
        serial: serial number; None for a fresh one.
        usage: first byte of the key usage bits; 0 for none.
    """

    common_name: str
    key: bytes
    begin: datetime = BEGIN
    end: datetime = END
    path_length: int | None = None
    extensions: tuple[bytes, ...] = ()
    serial: int | None = None
    usage: int = 0x80


def _key_identifier(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:20]


def _extensions(request: Request, issuer_key: bytes) -> bytes:
    is_authority = request.path_length is not None
    constraints = (
        [encode.boolean(value=True), encode.integer(request.path_length or 0)] if is_authority else []
    )
    found = [encode.extension("2.5.29.19", encode.sequence(*constraints), critical=True)]
    usage = 0x06 if is_authority else request.usage
    if usage:
        unused = (usage & -usage).bit_length() - 1
        found.append(encode.extension("2.5.29.15", encode.bits(bytes([usage]), unused), critical=True))
    found.append(encode.extension("2.5.29.14", encode.octets(_key_identifier(request.key))))
    authority = encode.sequence(encode.tlv(0x80, _key_identifier(issuer_key)))
    found.append(encode.extension("2.5.29.35", authority))
    return encode.tlv(0xA3, encode.sequence(*found, *request.extensions))


@dataclass(frozen=True, slots=True)
class Authority:
    """A key with its certificate that can issue further ones with one algorithm."""

    common_name: str
    algorithm: Algorithm
    key: PrivateKey
    certificate: bytes = field(repr=False)

    def issue(self, request: Request) -> bytes:
        """Return a certificate (DER) signed by this authority."""
        return _certificate(request, self.common_name, self.key, self.algorithm)

    def subordinate(
        self, common_name: str, path_length: int = 0, algorithm: Algorithm | None = None
    ) -> "Authority":
        """Return a new authority below this one."""
        used = algorithm or self.algorithm
        key = new_key(used)
        der = self.issue(Request(common_name, public_der(key), path_length=path_length))
        return Authority(common_name, used, key, der)

    def revocation_list(self, serials: Iterable[int], begin: datetime, end: datetime) -> bytes:
        """Return a version 2 revocation list (DER) by this authority."""
        entries = [encode.sequence(encode.integer(one), encode.time(begin)) for one in serials]
        authority = encode.sequence(encode.tlv(0x80, _key_identifier(public_der(self.key))))
        extensions = encode.sequence(
            encode.extension("2.5.29.35", authority), encode.extension("2.5.29.20", encode.integer(1))
        )
        identifier = encode.sequence(_identifier(self.algorithm))
        tbs = encode.sequence(
            encode.integer(1),
            identifier,
            encode.name(self.common_name),
            encode.time(begin),
            encode.time(end),
            *([encode.sequence(*entries)] if entries else []),
            encode.tlv(0xA0, extensions),
        )
        return encode.sequence(tbs, identifier, encode.bits(sign(self.key, self.algorithm, tbs)))

    def parsed(self) -> Certificate:
        """Return this authority's certificate as an anchor."""
        return parse_certificate(self.certificate)


def _identifier(algorithm: Algorithm) -> bytes:
    try:
        return _IDENTIFIERS[algorithm]
    except KeyError as err:
        raise Misconfigured(f"no certificate is signed with {algorithm}") from err


def _certificate(request: Request, issuer: str, key: PrivateKey, algorithm: Algorithm) -> bytes:
    identifier = encode.sequence(_identifier(algorithm))
    serial = next(_SERIALS) if request.serial is None else request.serial
    tbs = encode.sequence(
        encode.tlv(0xA0, encode.integer(2)),
        encode.integer(serial),
        identifier,
        encode.name(issuer),
        encode.sequence(encode.time(request.begin), encode.time(request.end)),
        encode.name(request.common_name),
        request.key,
        _extensions(request, public_der(key)),
    )
    return encode.sequence(tbs, identifier, encode.bits(sign(key, algorithm, tbs)))


def root(common_name: str, algorithm: Algorithm, path_length: int = 3) -> Authority:
    """Return a new self-signed root."""
    key = new_key(algorithm)
    request = Request(common_name, public_der(key), path_length=path_length)
    return Authority(common_name, algorithm, key, _certificate(request, common_name, key, algorithm))
