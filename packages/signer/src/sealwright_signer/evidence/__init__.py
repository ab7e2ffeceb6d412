"""Evidence about this incarnation for the authority's admission.

May never claim more than what was collected: without a collector the kind is `none`.
"""

import re
from collections.abc import Mapping
from hashlib import sha256

from sealwright_signer.protocol import Code, canonical, require

NONCE = re.compile("([0-9a-f]{2}){16,64}")


def collect(jwk: Mapping[str, str], policy_digest: str, nonce: str) -> dict[str, str]:
    """Kind, evidence and binding for a nonce of 16 to 64 bytes in hexadecimal digits.

    The binding is the hex SHA-256 of the canonical JSON of identity JWK, nonce and policy digest.
    """
    require(NONCE.fullmatch(nonce), Code.bad_request, "nonce is 16 to 64 bytes in lower-case hexadecimal")
    binding = sha256(canonical({"jwk": jwk, "nonce": nonce, "policy": policy_digest})).hexdigest()
    return {"kind": "none", "evidence": "", "binding": binding}
