"""Certificate revocation lists: parse, verify, and name the serials that are revoked.

It may never treat a missing list as an empty one: whether a list is needed is the policy's word, and the
caller says `crl-missing`. Delta and indirect lists are refused. Source: RFC 5280 section 5.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from . import der
from .errors import Code, Refused
from .keys import Algorithm, require_signature
from .x509 import ALGORITHMS, CRL_SIGN, Certificate, key_usage, read_extensions, read_time

MAX_CRL: Final = 1024 * 1024
_CRL_NUMBER: Final = der.oid("2.5.29.20")
_AUTHORITY_KEY: Final = der.oid("2.5.29.35")


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A parsed list. Times are Unix seconds. Parsed is not verified."""

    tbs: bytes
    algorithm: bytes
    issuer: bytes
    this_update: int
    next_update: int
    serials: frozenset[int]
    signature: bytes


def _read_entries(reader: der.DerReader) -> frozenset[int]:
    serials = set()
    while not reader.at_end():
        entry = reader.enter(der.SEQUENCE)
        serials.add(entry.read_integer())
        read_time(entry)
        if not entry.at_end():
            extensions = read_extensions(entry.enter(der.SEQUENCE))
            if any(one.critical for one in extensions.values()):
                raise Refused(Code.MALFORMED, "a revocation entry has a critical extension that is not known")
        entry.require_end()
    return frozenset(serials)


def parse_crl(unverified_der: bytes) -> RevocationList:
    """Parse one version 2 list.

    Raises:
        Refused: `malformed` or `too-large`.
    """
    if len(unverified_der) > MAX_CRL:
        raise Refused(Code.TOO_LARGE, "a revocation list is too large")
    outer = der.one(unverified_der, der.SEQUENCE)
    tbs_whole = outer.read_whole(der.SEQUENCE)
    algorithm = outer.read(der.SEQUENCE)
    signature = outer.read_bit_string()
    outer.require_end()
    tbs = der.one(tbs_whole, der.SEQUENCE)
    if tbs.read_integer() != 1 or tbs.read(der.SEQUENCE) != algorithm:
        raise Refused(Code.MALFORMED, "not a version 2 revocation list")
    issuer = tbs.read_whole(der.SEQUENCE)
    this_update, next_update = read_time(tbs), read_time(tbs)
    serials = _read_entries(tbs.enter(der.SEQUENCE)) if tbs.peek() == der.SEQUENCE else frozenset()
    if not tbs.at_end():
        wrapper = tbs.enter(0xA0)
        extensions = read_extensions(wrapper.enter(der.SEQUENCE))
        wrapper.require_end()
        if any(one.critical for kind, one in extensions.items() if kind not in {_CRL_NUMBER, _AUTHORITY_KEY}):
            raise Refused(Code.MALFORMED, "a delta or indirect revocation list")
    tbs.require_end()
    return RevocationList(tbs_whole, algorithm, issuer, this_update, next_update, serials, signature)


def require_not_revoked(
    certificate: Certificate, issuer: Certificate, unverified_crl: RevocationList, now: datetime
) -> None:
    """Refuse a certificate that its issuer's current list names.

    Raises:
        Refused: `signature-invalid`, `crl-expired` or `certificate-revoked`.
    """
    require_list_of(issuer, unverified_crl, ALGORITHMS.values())
    stamp = now.timestamp()
    if not unverified_crl.this_update <= stamp <= unverified_crl.next_update:
        raise Refused(Code.CRL_EXPIRED, "the revocation list is not of this time")
    if certificate.serial in unverified_crl.serials:
        raise Refused(
            Code.CERTIFICATE_REVOKED, "a certificate of the chain is revoked", hex(certificate.serial)
        )


def require_list_of(
    issuer: Certificate, unverified_crl: RevocationList, allowed: Iterable[Algorithm]
) -> None:
    """Refuse a list that this issuer did not sign."""
    algorithm = ALGORITHMS.get(unverified_crl.algorithm)
    usage = key_usage(issuer)
    if algorithm is None or algorithm not in allowed or unverified_crl.issuer != issuer.subject:
        raise Refused(Code.SIGNATURE_INVALID, "the revocation list is another issuer's")
    if usage is not None and not usage & CRL_SIGN:
        raise Refused(Code.SIGNATURE_INVALID, "the issuer may not sign revocation lists")
    require_signature(issuer.public_key(), algorithm, unverified_crl.signature, unverified_crl.tbs)
