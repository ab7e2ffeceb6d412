"""Checks on the other side that a file is what a gate released.

May never do: trust the key in the manifest; the caller says which gate's key counts.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from sealwright_dumps import given
from sealwright_dumps.errors import Refused
from sealwright_dumps.gate import signing
from sealwright_dumps.redact.service import FORMAT
from sealwright_dumps.source import FileSource

_PIECE = 1 << 20


def require_released(
    path: Path, manifest_path: Path, gate_key: str, approvers: dict[str, str]
) -> dict[str, Any]:
    """The manifest of a file that this gate released unchanged. `approvers`: whose signatures must be among
    them.

    Raises Refused.
    """
    try:
        body = json.loads(given.read(manifest_path))
        manifest, signature = body["manifest"], str(body["signature"])
        signing.require_manifest_signature(gate_key, manifest, signature)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused("manifest-unreadable", "the manifest cannot be read", str(error)) from error
    if manifest.get("format") != FORMAT or "released" not in manifest:
        raise Refused("manifest-format", "the manifest is not one of a release")
    signed = {item["approver"]: item["signature"] for item in manifest["approvals"]}
    for name, key in approvers.items():
        signing.require_approval_signature(key, manifest["approved_manifest_sha256"], signed.get(name, ""))
    source = FileSource(path)
    try:
        digest = hashlib.sha256()
        for at in range(0, source.size, _PIECE):
            digest.update(source.read(at, _PIECE))
        source.require_unchanged()
    finally:
        source.close()
    if source.size != manifest["output"]["size"] or digest.hexdigest() != manifest["output"]["sha256"]:
        raise Refused("file-changed", "the file is not the one that the gate released")
    return dict(manifest)
