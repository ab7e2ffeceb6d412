"""Synthetic Nitro: a root, its zone and instance authorities, and documents by them.

It may never use AWS's root; the names are like AWS's, the keys are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sealwright_attest.keys import Algorithm
from sealwright_attest.model import Evidence, Kind
from sealwright_attest.synthetic.authority import Authority, Request, new_key, public_der, root, sign

PROTECTED = bytes.fromhex("a1013822")


@dataclass(frozen=True, slots=True)
class Enclave:
    """What a document is to say."""

    now: datetime
    nonce: bytes = b""
    user_data: bytes = b""
    public_key: bytes = b""
    pcrs: Mapping[int, bytes] = field(
        default_factory=lambda: {index: bytes([index + 1]) * 48 for index in range(16)}
    )
    module_id: str = "i-0123456789abcdef0-enc0123456789abcdef"
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NitroCloud:
    """A root with two authorities below it."""

    root: Authority
    zone: Authority
    instance: Authority

    def document(self, enclave: Enclave, *, tagged: bool = False) -> bytes:
        """Return a signed document whose certificate lives three hours from one second before `now`."""
        key = new_key(Algorithm.ECDSA_SHA384)
        request = Request(
            enclave.module_id,
            public_der(key),
            begin=enclave.now - timedelta(seconds=1),
            end=enclave.now + timedelta(hours=3),
            usage=0xC0,
        )
        payload = {
            "module_id": enclave.module_id,
            "digest": "SHA384",
            "timestamp": int(enclave.now.astimezone(UTC).timestamp() * 1000),
            "pcrs": dict(enclave.pcrs),
            "certificate": self.instance.issue(request),
            "cabundle": [self.root.certificate, self.zone.certificate, self.instance.certificate],
            "public_key": enclave.public_key or None,
            "user_data": enclave.user_data or None,
            "nonce": enclave.nonce or None,
            **enclave.extra,
        }
        return sign_document(cbor2.dumps(payload), key, tagged=tagged)

    def evidence(self, enclave: Enclave, identity_key: bytes = b"", release_key: bytes = b"") -> Evidence:
        """Return a document as evidence."""
        return Evidence(
            Kind.NITRO,
            self.document(enclave),
            unverified_identity_key=identity_key,
            unverified_release_key=release_key,
        )


def sign_document(payload: bytes, key: Any, *, tagged: bool = False) -> bytes:
    """Return a COSE_Sign1 over a payload."""
    signed = cbor2.dumps(["Signature1", PROTECTED, b"", payload])
    r, s = decode_dss_signature(sign(key, Algorithm.ECDSA_SHA384, signed))
    document = [PROTECTED, {}, payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")]
    return cbor2.dumps(cbor2.CBORTag(18, document) if tagged else document)


def new_cloud() -> NitroCloud:
    """Return a new root with its authorities."""
    top = root("synthetic.nitro-enclaves", Algorithm.ECDSA_SHA384)
    zone = top.subordinate("zone.synthetic.nitro-enclaves", path_length=1)
    return NitroCloud(top, zone, zone.subordinate("instance.synthetic.nitro-enclaves"))


def fresh_key() -> ec.EllipticCurvePrivateKey:
    """Return a P-384 key that no authority vouches for."""
    return ec.generate_private_key(ec.SECP384R1())
