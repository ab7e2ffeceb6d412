"""Reads the files that the command line names, and tells what an endorsement file holds by its first bytes.

It may never follow a name inside a file, and reads no more than the largest genuine evidence.
"""

import os
import re
import select
import stat
from dataclasses import replace
from datetime import datetime
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from sealwright_attest.bundle import FORMAT, MAX_BUNDLE, MAX_IDENTITY_KEY, RELEASE_KEY, parse_bundle
from sealwright_attest.crl import parse_crl
from sealwright_attest.ear import SigningKey
from sealwright_attest.errors import Misconfigured, Refused
from sealwright_attest.explain import is_event_log
from sealwright_attest.model import Endorsements, Evidence, Kind
from sealwright_attest.octets import b64, strict_object
from sealwright_attest.verifiers.amd_keys import split_cert_table
from sealwright_attest.x509 import parse_certificate, split_pem

SILENCE: Final = 10
"""Seconds for which a pipe may say nothing."""
_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----\s([A-Za-z0-9+/=\s]+?)-----END X509 CRL-----")


def read_file(name: str) -> bytes:
    """Return a file's bytes.

    Raises:
        Misconfigured: it cannot be read, or is larger than any evidence.
    """
    try:
        data = _read(name, MAX_BUNDLE + 1)
    except OSError as err:
        raise Misconfigured(f"{name}: {err.strerror}") from err
    if len(data) > MAX_BUNDLE:
        raise Misconfigured(f"{name}: larger than any evidence")
    return data


def _read(name: str, limit: int) -> bytes:
    """At most so many bytes; of a pipe that stays silent no more than a patient reader would wait for."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(limit) or b""
        data, ready = b"", select.poll()
        ready.register(descriptor, select.POLLIN)
        while len(data) < limit:
            if not ready.poll(SILENCE * 1_000):
                raise Misconfigured(f"{name}: a pipe into which nobody wrote for {SILENCE} seconds")
            part = os.read(descriptor, limit - len(data))
            if not part:
                break
            data += part
        return data
    finally:
        os.close(descriptor)


def parse_time(text: str) -> datetime:
    """Return an RFC 3339 time, which must have its zone.

    Raises:
        Misconfigured: it is something else.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as err:
        raise Misconfigured(f"--now: not a time like 2025-01-01T00:00:00Z: {text}") from err
    if found.tzinfo is None:
        raise Misconfigured(f"--now: the time needs its zone, as in 2025-01-01T00:00:00Z: {text}")
    return found


def parse_hex(text: str, option: str) -> bytes:
    """Return the bytes of a hex option.

    Raises:
        Misconfigured: it is not hex.
    """
    try:
        return bytes.fromhex(text)
    except ValueError as err:
        raise Misconfigured(f"{option}: not hexadecimal: {text}") from err


def _der(data: bytes) -> Endorsements:
    try:
        parse_certificate(data)
    except Refused:
        parse_crl(data)
        return Endorsements(crls=(data,))
    return Endorsements(certificates=(data,))


def parse_endorsement(unverified_data: bytes) -> Endorsements:
    """Return what an endorsement file holds: PEM or DER certificates, a CRL, Intel collateral, or AMD's
    table.

    Raises:
        Refused: it is none of these.
    """
    data = unverified_data
    if data.lstrip()[:1] == b"{":
        return Endorsements(collateral=data)
    crls = tuple(b64("".join(block.decode().split()), "CRL") for block in _CRL.findall(data))
    if b"-----BEGIN CERTIFICATE-----" in data:
        return Endorsements(certificates=tuple(split_pem(data)), crls=crls)
    if crls:
        return Endorsements(crls=crls)
    if data[:1] == b"\x30":
        return _der(data)
    try:
        return Endorsements(certificates=tuple(split_cert_table(data)))
    except Refused as refusal:
        text = "neither certificates, a revocation list, Intel collateral nor AMD's certificate table"
        raise Refused(refusal.code, text, refusal.public) from refusal


def _merge(one: Endorsements, other: Endorsements) -> Endorsements:
    return Endorsements(
        one.certificates + other.certificates, one.crls + other.crls, other.collateral or one.collateral
    )


def _is_bundle(data: bytes) -> bool:
    if data[:1] != b"{":
        return False
    try:
        return bool(strict_object(data, MAX_BUNDLE).get("format") == FORMAT)
    except Refused:
        return False


def load_evidence(
    kind: Kind,
    name: str,
    *,
    endorsements: list[str],
    event_log: str | None = None,
    identity_key: str | None = None,
    release_key: str | None = None,
) -> Evidence:
    """Return evidence from the files that the options name; a bundle already carries the rest.

    Raises:
        Misconfigured: a file or an option is unusable, or the bundle is of another kind than asked for.
        Refused: an endorsement or bundle cannot be read.
    """
    data = read_file(name)
    evidence = Evidence(kind, data)
    if _is_bundle(data):
        evidence = parse_bundle(data)
        if evidence.kind is not kind:
            raise Misconfigured(f"{name}: evidence of kind {evidence.kind}, not {kind}")
    for one in endorsements:
        evidence = _endorsed(evidence, one)
    if event_log is not None:
        evidence = replace(evidence, unverified_event_log=read_file(event_log))
    if identity_key is not None:
        evidence = replace(evidence, unverified_identity_key=_spki(identity_key))
    if release_key is not None:
        key = parse_hex(release_key, "--release-key")
        if len(key) != RELEASE_KEY:
            raise Misconfigured(f"--release-key: an X25519 key has {RELEASE_KEY} bytes, not {len(key)}")
        evidence = replace(evidence, unverified_release_key=key)
    return evidence


def _endorsed(evidence: Evidence, name: str) -> Evidence:
    """The evidence with what one endorsement file holds; an event log is taken as one too."""
    data = read_file(name)
    if is_event_log(data):
        return replace(evidence, unverified_event_log=data)
    try:
        found = parse_endorsement(data)
    except Refused as refusal:
        raise Misconfigured(f"{name}: {refusal.public} ({refusal.detail})") from refusal
    return replace(evidence, endorsements=_merge(evidence.endorsements, found))


def _spki(name: str) -> bytes:
    """The SubjectPublicKeyInfo (DER) in a file; nothing else may be taken for a key."""
    data = read_file(name)
    if b"PRIVATE KEY-----" in data:
        raise Misconfigured(f"{name}: a PRIVATE key; give the public half, and keep this one to yourself")
    try:
        key = load_pem_public_key(data) if b"-----BEGIN" in data else load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as err:
        text = f"{name}: not a public key (SubjectPublicKeyInfo in PEM or DER)"
        raise Misconfigured(text) from err
    found = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if len(found) > MAX_IDENTITY_KEY:
        raise Misconfigured(f"{name}: an identity key has at most {MAX_IDENTITY_KEY} bytes")
    return found


def load_signing_key(name: str) -> SigningKey:
    """Return the key that an EAR is signed with.

    Raises:
        Misconfigured: the file is not an unencrypted Ed25519 or P-256 key in PEM.
    """
    try:
        key = load_pem_private_key(read_file(name), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as err:
        raise Misconfigured(f"{name}: not a private key in PEM without a password") from err
    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey):
        raise Misconfigured(f"{name}: an EAR is signed with Ed25519 or P-256")
    return key
