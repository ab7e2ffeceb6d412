"""Every rule refuses what it is for, by its own code; the ceilings hold for any configuration."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwright import config as c
from sealwright.config import Config, RealmConfig, problems, require_runnable, signer_policy
from sealwright.errors import Misconfigured
from sealwright.keys import rules as key_rules
from sealwright.keys.model import KeyPolicy
from sealwright_signer.policy import parse_policy

MAIL = ("https://mail.example",)


def realm(**changes: Any) -> Config:
    return Config(
        realms=Config().realms | {"staff": RealmConfig(**({"audiences": MAIL} | changes))},
    )


def named(name: str) -> Config:
    return Config(realms=Config().realms | {name: RealmConfig(audiences=MAIL)})


BROKEN: list[tuple[str, Config]] = [
    ("admission_policy", Config(admission=c.AdmissionConfig(evidence="hardware"))),
    ("admission_policy", Config(admission=c.AdmissionConfig(evidence="virtual-tpm"))),
    ("collector", Config(admission=c.AdmissionConfig(collector="crystal-ball"))),
    ("collector", Config(admission=c.AdmissionConfig(collector="tpm:dev/tpmrm0"))),
    ("recheck", Config(admission=c.AdmissionConfig(recheck=1))),
    ("grace", Config(admission=c.AdmissionConfig(grace=100_000))),
    ("state_directory", Config(state=c.StateConfig(directory=" "))),
    ("port", Config(server=c.ServerConfig(port=0))),
    ("port", Config(server=c.ServerConfig(port=70_000))),
    ("port", Config(demo=c.DemoConfig(guarded_port=8420))),
    ("host", Config(server=c.ServerConfig(host=""))),
    ("host", Config(server=c.ServerConfig(host="http://127.0.0.1"))),
    ("public_url", Config(server=c.ServerConfig(host="0.0.0.0"))),  # noqa: S104 - shown to be refused
    ("public_url", Config(server=c.ServerConfig(public_url="ftp://x.example"))),
    ("public_url", Config(server=c.ServerConfig(public_url="https://x.example/?a=b"))),
    ("public_url", Config(server=c.ServerConfig(public_url="https://x.example/#a"))),
    ("public_url", Config(server=c.ServerConfig(public_url="https://me@x.example"))),
    ("public_url", Config(server=c.ServerConfig(public_url="https://x.example:99999"))),
    ("public_url", Config(server=c.ServerConfig(public_url="http://x.example"))),
    ("public_url", Config(server=c.ServerConfig(public_url="https://x example"))),
    ("manifest_life", Config(manifest=c.ManifestConfig(life=601))),
    ("manifest_life", Config(manifest=c.ManifestConfig(life=1))),
    (
        "key_use",
        Config(
            keys=c.KeyConfig(profile="nist-ir-8587", use=14 * 86_400 + 1),
            admission=c.AdmissionConfig(lifetime=31 * 86_400),
        ),
    ),
    ("key_use", Config(keys=c.KeyConfig(use=86_401), admission=c.AdmissionConfig(lifetime=31 * 86_400))),
    ("profile", Config(keys=c.KeyConfig(profile="lax"))),
    ("tenancy", realm(tenancy="everyone")),
    ("lead_covers_manifest", Config(keys=c.KeyConfig(lead=0))),
    ("skew", Config(keys=c.KeyConfig(skew=-1))),
    ("skew", Config(keys=c.KeyConfig(skew=301))),
    ("lead_covers_manifest", Config(keys=c.KeyConfig(lead=59))),
    ("lead_within_use", Config(keys=c.KeyConfig(use=3_600, lead=1_800))),
    ("signer_count", Config(signers=c.SignerConfig(count=0))),
    ("remote_signer", Config(signers=c.SignerConfig(remote=("tls://host:8440",)))),
    ("remote_signer", Config(signers=c.SignerConfig(remote=("http://host:1#ed25519:" + "A" * 43,)))),
    ("remote_signer", Config(signers=c.SignerConfig(remote=("tls://host:1#ed25519:" + "A" * 43,) * 2))),
    ("custody", Config(custody=c.CustodyConfig(kind="paper"))),
    ("custody", Config(custody=c.CustodyConfig(kind="pkcs11", module="/m", pin_file="/p"))),
    ("custody", Config(custody=c.CustodyConfig(kind="pkcs11", module="m", token="t", pin_file="/p"))),
    ("custody", Config(custody=c.CustodyConfig("pkcs11", "/m", "t", "/p", objects="paper"))),
    ("custody", Config(custody=c.CustodyConfig("pkcs11", "/m", "t", "/p", sessions=0))),
    ("custody", Config(custody=c.CustodyConfig("pkcs11", "/m", "t", "/p", patience=601))),
    ("evidence_level", Config(admission=c.AdmissionConfig(evidence="strong"))),
    ("admission_lifetime", Config(admission=c.AdmissionConfig(lifetime=33 * 86_400))),
    ("admission_covers_keys", Config(admission=c.AdmissionConfig(lifetime=12 * 3_600))),
    ("admission_covers_keys", Config(keys=c.KeyConfig(use=86_400))),
    ("detection_every", Config(detection=c.DetectionConfig(every=5))),
    ("detection_hot", Config(detection=c.DetectionConfig(hot=60))),
    ("nats", Config(detection=c.DetectionConfig(nats="nats://bus.example:4222"))),
    ("nats", Config(detection=c.DetectionConfig(nats="https://bus.example"))),
    ("nats", Config(detection=c.DetectionConfig(nats="tls://me@bus.example"))),
    ("webhook_secret", Config(alarms=c.AlarmsConfig(webhook="https://siem.example/in"))),
    ("webhook_secret", Config(alarms=c.AlarmsConfig(webhook_secret="secret.txt"))),
    ("webhook", Config(alarms=c.AlarmsConfig(webhook="ftp://siem.example", webhook_secret="s"))),
    ("webhook", Config(alarms=c.AlarmsConfig(webhook="http://siem.example/in", webhook_secret="s"))),
    ("webhook", Config(alarms=c.AlarmsConfig(webhook="https://me@siem.example/", webhook_secret="s"))),
    ("syslog", Config(alarms=c.AlarmsConfig(syslog="log.example"))),
    ("syslog", Config(alarms=c.AlarmsConfig(syslog="log.example:0"))),
    ("response_mode", Config(response=c.ResponseConfig(revoke_stolen_key="always"))),
    ("response_most", Config(response=c.ResponseConfig(most=0))),
    ("response_within", Config(response=c.ResponseConfig(within=1))),
    ("signals_audience", Config(signals=c.SignalsConfig(audience="https://nobody.example"))),
    ("signals_unacknowledged", Config(signals=c.SignalsConfig(unacknowledged=0))),
    ("log_level", Config(log=c.LogConfig(level="loud"))),
    ("no_realm", Config(realms={}, demo=c.DemoConfig(enabled=False))),
    ("demo_realms", Config(realms={"staff": RealmConfig(audiences=MAIL)})),
    ("realm_name", named("Staff")),
    ("realm_name", named("a_b")),
    ("realm_name", named("a" * 33)),
    ("realm_name", named("")),
    ("realm_name", named("staff\n")),
    ("realm_name", named("ledger")),
    ("audience", realm(audiences=())),
    ("audience", realm(audiences=("a", "a"))),
    ("audience", realm(audiences=("a b",))),
    ("audience", realm(audiences=("",))),
    ("algorithm", realm(algorithms=())),
    ("algorithm", realm(algorithms=("none",))),
    ("algorithm", realm(algorithms=("HS256",))),
    ("token_type", realm(token_types=("JWT",))),
    ("scope", realm(scopes=("a b",))),
    ("scope", realm(scopes=("a", "a"))),
    ("token_lifetime", realm(max_lifetime=3_601)),
    ("token_lifetime", realm(max_lifetime=0)),
    ("token_lifetime", realm(default_lifetime=0)),
    ("token_lifetime", realm(max_lifetime=60, default_lifetime=61)),
]


def test_the_defaults_may_run() -> None:
    require_runnable(Config())


@pytest.mark.parametrize(
    ("rule", "config"), BROKEN, ids=[f"{i}-{rule}" for i, (rule, _) in enumerate(BROKEN)]
)
def test_each_rule_refuses_by_its_code_and_says_what_to_do(rule: str, config: Config) -> None:
    found = list(problems(config))
    assert {problem.rule for problem in found} == {rule}
    assert all(problem.path and problem.wrong and problem.fix for problem in found)
    with pytest.raises(Misconfigured) as caught:
        require_runnable(config)
    assert caught.value.code == rule


@pytest.mark.parametrize(
    ("profile", "tenancy", "days"),
    [
        ("nist-ir-8587", "multi-tenant", 14),
        ("nist-ir-8587", "tenant-specific", 90),
        ("nist-ir-8587", "on-premises", 365),
        ("strict", "multi-tenant", 1),
        ("strict", "tenant-specific", 7),
        ("strict", "on-premises", 14),
    ],
)
def test_a_profile_ends_where_it_says_and_the_signer_agrees(profile: str, tenancy: str, days: int) -> None:
    def made(use: int) -> Config:
        return Config(
            keys=c.KeyConfig(profile=profile, use=use),
            admission=c.AdmissionConfig(lifetime=2 * days * 86_400 + 3 * 86_400),
            realms={"staff": RealmConfig(audiences=MAIL, tenancy=tenancy)},
            demo=c.DemoConfig(enabled=False),
        )

    require_runnable(made(days * 86_400))
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}
    parse_policy(msgspec.json.encode(signer_policy(made(days * 86_400), [jwk], 0)))
    assert {problem.rule for problem in problems(made(days * 86_400 + 1))} >= {"key_use"}


def test_one_strict_realm_holds_all_keys_to_its_ceiling() -> None:
    realms = {
        "own": RealmConfig(audiences=MAIL, tenancy="on-premises"),
        "shared": RealmConfig(audiences=MAIL),
    }
    config = Config(
        keys=c.KeyConfig(profile="nist-ir-8587", use=15 * 86_400),
        admission=c.AdmissionConfig(lifetime=32 * 86_400),
        realms=realms,
        demo=c.DemoConfig(enabled=False),
    )
    assert {problem.rule for problem in problems(config)} == {"key_use"}


def test_every_problem_is_named_at_once() -> None:
    config = Config(manifest=c.ManifestConfig(life=601), signers=c.SignerConfig(count=0))
    with pytest.raises(Misconfigured) as caught:
        require_runnable(config)
    assert "manifest.life" in caught.value.public
    assert "signers.count" in caught.value.public


def test_a_public_url_behind_a_proxy_is_the_issuer() -> None:
    config = Config(server=c.ServerConfig(host="0.0.0.0", public_url="https://login.example/"))  # noqa: S104
    require_runnable(config)
    assert config.issuer("enterprise") == "https://login.example/enterprise"
    assert signer_policy(config, [], 0)["origin_prefix"] == "login.example/ledger"


def test_an_ipv6_host_gives_a_url_that_clients_can_use() -> None:
    config = Config(server=c.ServerConfig(host="::1"))
    require_runnable(config)
    assert config.server.url == "http://[::1]:8420"


WHOLE = st.integers(min_value=-10, max_value=20 * 86_400)


@given(use=WHOLE, lead=WHOLE, life=WHOLE, skew=WHOLE, ttl=WHOLE, default=WHOLE)
def test_nothing_that_may_run_exceeds_a_ceiling(
    use: int, lead: int, life: int, skew: int, ttl: int, default: int
) -> None:
    """Whatever passes is within the ceilings of the code, and the keys room accepts it as sound."""
    config = Config(
        keys=c.KeyConfig(profile="nist-ir-8587", use=use, lead=lead, skew=skew),
        manifest=c.ManifestConfig(life=life),
        admission=c.AdmissionConfig(lifetime=31 * 86_400),
        realms={
            name: RealmConfig(audiences=MAIL, max_lifetime=ttl, default_lifetime=default)
            for name in ("consumer", "enterprise")
        },
    )
    if list(problems(config)):
        return
    assert 0 < default <= ttl <= 3_600
    assert life <= 600
    assert life <= lead < use <= 14 * 86_400
    key_rules.require_sound(KeyPolicy("enterprise", "ES256", use, lead, skew, ttl, life))


@given(use=st.integers(1, 4_000), lead=st.integers(1, 4_000), life=st.integers(2, 600))
def test_what_the_keys_room_refuses_never_passes(use: int, lead: int, life: int) -> None:
    config = Config(keys=c.KeyConfig(use=use, lead=lead), manifest=c.ManifestConfig(life=life))
    try:
        key_rules.require_sound(KeyPolicy("enterprise", "ES256", use, lead, 60, 3_600, life))
    except Misconfigured:
        assert list(problems(config))


def test_the_signer_policy_holds_only_what_the_protocol_names() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "AA"}
    policy = signer_policy(Config(), [jwk], 17)
    assert set(policy) == {
        "version", "origin_prefix", "authority", "admission_keys", "manifest_floor", "manifest_max_life",
        "rollover_lead", "key_use_max", "realms", "custody",
    }  # fmt: skip
    assert policy["custody"] == {"kind": "memory"}
    assert policy["manifest_floor"] == 17
    assert policy["admission_keys"] == [jwk]
    issuers = {realm["issuer"] for realm in policy["realms"].values()}
    assert len(issuers) == len(policy["realms"])
    assert msgspec.json.decode(msgspec.json.encode(policy)) == policy


def test_handover_is_the_one_of_the_keys_room() -> None:
    assert c.KEY_HANDOVER == key_rules.HANDOVER
