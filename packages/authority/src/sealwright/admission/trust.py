"""The root of trust on disk: made at the first start, checked at every other (docs/formats/key-manifest.md).

`trust/root.json` is what validators pin. `trust/root.key` may be moved offline; then the root cannot be
renewed here and `open_root_of_trust` says so in time. May never overwrite a key, use one that others can
read, or make a new root where one was: that would silently cut off every validator.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sealwright.admission.documents import (
    ADMISSION_TYPE,
    ROOT_TYPE,
    DocumentSigner,
    from_b64u,
    new_private_key,
    read_signer,
)
from sealwright.errors import Misconfigured
from sealwright.files import (
    make_private_directory,
    read_private,
    require_private,
    write_private,
)

ROOT_LIFE = 365 * 86_400
"""Seconds that a root document is valid; it is renewed when half of it is over."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RootOfTrust:
    """The current root and the admission key that it names."""

    version: int
    expires_at: int
    file: Path
    admission: DocumentSigner
    admission_keys: tuple[dict[str, str], ...]
    """Every admission key that the root names, public JWKs."""


def open_root_of_trust(directory: Path, now: float) -> RootOfTrust:
    """The root of trust in `directory` (`trust/` of the state), made when there is none, renewed when it is
    due.

    Raises:
        Misconfigured: a file is missing, readable by others, or does not fit the others.
    """
    make_private_directory(directory)
    if not any(directory.glob("root*.json")):
        _make(directory, now)
    if (directory / "root.key").exists():  # it may be kept elsewhere
        require_private(directory / "root.key")
    payload = _read_root(directory / "root.json")
    admission = read_signer(ADMISSION_TYPE, read_private(directory / "admission.key"), "trust/admission.key")
    if admission.jwk not in payload["roles"]["admission"]["keys"]:
        raise Misconfigured(
            "root_mismatch",
            f"{directory}/root.json does not name the key in admission.key; "
            "restore the two from the same backup",
        )
    if now >= (payload["issued_at"] + payload["expires_at"]) / 2:
        payload = _renewed(directory, payload, now)
    keys = tuple(payload["roles"]["admission"]["keys"])
    return RootOfTrust(payload["version"], payload["expires_at"], directory / "root.json", admission, keys)


def root_version(directory: Path) -> int:
    """The version of the root in `directory`. Reads the public document only.

    Raises:
        Misconfigured: `bad_root` or `missing_file`.
    """
    version: int = _read_root(directory / "root.json")["version"]
    return version


def _make(directory: Path, now: float) -> None:
    # Nobody has pinned a root that was never written; keys of a start that was cut off are used as they are.
    for name in ("root.key", "admission.key"):
        if not (directory / name).exists():
            write_private(directory / name, new_private_key())
    root = _root_signer(directory)
    admission = read_signer(ADMISSION_TYPE, read_private(directory / "admission.key"), "trust/admission.key")
    _publish(directory, root, _payload(1, now, [root.jwk], [admission.jwk]))


def _root_signer(directory: Path) -> DocumentSigner:
    return read_signer(ROOT_TYPE, read_private(directory / "root.key"), "trust/root.key")


def _payload(
    version: int, now: float, root: list[dict[str, str]], admission: list[dict[str, str]]
) -> dict[str, Any]:
    return {
        "version": version,
        "issued_at": int(now),
        "expires_at": int(now) + ROOT_LIFE,
        "roles": {"root": {"keys": root, "threshold": 1}, "admission": {"keys": admission, "threshold": 1}},
    }


def _publish(directory: Path, root: DocumentSigner, payload: Mapping[str, Any]) -> None:
    document = root.general(payload)
    write_private(directory / f"root-{payload['version']}.json", document)
    write_private(directory / "root.json", document)


def _read_root(file: Path) -> dict[str, Any]:
    try:
        general = json.loads(read_private(file))
        payload: dict[str, Any] = json.loads(from_b64u(general["payload"]))
        sound = payload["version"] >= 1 and payload["roles"]["admission"]["keys"] and payload["expires_at"]
    except (ValueError, KeyError, TypeError) as error:
        raise Misconfigured("bad_root", f"{file} is no root document; restore it from a backup") from error
    if not sound:
        raise Misconfigured("bad_root", f"{file} is no root document; restore it from a backup")
    return payload


def _renewed(directory: Path, payload: dict[str, Any], now: float) -> dict[str, Any]:
    """The next version with the same keys, where the root key is at hand and alone decides."""
    role = payload["roles"]["root"]
    if not (directory / "root.key").exists() or role["threshold"] != 1:
        if now >= payload["expires_at"]:
            raise Misconfigured(
                "root_expired", f"{directory}/root.json has expired; renew it with the root keys"
            )
        log.warning(
            "the root expires soon and its keys are elsewhere", extra={"facts": {"at": payload["expires_at"]}}
        )
        return payload
    root = _root_signer(directory)
    if root.jwk not in role["keys"]:
        raise Misconfigured(
            "root_mismatch",
            f"{directory}/root.json does not name the key in root.key; restore the two from the same backup",
        )
    renewed = payload | {
        "version": payload["version"] + 1,
        "issued_at": int(now),
        "expires_at": int(now) + ROOT_LIFE,
    }
    _publish(directory, root, renewed)
    log.info("root renewed", extra={"facts": {"version": renewed["version"]}})
    return renewed
