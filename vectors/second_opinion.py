"""Puts the vectors to a second implementation, `jose` on node, and writes down where it decides otherwise.

Run `npm ci` in packages/validate/adapters, then `python vectors/second_opinion.py`. A test runs the same and
compares with what is written. May never leave out a difference.
"""

# ruff: noqa: INP001 - a program, not a package

import json
from pathlib import Path
from typing import Any

from sealwright_validate.conformance.targets.model import Setup, Verdict
from sealwright_validate.conformance.targets.process import jose_on_node

HERE = Path(__file__).resolve().parent
ADAPTERS = HERE.parent / "packages" / "validate" / "adapters"
WRITTEN = HERE / "second_opinion.json"


def second_opinion() -> dict[str, Any]:
    """The tokens on which jose decides otherwise, by how binding our expectation is."""
    trust = json.loads((HERE / "trust.json").read_text(encoding="utf-8"))
    setup = Setup(
        issuer=trust["issuer"],
        audience=trust["audience"],
        realm=trust["realm"],
        token_type="at+jwt",  # noqa: S106 - a media type
        algorithms=("ES256", "EdDSA", "RS256", "PS256"),
        jwks=trust["jwks"],
        root=b"",
        served=b"",
        jwks_uri="",
        now=trust["now"],
    )
    jose = jose_on_node(setup, ADAPTERS)
    differing: dict[str, list[str]] = {"must": [], "should": [], "manifest": []}
    try:
        for path in sorted(HERE.glob("*/*.json")):
            vector = json.loads(path.read_text(encoding="utf-8"))
            if "token" in vector:
                accepted = jose.judge(vector["token"]).verdict is Verdict.ACCEPTED
                if accepted != vector["accept"]:
                    differing[vector["force"]].append(vector["name"])
    finally:
        jose.close()
    return {"checked_with": "jose on node", "version": jose.version, "decides_otherwise": differing}


if __name__ == "__main__":
    WRITTEN.write_text(json.dumps(second_opinion(), indent=1) + "\n", encoding="utf-8")
