"""What one incarnation may do: read once at start, fixed for life.

May never be wider than the ceilings here; a policy can only tighten them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sealwright_signer import jws
from sealwright_signer.protocol import (
    Misconfigured,
    Refused,
    decode,
    encode,
    require_members,
    require_texts,
    shape,
)

TOKEN_LIFETIME_CEILING = (
    3_600  # seconds: a stolen token is worth at most this long (issue: capped at one hour)
)
KEY_USE_CEILING = 14 * 86_400  # seconds from use_from to use_until
MANIFEST_LIFE_CEILING = 600  # seconds: how long a validator that is cut off may go on
_POLICY = shape(
    int="version manifest_floor manifest_max_life rollover_lead key_use_max",
    str="origin_prefix authority",
    list="admission_keys",
    dict="realms custody",
)
_REALM = shape(str="issuer", list="audiences token_types algorithms", int="max_lifetime")


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


def _require(holds: object, what: str) -> None:
    if not holds:
        raise Misconfigured(what)


def _realm(name: str, unverified: object) -> Realm:
    where = f"realm {name}"
    members = require_members(unverified, _REALM, where)
    audiences, token_types, algorithms = (
        tuple(require_texts(members[m], f"{where}: {m}")) for m in ("audiences", "token_types", "algorithms")
    )
    _require(
        bool(members["issuer"] and audiences and token_types and algorithms), f"{where}: nothing may be empty"
    )
    _require(set(algorithms) <= set(jws.ALGORITHMS), f"{where}: algorithms are {', '.join(jws.ALGORITHMS)}")
    _require(0 < members["max_lifetime"] <= TOKEN_LIFETIME_CEILING, f"{where}: max_lifetime is 1 to 3600 s")
    listed = {audience: encode(audience) for audience in audiences}
    opening = '{"iss":' + encode(members["issuer"])
    return Realm(name, members["issuer"], listed, token_types, members["max_lifetime"], algorithms, opening)


def parse_policy(unverified: bytes) -> Policy:
    """The policy; Misconfigured with the reason when it is malformed or too wide."""
    try:
        members = require_members(decode(unverified), _POLICY, "policy")
        realms = {name: _realm(name, body) for name, body in members["realms"].items()}
        admission_keys = dict(map(jws.identity_key, members["admission_keys"]))
    except Refused as error:
        raise Misconfigured(f"policy: {error.message}") from None
    _require(members["version"] == 1, "policy: version must be 1")
    prefix = members["origin_prefix"]
    _require(
        bool(prefix) and not set(prefix) & set("+ \n\t"), "policy: origin_prefix must fit a note's key name"
    )
    _require(
        0 < members["manifest_max_life"] <= MANIFEST_LIFE_CEILING, "policy: manifest_max_life is 1 to 600 s"
    )
    _require(0 < members["key_use_max"] <= KEY_USE_CEILING, "policy: key_use_max is at most 14 days")
    _require(bool(realms) and all(realms), "policy: a realm with a name is needed")
    issuers = {realm.issuer for realm in realms.values()}
    _require(len(issuers) == len(realms), "policy: two realms have one issuer")
    settled = {"digest": sha256(unverified).hexdigest(), "realms": realms, "admission_keys": admission_keys}
    return Policy(**{**members, **settled})
