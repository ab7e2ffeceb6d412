"""Release policies in the shape of Azure Secure Key Release, and the release of secrets itself."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright_attest import (
    Code,
    Evidence,
    Kind,
    Misconfigured,
    Refused,
    appraise,
    open_released,
    parse_policy,
    policy_from_table,
    release_info,
    report_data,
    seal_for,
)
from sealwright_attest.policy.release import parse_release, unmet
from sealwright_attest.synthetic.snp import Guest
from sealwright_attest.synthetic.world import World

AUTHORITY = "https://sharedeus.eus.attest.azure.net"


def skr(*conditions: dict[str, Any], authority: str = AUTHORITY) -> bytes:
    branch = {"authority": authority, "allOf": list(conditions)}
    return json.dumps({"version": "1.0.0", "anyOf": [branch]}).encode()


COMPLIANT = (
    {"claim": "x-ms-isolation-tee.x-ms-attestation-type", "equals": "sevsnpvm"},
    {"claim": "x-ms-isolation-tee.x-ms-compliance-status", "equals": "azure-compliant-cvm"},
    {"claim": "secureboot", "equals": True},
)


@pytest.mark.parametrize("name", ["azure/snp_milan_v2.json", "azure/snp_milan_v3_a.json"])
def test_usual_release_policy_accepts_genuine_azure_machines(name: str, read: Callable[[str], bytes]) -> None:
    evidence = Evidence(Kind.AZURE, read(name))
    now = datetime(2025, 6, 1, tzinfo=UTC)
    result = appraise(evidence, nonce=b"challenge", policy=parse_policy(skr(*COMPLIANT)), now=now)
    assert result.codes == ()
    other = skr(*COMPLIANT, {"claim": "x-ms-azurevm-vmid", "equals": "another"})
    refused = appraise(evidence, nonce=b"challenge", policy=parse_policy(other), now=now)
    assert refused.codes == (Code.RELEASE_CONDITION,)
    assert any("x-ms-azurevm-vmid" in check.found for check in refused.checks)


def test_machine_that_microsoft_did_not_sign_is_not_compliant(world: World, now: datetime) -> None:
    evidence = world.amd["Milan"].evidence(Guest())
    type_only = parse_policy(skr({"claim": "x-ms-attestation-type", "equals": "sevsnpvm"}))
    assert world.appraise(evidence, nonce=None, now=now, policy=type_only).accepted
    compliant = parse_policy(skr({"claim": "x-ms-compliance-status", "equals": "azure-compliant-cvm"}))
    assert world.appraise(evidence, nonce=None, now=now, policy=compliant).codes == (Code.RELEASE_CONDITION,)


def test_authority_must_be_one_that_the_operator_stands_in_for(world: World, now: datetime) -> None:
    table: dict[str, Any] = {
        "schema": 1,
        "name": "p",
        "revision": "1",
        "platforms": ["sev-snp"],
        "nonce": "optional",
        "binding": "optional",
        "measurements": {"any": True},
        "release": {
            "authorities": [AUTHORITY + "/"],
            "document": skr({"claim": "x-ms-sevsnpvm-vmpl", "equals": 0}).decode(),
        },
    }
    evidence = world.amd["Milan"].evidence(Guest())
    assert world.appraise(evidence, nonce=None, now=now, policy=policy_from_table(table)).accepted
    table["release"]["authorities"] = ["https://elsewhere.example"]
    refused = world.appraise(evidence, nonce=None, now=now, policy=policy_from_table(table))
    assert refused.codes == (Code.RELEASE_CONDITION,)


CLAIMS = {"a": 5, "b": "text", "c": True, "d.e": 1, "f": {"g": [1, 2]}, "n": {"o": {"p": "deep"}}}
TABLE = [
    ({"claim": "a", "equals": 5}, True),
    ({"claim": "a", "equals": "5"}, False),
    ({"claim": "a", "notEquals": 6}, True),
    ({"claim": "a", "less": 6}, True),
    ({"claim": "a", "less": 5}, False),
    ({"claim": "a", "lessOrEquals": 5}, True),
    ({"claim": "a", "greater": 4}, True),
    ({"claim": "a", "greaterOrEquals": 6}, False),
    ({"claim": "b", "greater": 1}, False),
    ({"claim": "c", "greater": 0}, False),
    ({"claim": "c", "equals": "true"}, True),
    ({"claim": "d.e", "equals": 1}, True),
    ({"claim": "n.o.p", "equals": "deep"}, True),
    ({"claim": "n.o.q", "equals": "deep"}, False),
    ({"claim": "zz", "equals": "x"}, False),
    ({"claim": "zz", "notEquals": "x"}, False),
    ({"claim": "zz", "exists": False}, True),
    ({"claim": "zz", "exists": True}, False),
    ({"claim": "a", "exists": "true"}, True),
    ({"anyOf": [{"claim": "a", "equals": 1}, {"claim": "b", "equals": "text"}]}, True),
    ({"anyOf": [{"claim": "a", "equals": 1}, {"claim": "b", "equals": "x"}]}, False),
    ({"allOf": [{"claim": "a", "equals": 5}, {"claim": "b", "equals": "x"}]}, False),
]


@pytest.mark.parametrize(("condition", "holds"), TABLE, ids=[str(index) for index in range(len(TABLE))])
def test_condition_holds_as_the_grammar_says(condition: dict[str, Any], holds: bool) -> None:
    (branch,) = parse_release(skr(condition))
    assert (unmet(branch.group, CLAIMS) == []) is holds


BROKEN: list[object] = [
    {"version": "1.0.0"},
    {"version": "2.0.0", "anyOf": []},
    {"version": "1.0.0", "anyOf": []},
    {"version": "1.0.0", "anyOf": [{"allOf": [{"claim": "a", "equals": 1}]}]},
    {"version": "1.0.0", "anyOf": [{"authority": "x"}]},
    {"version": "1.0.0", "anyOf": [{"authority": "x", "allOf": []}]},
    {"version": "1.0.0", "anyOf": [{"authority": "x", "allOf": [{"claim": "a"}]}]},
    {"version": "1.0.0", "anyOf": [{"authority": "x", "allOf": [{"claim": "a", "like": "b"}]}]},
    {"version": "1.0.0", "anyOf": [{"authority": "x", "allOf": [{"claim": "a", "equals": 1, "less": 2}]}]},
    {"version": "1.0.0", "anyOf": [{"authority": "x", "allOf": [{"claim": "a", "equals": [1]}]}]},
    {"version": "1.0.0", "anyOf": [{"authority": "x", "allOf": [1]}]},
    {"version": "1.0.0", "anyOf": [{"authority": "x", "allOf": [], "anyOf": []}]},
    {"version": "1.0.0", "anyOf": [], "extra": 1},
]


@pytest.mark.parametrize("document", BROKEN, ids=[str(index) for index in range(len(BROKEN))])
def test_document_outside_the_grammar_is_misconfigured(document: object) -> None:
    with pytest.raises(Misconfigured):
        parse_release(json.dumps(document).encode())


def test_group_that_is_too_deep_is_misconfigured() -> None:
    condition: dict[str, Any] = {"claim": "a", "equals": 1}
    for _ in range(9):
        condition = {"allOf": [condition]}
    with pytest.raises(Misconfigured):
        parse_release(skr(condition))


@pytest.fixture
def release_key() -> X25519PrivateKey:
    return X25519PrivateKey.generate()


def raw(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def test_secret_reaches_the_attested_key_and_no_other(
    world: World, now: datetime, nonce: bytes, identity: bytes, release_key: X25519PrivateKey
) -> None:
    public = raw(release_key)
    guest = Guest(report_data=report_data(nonce, identity, public))
    evidence = world.amd["Turin"].evidence(guest, identity, public)
    result = world.appraise(evidence, nonce=nonce, now=now)
    assert result.release_key == public
    sealed = seal_for(result, b"hsm pin 1234", "hsm-pin")
    info = release_info(nonce, identity, result.evidence_hash, "hsm-pin")
    assert open_released(sealed, release_key, info) == b"hsm pin 1234"
    assert b"1234" not in sealed
    wrong = [
        (sealed, X25519PrivateKey.generate(), info),
        (sealed, release_key, release_info(nonce, identity, result.evidence_hash, "tls-key")),
        (sealed, release_key, release_info(b"x" * 32, identity, result.evidence_hash, "hsm-pin")),
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), release_key, info),
        (sealed[:20], release_key, info),
    ]
    for data, key, other in wrong:
        with pytest.raises(Refused) as refusal:
            open_released(data, key, other)
        assert refusal.value.code is Code.SIGNATURE_INVALID


def test_man_in_the_middle_cannot_swap_the_release_key(
    world: World, now: datetime, nonce: bytes, identity: bytes, release_key: X25519PrivateKey
) -> None:
    guest = Guest(report_data=report_data(nonce, identity, raw(release_key)))
    mine = raw(X25519PrivateKey.generate())
    result = world.appraise(world.amd["Turin"].evidence(guest, identity, mine), nonce=nonce, now=now)
    assert result.codes == (Code.BINDING_MISMATCH,)
    assert result.release_key is None
    with pytest.raises(Refused):
        seal_for(result, b"secret", "hsm-pin")


def test_nothing_is_released_without_a_bound_key_or_to_refused_evidence(
    world: World, now: datetime, nonce: bytes, identity: bytes, bound: bytes, release_key: X25519PrivateKey
) -> None:
    plain = world.appraise(
        world.amd["Turin"].evidence(Guest(report_data=bound), identity), nonce=nonce, now=now
    )
    with pytest.raises(Refused) as refusal:
        seal_for(plain, b"secret", "hsm-pin")
    assert refusal.value.code is Code.BINDING_MISSING
    public = raw(release_key)
    guest = Guest(report_data=report_data(nonce, identity, public), vmpl=1)
    refused = world.appraise(world.amd["Turin"].evidence(guest, identity, public), nonce=nonce, now=now)
    with pytest.raises(Refused) as other:
        seal_for(refused, b"secret", "hsm-pin")
    assert other.value.code is Code.VMPL


def test_key_of_small_order_and_unusable_purposes_are_refused(
    world: World, now: datetime, nonce: bytes, identity: bytes
) -> None:
    zero = bytes(32)
    guest = Guest(report_data=report_data(nonce, identity, zero))
    result = world.appraise(world.amd["Turin"].evidence(guest, identity, zero), nonce=nonce, now=now)
    assert result.accepted
    with pytest.raises(Refused) as refusal:
        seal_for(result, b"secret", "hsm-pin")
    assert refusal.value.code is Code.MALFORMED
    for purpose in ("", "x" * 256):
        with pytest.raises(Misconfigured):
            seal_for(result, b"secret", purpose)
    with pytest.raises(Misconfigured):
        seal_for(result, bytes(65 * 1024), "hsm-pin")
