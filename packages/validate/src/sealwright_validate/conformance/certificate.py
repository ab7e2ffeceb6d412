"""A throw-away X.509 certificate over a key, for `x5c` members of key sets.

May never be a certificate authority for anything.
"""

from base64 import b64encode
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sealwright_validate.conformance.keys import SigningKey


def certificate_for(key: SigningKey, *, since: int, until: int) -> str:
    """The base64 DER of a certificate over the public key, valid between two moments (seconds since 1970)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Throw-away STS Signing Public Key")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(since, UTC))
        .not_valid_after(datetime.fromtimestamp(until, UTC))
        .sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    )
    return b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")
