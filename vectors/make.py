"""Makes every vector anew: named tokens and trust documents, with public keys only.

Run it in an environment where sealwright-validate is installed: `python vectors/make.py`. Signatures are
random, so every file changes. May never write a private key: the scene's keys end with this process.
"""

# ruff: noqa: INP001 - a program, not a package

import json
import shutil
from pathlib import Path
from typing import Any

from sealwright_validate.conformance.catalogue import all_cases
from sealwright_validate.conformance.catalogue.documents import documents
from sealwright_validate.conformance.scene import AUDIENCE, REALM, make_scene

HERE = Path(__file__).resolve().parent
NOW = 1_800_000_000  # 2027-01-15 08:00:00 UTC
MALFORMED = ("encoding", "payload")


def folder_of(group: str, *, accept: bool) -> str:
    """Where a case belongs: good, malformed (its form is wrong) or forged (its form is right)."""
    if accept:
        return "good"
    return "malformed" if group in MALFORMED else "forged"


def write(path: Path, content: dict[str, Any]) -> None:
    """One vector, readable and with a line end."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")


def main() -> None:
    """Replace all vectors."""
    for folder in ("good", "forged", "malformed", "documents"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
    scene = make_scene(NOW)
    write(
        HERE / "trust.json",
        {
            "now": NOW,
            "audience": AUDIENCE,
            "realm": REALM,
            "issuer": scene.issuer,
            "root": json.loads(scene.authority.roots[0]),
            "served": json.loads(scene.authority.served()),
            "jwks": scene.jwks(),
        },
    )
    for case in all_cases(scene).values():
        vector = {
            "name": case.name,
            "group": case.group,
            "how": case.how,
            "why": case.why,
            "force": case.force.value,
            "accept": case.accept,
            "reasons": sorted(reason.value for reason in case.reasons),
            "token": case.token,
        }
        write(HERE / folder_of(case.group, accept=case.accept) / f"{case.name}.json", vector)
    for document in documents(scene):
        vector = {
            "name": document.name,
            "kind": document.kind,
            "how": document.how,
            "reason": document.reason.value,
            "document": document.document.decode("ascii"),
        }
        write(HERE / "documents" / f"{document.name}.json", vector)


if __name__ == "__main__":
    main()
