"""Reads what a token claims, for commands that look it up. Nothing here is verified, and nothing may be
believed because of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import msgspec

from sealwright.errors import Refused


def claimed_place(unverified_token: str) -> tuple[str, str, str]:
    """`jti` and `kid` as a token claims them, and the digest of its signing input (docs/formats/token.md).

    Raises:
        Refused: `no_token`: it is no JWS in compact serialisation with both.
    """
    try:
        header, payload, _signature = unverified_token.split(".")
        kid, jti = part_members(header)["kid"], part_members(payload)["jti"]
        signing_input = f"{header}.{payload}".encode("ascii")
    except (ValueError, KeyError, binascii.Error) as error:
        raise Refused("no_token", "this is no token of ours: not a JWS with kid and jti") from error
    if not isinstance(kid, str) or not isinstance(jti, str):
        raise Refused("no_token", "this is no token of ours: kid and jti are texts")
    return jti, kid, hashlib.sha256(signing_input).hexdigest()


def part_members(part: str) -> dict[str, Any]:
    """The JSON members of a part of a JWS. ValueError for anything else."""
    data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    return msgspec.json.decode(data, type=dict[str, Any])
