"""Which configurations may run. Pure.

Ceilings live in code and are cited there; a configuration can only tighten them. Every problem says which
value, which rule and what to do. May never repair a value: what runs is what was written.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from sealwright.config.answers import answer_problems
from sealwright.config.durations import spoken
from sealwright.config.model import (
    ADMISSION_LIFETIME_CEILING,
    KEY_HANDOVER,
    MANIFEST_LIFE_CEILING,
    TOKEN_LIFETIME_CEILING,
    Config,
    RealmConfig,
)
from sealwright.config.problem import Problem, between
from sealwright.config.profiles import admission_ceiling, profile_problems
from sealwright.config.retention import retention_problems
from sealwright.config.signer_policy import released_pin
from sealwright.errors import Misconfigured

ALGORITHMS = ("ES256", "EdDSA", "RS256", "PS256")
TOKEN_TYPES = ("at+jwt",)
EVIDENCE_LEVELS = ("none", "simulated", "virtual-tpm", "hardware")
PROVEN_LEVELS = ("virtual-tpm", "hardware")
POLICY_CHANGES = ("file", "approved")
COLLECTORS = ("none", "simulated", "configfs-tsm", "sev-guest", "nsm", "tpm", "azure")
RECHECK_FLOOR, RECHECK_CEILING = 5, 86_400
CUSTODIES, TOKEN_OBJECTS = ("memory", "pkcs11"), ("session", "token")
SESSIONS_CEILING, PATIENCE_CEILING = 64, 600
LOG_LEVELS = ("debug", "info", "warning", "error")
RESERVED_REALMS = frozenset(
    {
        "admin",
        "console",
        "healthz",
        "ledger",
        "manifest",
        "metrics",
        "notices",
        "observations",
        "readyz",
        "root",
        "ssf",
    }
)
"""First path segments of the authority's own routes; a realm's routes are `/{realm}/…`."""
MANIFEST_LIFE_FLOOR, KEY_USE_FLOOR, ADMISSION_LIFETIME_FLOOR = 2, 10, 60
WITNESS_WAIT_CEILING = 30
SKEW_CEILING, SIGNERS_CEILING, AUDIENCE_CEILING, PORT_CEILING = 300, 64, 512, 65_535

_REALM = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+", re.ASCII)  # RFC 6749 section 3.3
_AUDIENCE = re.compile(r"[\x21-\x7e]+", re.ASCII)


def require_runnable(config: Config) -> None:
    """Refuse a configuration that breaks a rule.

    Raises:
        Misconfigured: its code is the first broken rule; the text names every one, a line each.
    """
    found = list(problems(config))
    if found:
        raise Misconfigured(found[0].rule, "\n".join(str(problem) for problem in found))


def problems(config: Config) -> Iterator[Problem]:
    """Every broken rule of `config`."""
    yield from _server(config)
    yield from _state(config.state.directory)
    yield from _rotation(config)
    yield from _signers(config)
    yield from between("witness.timeout", config.witness.timeout, 1, WITNESS_WAIT_CEILING, "witness_timeout")
    yield from _custody(config)
    yield from retention_problems(config.retention)
    if not config.realms:
        yield Problem("no_realm", "realms", "there is none", "name one, for example [realms.enterprise]")
    for name, realm in config.realms.items():
        yield from _realm(name, realm)
    yield from _demo(config)
    yield from answer_problems(config)


def _state(directory: str) -> Iterator[Problem]:
    fix = 'name one, for example "state"'
    if not directory.strip():
        yield Problem("state_directory", "state.directory", "it is empty", fix)
    elif any(ord(mark) < ord(" ") or mark == "\x7f" for mark in directory):  # no path at all, or one of traps
        yield Problem("state_directory", "state.directory", f"{directory!r} has a control character", fix)


def _server(config: Config) -> Iterator[Problem]:
    server = config.server
    ports = {"server.port": server.port}
    if config.demo.enabled:
        ports |= {
            "demo.guarded_port": config.demo.guarded_port,
            "demo.ordinary_port": config.demo.ordinary_port,
        }
    for path, port in ports.items():
        if not 1 <= port <= PORT_CEILING:
            yield Problem("port", path, f"{port} is no TCP port", "choose one between 1 and 65535")
    if len(set(ports.values())) != len(ports):
        yield Problem("port", ", ".join(ports), "two of these are the same", "give each its own port")
    if not server.host or any(mark in server.host for mark in " /[]@"):
        yield Problem(
            "host",
            "server.host",
            f'"{server.host}" is no address to listen on',
            'use for example "127.0.0.1"',
        )
    elif not server.public_url and not _is_loopback(server.host):
        yield Problem(
            "public_url",
            "server.public_url",
            f"clients cannot reach the URL made from host {server.host}",
            'set the URL that clients use, for example "https://login.example.com"',
        )
    if server.public_url:
        yield from _public_url(server.public_url)


def _public_url(url: str) -> Iterator[Problem]:
    try:
        parts = urlsplit(url)
        host, well_formed = parts.hostname or "", parts.port is None or parts.port > 0
    except ValueError:
        host, well_formed, parts = "", False, urlsplit("")
    if not (well_formed and host and parts.scheme in {"http", "https"} and _AUDIENCE.fullmatch(url)):
        yield Problem(
            "public_url", "server.public_url", f'"{url}" is no http or https URL', 'write "https://host"'
        )
    elif parts.query or parts.fragment or parts.username is not None or url.endswith(("?", "#")):
        yield Problem(
            "public_url",
            "server.public_url",
            "an issuer has no query, fragment or user (RFC 8414 section 2)",
            "leave them out",
        )
    elif parts.scheme == "http" and not _is_loopback(host):
        yield Problem(
            "public_url",
            "server.public_url",
            "plain http beyond this machine shows every token to the network",
            "use https (a proxy in front may end TLS)",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _rotation(config: Config) -> Iterator[Problem]:
    keys, life = config.keys, config.manifest.life
    yield from between("manifest.life", life, MANIFEST_LIFE_FLOOR, MANIFEST_LIFE_CEILING, "manifest_life")
    yield from profile_problems(config, KEY_USE_FLOOR)
    yield from between("keys.skew", keys.skew, 0, SKEW_CEILING, "skew")
    if keys.lead < life:
        yield Problem(
            "lead_covers_manifest",
            "keys.lead",
            f"{spoken(keys.lead)} is shorter than manifest.life ({spoken(life)}), so a key could sign before "
            "every validator has learnt it",
            f"use at least {spoken(life)}, or shorten manifest.life",
        )
    if keys.use < 2 * (keys.lead + KEY_HANDOVER):
        least = 2 * (keys.lead + KEY_HANDOVER)
        yield Problem(
            "lead_within_use",
            "keys.use",
            f"{spoken(keys.use)} leaves no room to publish a successor for keys.lead ({spoken(keys.lead)})",
            f"use at least {spoken(least)}, or shorten keys.lead",
        )


def _signers(config: Config) -> Iterator[Problem]:
    yield from _remote(config)
    if not (0 if config.signers.remote else 1) <= config.signers.count <= SIGNERS_CEILING:
        yield Problem(
            "signer_count",
            "signers.count",
            f"{config.signers.count} is outside 1 to {SIGNERS_CEILING}",
            "choose one inside",
        )
    if config.admission.evidence not in EVIDENCE_LEVELS:
        yield Problem(
            "evidence_level",
            "admission.evidence",
            f'"{config.admission.evidence}" is no evidence level',
            f"use one of {', '.join(EVIDENCE_LEVELS)}",
        )
    yield from between(
        "admission.lifetime",
        config.admission.lifetime,
        ADMISSION_LIFETIME_FLOOR,
        admission_ceiling(config, ADMISSION_LIFETIME_CEILING),
        "admission_lifetime",
    )
    yield from _admission_covers_keys(config)
    yield from _proof(config)
    if config.log.level not in LOG_LEVELS:
        yield Problem(
            "log_level",
            "log.level",
            f'"{config.log.level}" is no level',
            f"use one of {', '.join(LOG_LEVELS)}",
        )


def _remote(config: Config) -> Iterator[Problem]:
    remote = config.signers.remote
    if not remote:
        return
    from sealwright_signer.remote.address import parsed_address
    from sealwright_signer.remote.channel import ChannelError, parsed_key

    fix = "write tls://host:port#ed25519:KEY or vsock://cid:port#ed25519:KEY, the key as that host prints it"
    for text in remote:
        address, _, key = text.partition("#")
        try:
            parsed_address(address)
            parsed_key(key)
        except ChannelError as error:
            yield Problem("remote_signer", "signers.remote", str(error), fix)
    if len({text.partition("#")[0] for text in remote}) != len(remote):
        yield Problem("remote_signer", "signers.remote", "an address is listed twice", "one signer each")


def _custody(config: Config) -> Iterator[Problem]:
    """Where keys live. What only the token can tell, the signer finds out when it starts."""
    custody = config.custody
    for name, value, known in (
        ("kind", custody.kind, CUSTODIES),
        ("objects", custody.objects, TOKEN_OBJECTS),
    ):
        if value not in known:
            fix = f"use one of {', '.join(known)}"
            yield Problem("custody", f"custody.{name}", f'"{value}" is not known', fix)
    if custody.kind != "pkcs11":
        return
    if not custody.token:
        yield Problem("custody", "custody.token", "there is none", "name the token's label")
    if purpose := released_pin(config):
        yield from _released(config, purpose)
    pins = () if purpose else (custody.pin_file,)
    places = {"module": (custody.module,), "pin_file": pins, "reach": custody.reach}
    for name, listed in places.items():
        for place in listed:
            if not place.startswith("/"):
                yield Problem(
                    "custody", f"custody.{name}", f'"{place}" is no absolute path', "write it whole"
                )
    if not 1 <= custody.sessions <= SESSIONS_CEILING:
        wrong = f"{custody.sessions} is outside 1 to {SESSIONS_CEILING}"
        yield Problem("custody", "custody.sessions", wrong, "choose one inside")
    yield from between("custody.patience", custody.patience, 1, PATIENCE_CEILING, "custody")


def _released(config: Config, purpose: str) -> Iterator[Problem]:
    """A PIN that is released to the incarnation once it is admitted needs evidence to be admitted on."""
    if purpose not in config.admission.release:
        wrong = f'admission.release has no "{purpose}"'
        yield Problem("custody", "custody.pin_file", wrong, "name the file of the PIN there")
    if config.admission.collector == "none":
        fix = "name how the signer proves itself"
        yield Problem("custody", "admission.collector", "a released PIN needs evidence", fix)


def _proof(config: Config) -> Iterator[Problem]:
    """How a signer proves itself, and what happens when it cannot."""
    asked = config.admission
    if asked.evidence in PROVEN_LEVELS and not asked.policy:
        yield Problem(
            "admission_policy",
            "admission.policy",
            f'there is none, and "{asked.evidence}" can only be established by one',
            "name the file of an appraisal policy (docs/formats/attestation-policy.md)",
        )
    if asked.release and not asked.policy:
        yield Problem(
            "release_without_policy",
            "admission.release",
            "without admission.policy nobody can tell whom a secret may be released to",
            "name the file of an appraisal policy, or release nothing",
        )
    if asked.changes not in POLICY_CHANGES:
        wrong = f'"{asked.changes}" is no way of changing the policy'
        yield Problem("policy_changes", "admission.changes", wrong, f"use one of {', '.join(POLICY_CHANGES)}")
    name, _, place = asked.collector.partition(":")
    if name not in COLLECTORS or (place and not place.startswith("/")):
        yield Problem(
            "collector",
            "admission.collector",
            f'"{asked.collector}" is no collector of evidence',
            f"use one of {', '.join(COLLECTORS)}, with :/path where its device is elsewhere",
        )
    yield from between("admission.recheck", asked.recheck, RECHECK_FLOOR, RECHECK_CEILING, "recheck")
    yield from between("admission.grace", asked.grace, 0, RECHECK_CEILING, "grace")


def _admission_covers_keys(config: Config) -> Iterator[Problem]:
    """When a signer dies its keys stay published until their last token has expired, and a manifest names no
    signer whose admission is over. An admission is renewed at half of its life, so half of it must cover a
    key's whole life.
    """
    lifetime = max((realm.max_lifetime for realm in config.realms.values()), default=0)
    keys = config.keys
    least = 2 * (keys.use + KEY_HANDOVER + lifetime + 2 * keys.skew + config.manifest.life)
    if config.admission.lifetime < least:
        yield Problem(
            "admission_covers_keys",
            "admission.lifetime",
            f"{spoken(config.admission.lifetime)} is shorter than twice the life of a key and its last token",
            f"use at least {spoken(least)}, or shorten keys.use",
        )


def _realm(name: str, realm: RealmConfig) -> Iterator[Problem]:
    path = f"realms.{name}"
    if not _REALM.fullmatch(name):
        yield Problem(
            "realm_name",
            path,
            "a realm's name is a lower-case letter and up to 31 of a-z, 0-9 and -",
            "rename it",
        )
    if name in RESERVED_REALMS:
        yield Problem("realm_name", path, f"/{name} is a route of the authority itself", "rename it")
    yield from _listed(
        f"{path}.audiences", realm.audiences, "audience", "name at least one API that takes these tokens"
    )
    for audience in realm.audiences:
        if not _AUDIENCE.fullmatch(audience) or len(audience) > AUDIENCE_CEILING:
            yield Problem(
                "audience",
                f"{path}.audiences",
                f"{audience!r} is no audience",
                f"use a URL or name without spaces, at most {AUDIENCE_CEILING} characters",
            )
    yield from _known(f"{path}.algorithms", realm.algorithms, ALGORITHMS, "algorithm")
    yield from _known(f"{path}.token_types", realm.token_types, TOKEN_TYPES, "token_type")
    if len(set(realm.scopes)) != len(realm.scopes) or not all(map(_SCOPE.fullmatch, realm.scopes)):
        yield Problem(
            "scope",
            f"{path}.scopes",
            "a scope is listed twice or is no scope (RFC 6749 section 3.3)",
            "list each once, without spaces, quotes and backslashes",
        )
    yield from between(
        f"{path}.max_lifetime", realm.max_lifetime, 1, TOKEN_LIFETIME_CEILING, "token_lifetime"
    )
    if not 1 <= realm.default_lifetime <= realm.max_lifetime:
        yield Problem(
            "token_lifetime",
            f"{path}.default_lifetime",
            f"{spoken(realm.default_lifetime)} is outside 1s to max_lifetime ({spoken(realm.max_lifetime)})",
            "shorten it",
        )


def _listed(path: str, values: tuple[str, ...], rule: str, fix: str) -> Iterator[Problem]:
    if not values:
        yield Problem(rule, path, "it is empty", fix)
    if len(set(values)) != len(values):
        yield Problem(rule, path, "something is listed twice", "list each once")


def _known(path: str, values: tuple[str, ...], known: tuple[str, ...], rule: str) -> Iterator[Problem]:
    yield from _listed(path, values, rule, f"use some of {', '.join(known)}")
    for value in values:
        if value not in known:
            yield Problem(rule, path, f"{value!r} is not known", f"use some of {', '.join(known)}")


def _demo(config: Config) -> Iterator[Problem]:
    missing = [name for name in ("consumer", "enterprise") if name not in config.realms]
    if config.demo.enabled and missing:
        yield Problem(
            "demo_realms",
            "demo.enabled",
            f"the demo needs a realm {' and a realm '.join(missing)}",
            "add what is missing, or switch the demo off (demo.enabled = false, or --no-demo)",
        )
