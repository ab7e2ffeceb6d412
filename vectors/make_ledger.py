"""Makes `vectors/ledger.json`: a small log as the signer writes it. Run it by hand; the key is thrown away.

    .venv/bin/python vectors/make_ledger.py

Made with `sealwright_signer` (tree, leaves, notes); the tests check it with `sealwright.ledger`, which shares
no code with it.
"""

import hashlib
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright_signer import journal
from sealwright_signer.journal import KEY_EVENT, STATEMENT, Journal, json_leaf, token_leaf
from sealwright_signer.tree import leaf_hash

TOKENS = 9
START = 1_800_000_000


def leaves() -> list[bytes]:
    """An incarnation, a key, and some tokens."""
    kid = hashlib.sha256(b"kid").digest()
    first = json_leaf(STATEMENT, type="incarnation", digest=hashlib.sha256(b"policy").hexdigest(), at=START)
    event = {"event": "activated", "kid": "A" * 43, "realm": "enterprise", "at": START}
    tokens = [
        token_leaf(
            hashlib.sha256(b"signing input %d" % number).digest(),
            kid,
            START + number,
            START + 600 + number,
            hashlib.sha256(b"private record %d" % number).digest(),
        )
        for number in range(TOKENS)
    ]
    return [first, json_leaf(KEY_EVENT, **event), *tokens]


def main() -> int:
    """Write the file."""
    key = Ed25519PrivateKey.generate()
    log = Journal("ledger.example/ledger/abcdefghijklmnop", key.public_key().public_bytes_raw(), key.sign)
    heads = []
    for leaf in leaves():
        log.append([leaf])
        heads.append({"size": log.size, "checkpoint": log.checkpoint})
    vector = {
        "comment": "docs/formats/ledger.md; every head is signed by the key in vkey",
        "vkey": log.vkey,
        "leaves": [leaf.hex() for leaf in leaves()],
        "leaf_hashes": [leaf_hash(leaf).hex() for leaf in leaves()],
        "heads": heads,
        "kinds": [journal.parse_leaf(leaf).__class__.__name__ for leaf in leaves()],
    }
    target = Path(__file__).parent / "ledger.json"
    target.write_text(json.dumps(vector, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
