"""What one incarnation may do: read once at start, fixed for life.

May never be wider than the ceilings here; a policy can only tighten them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sealwright_signer import jws, protocol
from sealwright_signer.protocol import Misconfigured, Refused, encode, require_members, shape

TOKEN_LIFETIME_CEILING = 3_600  # seconds: what a stolen token is worth at most
KEY_USE_CEILING = 14 * 86_400  # seconds from use_from to use_until, where one key signs for several tenants
KEY_USE_CEILINGS = {
    "multi-tenant": KEY_USE_CEILING,
    "tenant-specific": 90 * 86_400,
    "on-premises": 365 * 86_400,
}
MANIFEST_LIFE_CEILING = 600  # seconds: how long a validator that is cut off may go on
_POLICY = shape(
    int="version manifest_floor manifest_max_life rollover_lead key_use_max", dict="realms custody"
)
_POLICY |= shape(str="origin_prefix authority", list="admission_keys")
_REALM = shape(str="issuer tenancy", list="audiences token_types algorithms", int="max_lifetime")


@dataclass(frozen=True, slots=True)
class Realm:
    """One realm's scope; `audiences` maps each to its JSON and `opening` begins a payload: made once."""

    name: str
    issuer: str
    audiences: Mapping[str, str]
    token_types: tuple[str, ...]
    max_lifetime: int
    algorithms: tuple[str, ...]
    opening: str
    tenancy: str

    @property
    def key_use_max(self) -> int:
        """Seconds that a key of this realm may sign, whatever a policy says."""
        return KEY_USE_CEILINGS[self.tenancy]


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole policy; times in seconds, `digest` the hex SHA-256 of the document as it was read."""

    version: int
    digest: str
    origin_prefix: str
    authority: str
    admission_keys: Mapping[str, jws.Verifier]
    manifest_floor: int
    manifest_max_life: int
    rollover_lead: int
    key_use_max: int
    realms: Mapping[str, Realm]
    custody: Mapping[str, Any]


def _must(holds: object, what: str) -> None:
    if not holds:
        raise Misconfigured(f"policy: {what}")


def _realm(name: str, unverified: object) -> Realm:
    known = {"tenancy": "multi-tenant", **unverified} if isinstance(unverified, dict) else unverified
    realm = require_members(known, _REALM, f"realm {name}")
    _must(realm["tenancy"] in KEY_USE_CEILINGS, f"{name}: tenancy is one of {', '.join(KEY_USE_CEILINGS)}")
    for listed in ("audiences", "token_types", "algorithms"):
        _must(
            protocol.require_texts(realm[listed], f"{name}: {listed}"), f"{name}: {listed} may not be empty"
        )
    _must(name and realm["issuer"], "a realm has a name and an issuer")
    _must(set(realm["algorithms"]) <= set(jws.ALGORITHMS), f"{name}: algorithms are {jws.ALGORITHMS}")
    _must(0 < realm["max_lifetime"] <= TOKEN_LIFETIME_CEILING, f"{name}: max_lifetime is 1 to 3600 s")
    realm["audiences"] = {audience: encode(audience) for audience in realm["audiences"]}
    return Realm(name=name, opening='{"iss":' + encode(realm["issuer"]), **realm)


def parse_policy(unverified: bytes) -> Policy:
    """The policy; Misconfigured with the reason when it is malformed or too wide."""
    try:
        policy = require_members(protocol.decode(unverified), _POLICY, "the document")
        policy["realms"] = realms = {name: _realm(name, body) for name, body in policy["realms"].items()}
        policy["admission_keys"] = dict(map(jws.identity_key, policy["admission_keys"]))
    except Refused as error:
        raise Misconfigured(f"policy: {error.message}") from None
    _must(policy["version"] == 1, "version must be 1")
    prefix = policy["origin_prefix"]
    _must(prefix and not set(prefix) & set("+ \n\t"), "origin_prefix must fit the name of a note's key")
    _must(0 < policy["manifest_max_life"] <= MANIFEST_LIFE_CEILING, "manifest_max_life is 1 to 600 s")
    longest = min((realm.key_use_max for realm in realms.values()), default=0)
    _must(0 < policy["key_use_max"] <= longest, f"key_use_max is at most {longest} s for these realms")
    _must(realms and len({r.issuer for r in realms.values()}) == len(realms), "one issuer for each realm")
    return Policy(digest=sha256(unverified).hexdigest(), **policy)
