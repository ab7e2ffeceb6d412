"""The policy that a signer is started with, derived from the configuration (docs/formats/signer-protocol.md).

Pure. It holds public keys and limits only. The signer decides by it alone, so nothing may reach a signer by
any other way, and its digest is the first leaf of the signer's log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sealwright.config.model import Config, RealmConfig

POLICY_VERSION = 1
RELEASE = "release:"
"""What `custody.pin_file` starts with where the PIN comes by attested release."""


def origin_prefix(config: Config) -> str:
    """What the origin of every log starts with: the public URL without its scheme, and `/ledger`."""
    return config.server.url.partition("://")[2] + "/ledger"


def signer_policy(
    config: Config, admission_keys: Iterable[Mapping[str, str]], manifest_floor: int
) -> dict[str, Any]:
    """The policy of one incarnation.

    Args:
        config: a configuration that passed `rules.require_runnable`.
        admission_keys: public JWKs whose admissions this signer believes when it signs a manifest.
        manifest_floor: the highest manifest version ever published; the signer signs only newer ones.
    """
    return {
        "version": POLICY_VERSION,
        "origin_prefix": origin_prefix(config),
        "authority": config.server.url,
        "admission_keys": [dict(jwk) for jwk in admission_keys],
        "manifest_floor": manifest_floor,
        "manifest_max_life": config.manifest.life,
        "rollover_lead": config.keys.lead,
        "key_use_max": config.keys.use,
        "realms": {name: _realm(config, name, realm) for name, realm in sorted(config.realms.items())},
        "custody": _custody(config),
    }


def released_pin(config: Config) -> str:
    """For which purpose the PIN of custody is released by attestation; empty where it is not."""
    found = config.custody.pin_file if config.custody.kind == "pkcs11" else ""
    return found.removeprefix(RELEASE) if found.startswith(RELEASE) else ""


def _custody(config: Config) -> dict[str, Any]:
    custody = config.custody
    if custody.kind == "memory":
        return {"kind": "memory"}
    named = {"kind": custody.kind, "module": custody.module, "token": custody.token}
    named |= {"pin_file": custody.pin_file, "objects": custody.objects}
    limits = {"sessions": custody.sessions, "patience": custody.patience, "network": custody.network}
    reach = {"reach": list(custody.reach), "environment": dict(custody.environment)}
    return {**named, **limits, **reach, "label": f"sealwright {origin_prefix(config)}"}


def _realm(config: Config, name: str, realm: RealmConfig) -> dict[str, Any]:
    return {
        "issuer": config.issuer(name),
        "audiences": list(realm.audiences),
        "token_types": list(realm.token_types),
        "max_lifetime": realm.max_lifetime,
        "algorithms": list(realm.algorithms),
        "tenancy": realm.tenancy,
    }
