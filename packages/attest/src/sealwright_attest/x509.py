"""X.509 certificates by our own strict DER reader, and chains to pinned anchors.

It may never trust a self-signed certificate that came with the evidence, follow an issuer URL, read the
clock, or try an algorithm that the caller did not name. Source: RFC 5280; AMD document 57230 for the
endorsement keys.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from . import der
from .errors import Code, Refused
from .keys import Algorithm, PublicKey, load_spki, require_signature
from .octets import b64, malformed

MAX_CERTIFICATE: Final = 16 * 1024
MAX_PEM_CERTIFICATES: Final = 16
MAX_CHAIN: Final = 6

COMMON_NAME: Final = der.oid("2.5.4.3")
BASIC_CONSTRAINTS: Final = der.oid("2.5.29.19")
KEY_USAGE: Final = der.oid("2.5.29.15")
EXTENDED_KEY_USAGE: Final = der.oid("2.5.29.37")
SUBJECT_ALT_NAME: Final = der.oid("2.5.29.17")
_UNDERSTOOD: Final = {BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE, SUBJECT_ALT_NAME}

KEY_CERT_SIGN: Final = 0x04
CRL_SIGN: Final = 0x02
DIGITAL_SIGNATURE: Final = 0x80

_PSS_HEAD = (
    "06092a864886f70d01010a30{}a00f300d06096086480165030402020500a11c301a06092a864886f70d010108"
    "300d06096086480165030402020500a203020130{}"
)
# The whole AlgorithmIdentifier is compared, parameters included: nothing is left to interpretation.
ALGORITHMS: Final[dict[bytes, Algorithm]] = {
    bytes.fromhex(_PSS_HEAD.format("34", "")): Algorithm.PSS_SHA384_SALT48,
    bytes.fromhex(_PSS_HEAD.format("39", "a303020101")): Algorithm.PSS_SHA384_SALT48,
    bytes.fromhex("06092a864886f70d01010b0500"): Algorithm.RSA_SHA256,
    bytes.fromhex("06092a864886f70d01010c0500"): Algorithm.RSA_SHA384,
    bytes.fromhex("06092a864886f70d01010d0500"): Algorithm.RSA_SHA512,
    bytes.fromhex("06082a8648ce3d040302"): Algorithm.ECDSA_SHA256,
    bytes.fromhex("06082a8648ce3d040303"): Algorithm.ECDSA_SHA384,
    bytes.fromhex("06082a8648ce3d040304"): Algorithm.ECDSA_SHA512,
}


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension: whether it is critical, and the bytes inside its OCTET STRING."""

    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class Certificate:
    """The parts of a certificate that a verifier looks at. Parsed is not verified.

    Times are Unix seconds; names are the DER of the Name; extensions are keyed by OID content bytes.
    """

    raw: bytes
    tbs: bytes
    serial: int
    algorithm: bytes
    issuer: bytes
    subject: bytes
    not_before: int
    not_after: int
    spki: bytes
    extensions: Mapping[bytes, Extension]
    signature: bytes

    def public_key(self) -> PublicKey:
        """Return the subject's key; refuses kinds and sizes that no verifier here uses."""
        return load_spki(self.spki)

    def common_name(self) -> str:
        """Return the subject's one common name, or an empty text."""
        return common_name(self.subject)

    def issuer_name(self) -> str:
        """Return the issuer's one common name, or an empty text."""
        return common_name(self.issuer)


def common_name(name: bytes) -> str:
    """Return the one common name of a DER Name, or an empty text."""
    found: list[str] = []
    relative = der.one(name, der.SEQUENCE)
    while not relative.at_end():
        attributes = relative.enter(der.SET)
        while not attributes.at_end():
            pair = attributes.enter(der.SEQUENCE)
            kind = pair.read(der.OID)
            value = pair.read(pair.peek())
            pair.require_end()
            if kind == COMMON_NAME:
                found.append(value.decode("utf-8", "replace"))
    return found[0] if len(found) == 1 else ""


_TIME_FORMS: Final = {
    der.UTC_TIME: re.compile(rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z"),
    der.GENERALIZED_TIME: re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z"),
}
_CENTURY_PIVOT: Final = 50


def read_time(reader: der.DerReader) -> int:
    """Return the next UTCTime or GeneralizedTime in Unix seconds (RFC 5280 section 4.1.2.5)."""
    tag = reader.peek()
    form = _TIME_FORMS.get(tag)
    if form is None:
        raise malformed("a certificate time of an unknown form")
    match = form.fullmatch(reader.read(tag))
    if match is None:
        raise malformed("a certificate time of an unknown form")
    year, month, day, hour, minute, second = (int(group) for group in match.groups())
    if tag == der.UTC_TIME:
        year += 1900 if year >= _CENTURY_PIVOT else 2000
    try:
        return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError as err:
        raise malformed("a certificate time that does not exist", str(err)) from err


def read_extensions(reader: der.DerReader) -> dict[bytes, Extension]:
    """Return a list of extensions; a repeated one is refused."""
    found: dict[bytes, Extension] = {}
    while not reader.at_end():
        one = reader.enter(der.SEQUENCE)
        kind = one.read(der.OID)
        critical = one.read_boolean() if one.peek() == der.BOOLEAN else False
        value = one.read(der.OCTET_STRING)
        one.require_end()
        if kind in found:
            raise malformed("a certificate extension occurs twice")
        found[kind] = Extension(critical, value)
    return found


def parse_certificate(unverified_der: bytes) -> Certificate:
    """Parse one version 3 certificate.

    Raises:
        Refused: `malformed` or `too-large`.
    """
    if len(unverified_der) > MAX_CERTIFICATE:
        raise Refused(Code.TOO_LARGE, "a certificate is too large")
    outer = der.one(unverified_der, der.SEQUENCE)
    tbs_whole = outer.read_whole(der.SEQUENCE)
    algorithm = outer.read(der.SEQUENCE)
    signature = outer.read_bit_string()
    outer.require_end()
    tbs = der.one(tbs_whole, der.SEQUENCE)
    version = tbs.enter(0xA0)
    if version.read_integer() != 2:  # noqa: PLR2004
        raise malformed("not an X.509 version 3 certificate")
    version.require_end()
    serial = tbs.read_integer()
    if tbs.read(der.SEQUENCE) != algorithm:
        raise malformed("a certificate names two signature algorithms")
    issuer = tbs.read_whole(der.SEQUENCE)
    validity = tbs.enter(der.SEQUENCE)
    not_before, not_after = read_time(validity), read_time(validity)
    validity.require_end()
    subject = tbs.read_whole(der.SEQUENCE)
    spki = tbs.read_whole(der.SEQUENCE)
    extensions: dict[bytes, Extension] = {}
    if tbs.peek() == 0xA3:  # noqa: PLR2004
        wrapper = tbs.enter(0xA3)
        extensions = read_extensions(wrapper.enter(der.SEQUENCE))
        wrapper.require_end()
    tbs.require_end()
    return Certificate(
        raw=unverified_der,
        tbs=tbs_whole,
        serial=serial,
        algorithm=algorithm,
        issuer=issuer,
        subject=subject,
        not_before=not_before,
        not_after=not_after,
        spki=spki,
        extensions=extensions,
        signature=signature,
    )


_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]{1,30000}?)-----END CERTIFICATE-----"
)


def split_pem(unverified_pem: bytes) -> list[bytes]:
    """Return the DER of every certificate in a PEM text, in order; text around them is ignored."""
    blocks = _PEM.findall(unverified_pem)
    if not blocks or len(blocks) > MAX_PEM_CERTIFICATES:
        raise malformed("no certificates in PEM form, or too many")
    return [
        b64(block.replace(b"\r", b"").replace(b"\n", b"").decode(), "PEM certificate") for block in blocks
    ]


def require_signed_by(child: Certificate, issuer: Certificate, allowed: Iterable[Algorithm]) -> None:
    """Refuse a certificate that the issuer's key did not sign with one of the allowed algorithms."""
    algorithm = ALGORITHMS.get(child.algorithm)
    if algorithm is None or algorithm not in allowed:
        raise Refused(Code.CHAIN_UNTRUSTED, "a certificate is signed with an algorithm that is not accepted")
    require_signature(issuer.public_key(), algorithm, child.signature, child.tbs)


def key_usage(certificate: Certificate) -> int | None:
    """Return the first byte of the key usage bits, or None where the certificate does not limit its use."""
    extension = certificate.extensions.get(KEY_USAGE)
    if extension is None:
        return None
    content = der.one(extension.value, der.BIT_STRING)
    unused = content.peek()
    bits = extension.value[3:]
    if unused > 7 or not bits:  # noqa: PLR2004
        raise malformed("key usage")
    return bits[0]


def require_authority(certificate: Certificate, below: int) -> None:
    """Refuse an issuer that may not issue: not a CA, no keyCertSign, or more CAs below it than pathLen
    allows.
    """
    extension = certificate.extensions.get(BASIC_CONSTRAINTS)
    usage = key_usage(certificate)
    if extension is None or (usage is not None and not usage & KEY_CERT_SIGN):
        raise Refused(Code.CHAIN_UNTRUSTED, "an issuer in the chain is not a certificate authority")
    constraints = der.one(extension.value, der.SEQUENCE)
    is_authority = constraints.read_boolean() if constraints.peek() == der.BOOLEAN else False
    limit = None if constraints.at_end() else constraints.read_integer()
    constraints.require_end()
    if not is_authority or (limit is not None and below > limit):
        raise Refused(Code.CHAIN_UNTRUSTED, "an issuer in the chain may not issue this certificate")


def _require_understood(certificate: Certificate) -> None:
    for kind, extension in certificate.extensions.items():
        if extension.critical and kind not in _UNDERSTOOD:
            raise Refused(Code.CHAIN_UNTRUSTED, "a certificate has a critical extension that is not known")


def build_chain(
    leaf: Certificate,
    unverified_intermediates: Sequence[Certificate],
    anchors: Sequence[Certificate],
    allowed: Iterable[Algorithm],
) -> list[Certificate]:
    """Return the chain from the leaf to an anchor, every signature verified; the dates are the caller's to
    check.

    An anchor is matched by its whole bytes being pinned, never by its name alone: the signature decides.

    Raises:
        Refused: `chain-untrusted` or `signature-invalid`.
    """
    algorithms = frozenset(allowed)
    chain = [leaf]
    pool = [one for one in unverified_intermediates if one.raw != leaf.raw]
    _require_understood(leaf)
    while len(chain) < MAX_CHAIN:
        child = chain[-1]
        anchor = next((one for one in anchors if one.subject == child.issuer), None)
        issuer = anchor or next((one for one in pool if one.subject == child.issuer), None)
        if issuer is None:
            break
        require_signed_by(child, issuer, algorithms)
        _require_understood(issuer)
        require_authority(issuer, below=len(chain) - 1)
        chain.append(issuer)
        if anchor is not None:
            return chain
        pool.remove(issuer)
    raise Refused(Code.CHAIN_UNTRUSTED, "the certificate chain does not end at a trusted root")


def period(certificate: Certificate) -> str:
    """Return the validity of a certificate as text."""
    begin, end = (
        datetime.fromtimestamp(stamp, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for stamp in (certificate.not_before, certificate.not_after)
    )
    return f"{begin} .. {end}"


def require_valid_at(certificate: Certificate, now: datetime) -> None:
    """Refuse a certificate outside its validity.

    Raises:
        Refused: `certificate-not-yet-valid` or `certificate-expired`.
    """
    stamp = now.timestamp()
    if stamp < certificate.not_before:
        raise Refused(Code.CERTIFICATE_NOT_YET_VALID, "a certificate is not valid yet", period(certificate))
    if stamp > certificate.not_after:
        raise Refused(Code.CERTIFICATE_EXPIRED, "a certificate has expired", period(certificate))
