"""Makes `vectors/witness.json`: a head cosigned by witnesses, and what must be refused. Run it by hand; the
keys are thrown away.

    .venv/bin/python vectors/make_witness.py

Made with `sealwright.witness` (which signs); the tests check it with `sealwright_validate`, and Go's own
client verifies lines of the same maker in `packages/authority/tests/ledger/test_go_client.py`.
"""

import json
import sys
from base64 import b64encode
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from sealwright.witness.signing import cosigner_of
from sealwright_signer.journal import Journal, json_leaf
from sealwright_validate.cosignature import ED25519, ML_DSA_44
from sealwright_validate.keyset import LogKey
from sealwright_validate.note import open_checkpoint

START = 1_800_000_000


def main() -> int:
    """Write the file."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    log = Journal("ledger.example/ledger/abcdefghijklmnop", public, key.sign)
    notes = []
    for number in range(3):
        log.append([json_leaf(3, type="audit", digest=f"{number:064x}", at=START)])
        notes.append(log.checkpoint)
    first = cosigner_of("witness.example/1", ED25519, Ed25519PrivateKey.generate())
    quantum = cosigner_of("witness.example/1", ML_DSA_44, MLDSA44PrivateKey.generate())
    second = cosigner_of("witness.example/2", ED25519, Ed25519PrivateKey.generate())
    heads = [open_checkpoint(note, LogKey(log.origin, public)) for note in notes]
    text = notes[2].rpartition("\n\n")[0] + "\n"
    one, two, three = (each.line(text, heads[2], START + 1) for each in (first, quantum, second))
    older = first.line(notes[1].rpartition("\n\n")[0] + "\n", heads[1], START + 1)
    other_time = one[:-20] + b64encode(bytes(12)).decode() + one[-4:]
    policy = (
        f"witness ed {first.vkey}\nwitness ml {quantum.vkey}\nwitness other {second.vkey}\n"
        "group two 2 ed ml other\nquorum two\n"
    )
    said = "receipt_not_witnessed"
    cases = [
        ("both_keys_of_one_witness", notes[2] + one + two, ["ed", "ml"], None),
        ("two_witnesses", notes[2] + three + one, ["ed", "other"], None),
        ("one_witness", notes[2] + one, ["ed"], said),
        ("one_witness_twice", notes[2] + one + one, ["ed"], said),
        ("nobody", notes[2], [], said),
        ("cosignature_of_an_older_head", notes[2] + older + three, None, "receipt_invalid"),
        ("cosignature_changed", notes[2] + other_time + two + three, None, "receipt_invalid"),
        ("under_another_name", notes[2] + one.replace("example/1", "example/2") + three, ["other"], said),
    ]
    vector = {
        "comment": "docs/formats/witness.md; cosignatures of time 1800000001 on the newest of three heads",
        "log_vkey": log.vkey,
        "policy": policy,
        "cases": [
            {"name": name, "note": note, "cosigned": cosigned, "refused": refused}
            for name, note, cosigned, refused in cases
        ],
    }
    target = Path(__file__).parent / "witness.json"
    target.write_text(json.dumps(vector, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
