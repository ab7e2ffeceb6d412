"""Evidence about this incarnation for the authority's admission.

May never claim more than what was collected: without a collector the kind is `none`.
"""

import re
from hashlib import sha256, sha512

from sealwright_signer.protocol import Code, require

NONCE = re.compile("([0-9a-f]{2}){16,64}")
TAG = b"sealwright-identity-v1\0"


def collect(spki: bytes, nonce: str) -> dict[str, str]:
    """Kind, evidence (base64) and binding for a nonce of 16 to 64 bytes in hexadecimal digits.

    The binding is the hex of the 64 bytes that a report carries, SHA-512(tag || nonce || SHA-256(spki)):
    evidence says "this key, now". `spki` is the identity key in DER.
    """
    require(NONCE.fullmatch(nonce), Code.bad_request, "nonce is 16 to 64 bytes in lower-case hexadecimal")
    report_data = sha512(TAG + bytes.fromhex(nonce) + sha256(spki).digest())
    return {"kind": "none", "evidence": "", "binding": report_data.hexdigest()}
