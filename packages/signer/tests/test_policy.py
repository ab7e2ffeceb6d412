"""A policy is taken exactly, or the signer does not start."""

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from sealwright_signer.custody import for_policy
from sealwright_signer.custody.memory import MemoryCustody
from sealwright_signer.policy import parse_policy
from sealwright_signer.protocol import Misconfigured

Change = Callable[[dict[str, Any]], object]


def test_a_good_policy_is_read_with_its_digest(policy: dict[str, Any]) -> None:
    document = json.dumps(policy).encode()
    read = parse_policy(document)
    assert read.digest == hashlib.sha256(document).hexdigest()
    assert read.realms.keys() == {"enterprise", "consumer"}
    assert list(read.realms["enterprise"].audiences) == policy["realms"]["enterprise"]["audiences"]


def realm(**members: Any) -> Change:
    return lambda policy: policy["realms"]["enterprise"].update(members)


CHANGES: dict[str, Change] = {
    "other_version": lambda p: p.update(version=2),
    "unknown_member": lambda p: p.update(extra=1),
    "missing_member": lambda p: p.pop("manifest_floor"),
    "bool_for_int": lambda p: p.update(rollover_lead=True),
    "float_for_int": lambda p: p.update(rollover_lead=1.0),
    "negative": lambda p: p.update(rollover_lead=-1),
    "no_realms": lambda p: p.update(realms={}),
    "nameless_realm": lambda p: p["realms"].update({"": p["realms"]["consumer"] | {"issuer": "x"}}),
    "shared_issuer": lambda p: p["realms"]["consumer"].update(issuer=p["realms"]["enterprise"]["issuer"]),
    "long_tokens": realm(max_lifetime=3_601),
    "no_lifetime": realm(max_lifetime=0),
    "no_audiences": realm(audiences=[]),
    "audience_twice": realm(audiences=["a", "a"]),
    "audience_of_no_text": realm(audiences=[1]),
    "empty_audience": realm(audiences=[""]),
    "no_types": realm(token_types=[]),
    "no_algorithms": realm(algorithms=[]),
    "alg_none": realm(algorithms=["none"]),
    "alg_hmac": realm(algorithms=["HS256"]),
    "no_issuer": realm(issuer=""),
    "unknown_realm_member": realm(extra=1),
    "long_use": lambda p: p.update(key_use_max=14 * 86_400 + 1),
    "no_use": lambda p: p.update(key_use_max=0),
    "long_manifest": lambda p: p.update(manifest_max_life=601),
    "prefix_that_breaks_notes": lambda p: p.update(origin_prefix="a b"),
    "prefix_with_plus": lambda p: p.update(origin_prefix="a+b"),
    "no_prefix": lambda p: p.update(origin_prefix=""),
    "admission_key_of_other_kind": lambda p: p.update(admission_keys=[{"kty": "RSA"}]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_policy_that_is_malformed_or_too_wide_is_refused(policy: dict[str, Any], name: str) -> None:
    changed = copy.deepcopy(policy)
    CHANGES[name](changed)
    with pytest.raises(Misconfigured):
        parse_policy(json.dumps(changed).encode())


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b"\xff", b'{"version":1,"version":1}', b"[" * 100_000, b"NaN"]
)
def test_what_is_no_policy_is_refused(document: bytes) -> None:
    with pytest.raises(Misconfigured):
        parse_policy(document)


def test_no_option_selects_a_custody_that_the_product_does_not_have() -> None:
    assert isinstance(for_policy({"kind": "memory"}), MemoryCustody)
    for custody in ({}, {"kind": "drill"}, {"kind": "memory", "leak": True}, {"kind": ["memory"]}):
        with pytest.raises(Misconfigured, match="custody"):
            for_policy(custody)
