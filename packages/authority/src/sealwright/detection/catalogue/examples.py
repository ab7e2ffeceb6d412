"""For each detection a true positive, and a near miss: something that looks like it and is not.

Tests run each on every engine; whoever tunes a detection reads here what it must tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sealwright.detection.catalogue.world import ACTIVE_KEY, DAY, LOG, NOW, OLD_KEY, SINCE, World, digest_of

Act = Callable[[World], object]
CONSUMER = "https://issuer.example/consumer"


@dataclass(frozen=True, slots=True)
class Example:
    """What happens in a quiet world, and what it is called."""

    positive: Act
    near_miss: Act


def _each(world: World, *acts: Callable[[], object]) -> World:
    for act in acts:
        act()
    return world


def _revoked(world: World, kid: str, ago: float, issued_before: float | None = None) -> str:
    world.key(kid, status="revoked", revoked_at=NOW - ago, issued_before=issued_before)
    return kid


def _twins(world: World, *, forged: bool) -> None:
    token = world.issue()
    world.observe(token)
    world.observe(token | {"digest": digest_of("twin")} if forged else token, network="AS64500")


def _dormant(world: World, hours: float) -> None:
    kid = f"key-asleep-{hours}"
    world.key(kid, use_from=NOW - 5 * DAY, activated_at=NOW - 5 * DAY)
    world.issue(kid=kid, iat=int(NOW - 60 - hours * 3_600))
    world.observe(world.forge(kid=kid, digest=digest_of(kid)))


def _replayed(world: World, networks: int) -> None:
    token = world.issue()
    for number in range(networks):
        world.observe(token, network=f"AS6450{number}", at=NOW - 40 + number)
    for number in range(networks):  # the client knows each of them
        world.observe(world.issue(iat=int(NOW - 3 * DAY)), network=f"AS6450{number}", at=NOW - 3 * DAY)


def _family(world: World, grant: str) -> None:
    for _ in range(2):
        world.issue(grant=grant, parent=f"{LOG}.0.parent-{grant}")


def _ended(world: World, kind: str, value: str, at: float) -> None:
    world.add("revocations", kind=kind, value=value, at=at)


def _ended_family(world: World, ago: float) -> None:
    family = f"family-{ago}"
    world.observe(world.issue(family=family))
    _ended(world, "family", family, NOW - ago)


def _journey(world: World, hours: float) -> None:
    who = digest_of(f"traveller-{hours}")
    for at, latitude, longitude in ((NOW - 30 - hours * 3_600, 47.4, 8.5), (NOW - 30, 40.7, -74.0)):
        token = world.issue(iat=int(at), sub_digest=who)
        world.observe(token, at=at, latitude=latitude, longitude=longitude, resource=None)


def _disabled(world: World, ago: float) -> None:
    client = f"former-app-{ago}"
    world.add("clients", client_id=client, realm="enterprise", scopes=["mail.read"], disabled_at=NOW - ago)
    world.issue(client_id=client)


def _head(world: World, log: str, size: int, root: str, ago: float, witnesses: int = 2) -> None:
    world.add("checkpoints", log_id=log, size=size, root=root, at=NOW - ago, witnesses=witnesses, live=True)


def _heads(world: World, second: tuple[int, str]) -> None:
    log = f"log-{second[0]}-{second[1]}"
    _head(world, log, 10, "a", 100)
    _head(world, log, second[0], second[1], 50)


def _heard(world: World, name: str, ago: float, age: float) -> None:
    world.add(
        "validators", reporter=name, instance="i-1", heard_at=NOW - ago, manifest_version=7, manifest_age=age
    )


def _rejected(world: World, times: int) -> None:
    for number in range(times):
        token = world.forge(
            kid=None, digest=digest_of(f"junk-{times}-{number}"), jti=None, log_id=None, idx=None
        )
        world.observe(token, verdict="bad_signature", signature="unverified", reporter=f"shop-{times}")


def _other_app(world: World, client: str, *, history: bool) -> None:
    world.add("clients", client_id=client, realm="enterprise", scopes=["mail.read"])
    if history:
        world.observe(world.issue(iat=int(NOW - 80 * DAY), client_id=client), at=NOW - 80 * DAY)
    world.observe(world.issue(client_id=client))


def _many(world: World, client: str, uses: int, past: int) -> None:
    def use(at: float, times: int) -> None:
        token = world.issue(client_id=client, iat=int(at - 1), kid=OLD_KEY if at < NOW - DAY else ACTIVE_KEY)
        for _ in range(times):
            world.observe(token, at=at, sub_digest=None, resource=None, network=None)

    for day in range(5, 0, -1):
        use(NOW - day * DAY - 100, past)
    use(NOW - 100, uses)


def _harvest(world: World, client: str, subjects: int, uses: int) -> None:
    for number in range(subjects):
        who = digest_of(f"{client}-{number}")
        for use in range(uses):
            # spread over 10 days, the last of them just now
            at = NOW - 30 - (subjects - 1 - number + use / 10) * 10 * DAY / subjects
            kid = OLD_KEY if at < NOW - DAY - 60 else ACTIVE_KEY
            token = world.issue(client_id=client, iat=int(at - 1), sub_digest=who, kid=kid)
            world.observe(token, at=at, resource=None, network=None)


def _late(world: World, seconds: float) -> None:
    token = world.issue(iat=int(NOW - 700))
    world.observe(token, at=token["exp"] + seconds)


FORGERY: Mapping[str, Example] = {
    "never_issued": Example(
        lambda w: w.observe(w.forge()),
        # behind the ledger's sight: held, not alarmed
        lambda w: w.observe(w.forge(), received_at=NOW + 1),
    ),
    "digest_mismatch": Example(
        lambda w: w.observe(w.issue() | {"digest": digest_of("other")}),
        lambda w: w.observe(
            w.issue() | {"digest": digest_of("other")}, verdict="malformed", signature="unverified"
        ),
    ),
    "kid_mismatch": Example(
        lambda w: _each(w, lambda: w.key("key-2"), lambda: w.observe(w.issue() | {"kid": "key-2"})),
        lambda w: w.observe(w.issue()),
    ),
    "altered_twin": Example(lambda w: _twins(w, forged=True), lambda w: _twins(w, forged=False)),
    "unknown_key": Example(
        lambda w: w.observe(w.forge(kid="key-of-nobody", digest=digest_of("nobody"))),
        lambda w: w.observe(
            w.forge(kid="key-of-nobody", digest=digest_of("refused")),
            verdict="unknown_key",
            signature="unverified",
        ),
    ),
    "key_of_other_realm": Example(
        lambda w: w.observe(w.forge(digest=digest_of("realm")), iss=CONSUMER),
        # genuine, presented to the wrong relying party, refused there
        lambda w: w.observe(w.issue(), verdict="audience_mismatch"),
    ),
    "key_outside_window": Example(
        lambda w: w.observe(w.forge(kid=OLD_KEY, digest=digest_of("window"))),
        lambda w: w.observe(w.issue(iat=int(NOW - DAY) + 1), at=NOW - DAY + 60, received_at=NOW - 30),
    ),
    "before_activation": Example(
        lambda w: _each(
            w,
            lambda: w.key("key-staged", status="staged", activated_at=None),
            lambda: w.observe(w.forge(kid="key-staged", digest=digest_of("staged"))),
        ),
        lambda w: _each(
            w,
            lambda: w.key("key-fresh", activated_at=NOW - 60 + 0.5),
            lambda: w.observe(w.issue(kid="key-fresh", iat=int(NOW - 60))),
        ),
    ),
    "dormant_key": Example(lambda w: _dormant(w, 25), lambda w: _dormant(w, 23)),
    "key_retired": Example(
        lambda w: w.observe(w.forge(kid=OLD_KEY, digest=digest_of("retired"))),
        # used in time, reported late
        lambda w: w.observe(
            w.issue(kid=OLD_KEY, iat=int(NOW - 2 * DAY)), at=NOW - 2 * DAY + 5, received_at=NOW - 20
        ),
    ),
    "key_revoked": Example(
        lambda w: w.observe(w.issue(kid=_revoked(w, "key-lost", 100))),
        lambda w: w.observe(w.issue(kid=_revoked(w, "key-spared", 100, NOW - 55))),
    ),
    "revoked_key_presented": Example(
        lambda w: [
            w.observe(w.issue(kid=kid), verdict="key_revoked")
            for kid in (_revoked(w, "key-lost-2", 100),)
            for _ in range(3)
        ],
        # by its name only: nobody verified the signature
        lambda w: w.observe(
            w.issue(kid=_revoked(w, "key-lost-3", 100)), verdict="key_revoked", signature="unverified"
        ),
    ),
    "retired_key_presented": Example(
        lambda w: w.observe(w.issue(kid=OLD_KEY, iat=int(NOW - 2 * DAY)), verdict="key_retired"),
        lambda w: w.observe(
            w.forge(kid=OLD_KEY, digest=digest_of("retired-2")), verdict="key_retired", signature="unverified"
        ),
    ),
    "lifetime_beyond_policy": Example(
        lambda w: w.observe(w.forge(exp=int(NOW - 60) + 3_601, digest=digest_of("long"))),
        lambda w: w.observe(w.issue(exp=int(NOW - 60) + 3_600)),
    ),
    "canary_token": Example(
        lambda w: w.observe(w.forge(digest=digest_of("canary")), verdict="expired", signature="unverified"),
        lambda w: w.observe(w.issue()),
    ),
    "canary_key": Example(
        lambda w: w.observe(
            w.forge(kid="key-canary", digest=digest_of("kid")), verdict="unknown_key", signature="unverified"
        ),
        lambda w: w.observe(
            w.forge(kid="key-canary-2", digest=digest_of("kid-2")),
            verdict="unknown_key",
            signature="unverified",
        ),
    ),
}

THEFT: Mapping[str, Example] = {
    "token_replayed": Example(lambda w: _replayed(w, 3), lambda w: _replayed(w, 2)),
    "binding_failed": Example(
        lambda w: w.observe(w.issue(cnf="thumb-1"), binding="thumb-2"),
        lambda w: w.observe(w.issue(cnf="thumb-1"), binding="thumb-1"),
    ),
    "family_reused": Example(
        lambda w: _family(w, "refresh_token"),
        # exchanging one token for two narrower ones is what exchange is for
        lambda w: _family(w, "token_exchange"),
    ),
    "used_after_revocation": Example(lambda w: _ended_family(w, 36), lambda w: _ended_family(w, 34)),
    "used_after_expiry": Example(lambda w: _late(w, 61), lambda w: _late(w, 60)),
    "issued_in_future": Example(
        lambda w: w.observe(w.issue(iat=int(NOW) + 120)),
        lambda w: w.observe(w.issue(iat=int(NOW) + 20)),
    ),
    "impossible_travel": Example(lambda w: _journey(w, 2), lambda w: _journey(w, 9)),
}

INSIDE: Mapping[str, Example] = {
    "scope_beyond_policy": Example(
        lambda w: w.issue(scope=["mail.read", "mail.admin"]),
        lambda w: w.issue(scope=["mail.send", "mail.send"]),
    ),
    "issued_without_grant": Example(lambda w: w.issue(event_id=None), lambda w: w.issue()),
    "client_disabled": Example(lambda w: _disabled(w, 100), lambda w: _disabled(w, 20)),
    "signer_count_mismatch": Example(
        lambda w: w.unlogged.update({(LOG, ACTIVE_KEY): 1}), lambda w: w.observe(w.issue())
    ),
    "ledger_rolled_back": Example(lambda w: _heads(w, (9, "b")), lambda w: _heads(w, (10, "a"))),
    "checkpoint_unwitnessed": Example(
        lambda w: _head(w, "log-alone", 5, "a", 301), lambda w: _head(w, "log-seen", 5, "a", 299)
    ),
    "trust_changed": Example(
        lambda w: w.add(
            "changes", at=NOW - 60, actor="a", action="change_realm", subject="enterprise", operators=1
        ),
        lambda w: w.add(
            "changes", at=NOW - 60, actor="a", action="change_realm", subject="consumer", operators=2
        ),
    ),
    "validator_silent": Example(lambda w: _heard(w, "gone", 121, 1), lambda w: _heard(w, "slow", 119, 1)),
    "manifest_stale": Example(lambda w: _heard(w, "stale", 5, 61), lambda w: _heard(w, "fresh", 5, 60)),
    "header_attacks": Example(lambda w: _rejected(w, 20), lambda w: _rejected(w, 19)),
}

BEHAVIOUR: Mapping[str, Example] = {
    "first_seen_client": Example(
        lambda w: _other_app(w, "sync-app", history=False),
        lambda w: _other_app(w, "known-app", history=True),
    ),
    "new_network": Example(
        lambda w: w.observe(w.issue(), network="AS64999"),
        lambda w: _each(
            w,
            lambda: w.observe(
                w.issue(iat=int(NOW - 80 * DAY), kid=OLD_KEY), at=NOW - 80 * DAY, network="AS64777"
            ),
            lambda: w.observe(w.issue(), network="AS64777"),
        ),
    ),
    "volume_burst": Example(
        lambda w: _many(w, "burst-app", 121, 40), lambda w: _many(w, "busy-app", 120, 40)
    ),
    "low_and_slow": Example(
        lambda w: _harvest(w, "slow-app", 50, 2), lambda w: _harvest(w, "used-app", 50, 4)
    ),
}

EXAMPLES: Mapping[str, Example] = {**FORGERY, **THEFT, **INSIDE, **BEHAVIOUR}
BEGIN = SINCE
