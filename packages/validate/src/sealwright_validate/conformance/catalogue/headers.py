"""Headers that bring a key, an address, an extension or a wrapping along, or say something twice.

May never let a foreign key be the published one.
"""

from typing import Any

from sealwright_validate.conformance.case import Collector, Force
from sealwright_validate.conformance.certificate import certificate_for
from sealwright_validate.conformance.scene import YEAR, Scene
from sealwright_validate.errors import Reason


def cases(scene: Scene) -> Collector:
    """Header tricks."""
    found = Collector("header", "RFC 7515 §4.1; RFC 8725 §3.10")
    _foreign_keys(scene, found)
    _extensions(scene, found)
    _twice(scene, found)
    return found


def _foreign_keys(scene: Scene, found: Collector) -> None:
    stranger = scene.stranger
    bare = {name: stranger.jwk[name] for name in ("kty", "crv", "x", "y")}
    chain = [certificate_for(stranger, since=scene.now - YEAR, until=scene.now + YEAR)]
    tricks: dict[str, dict[str, Any]] = {
        "jwk": {"jwk": bare},
        "jwk_with_right_kid": {"jwk": {**bare, "kid": scene.key.kid, "alg": "ES256", "use": "sig"}},
        "jku": {"jku": "https://attacker.example/jwks.json"},
        "jku_of_issuer_host": {"jku": f"{scene.issuer}/jwks.json#@attacker.example/"},
        "x5u": {"x5u": "https://attacker.example/cert.pem"},
        "x5c": {"x5c": chain},
        "jwk_and_jku": {"jwk": bare, "jku": "https://attacker.example/jwks.json"},
    }
    for name, members in tricks.items():
        for kid, label in ((scene.key.kid, ""), (stranger.kid, "_under_its_own_id"), (None, "_without_kid")):
            found.bad(
                f"header_{name}{label}",
                f"signed with an unknown key that the header brings along in {', '.join(members)}",
                scene.sign(scene.header(kid=kid, **members), key=stranger).token,
                Reason.HEADER_NOT_ALLOWED,
            )
        found.bad(
            f"header_{name}_with_good_signature",
            f"a good token whose header also has {', '.join(members)}",
            scene.sign(scene.header(**members)).token,
            Reason.HEADER_NOT_ALLOWED,
            force=Force.SHOULD,
        )


def _extensions(scene: Scene, found: Collector) -> None:
    odd: dict[str, tuple[dict[str, Any], Reason]] = {
        "crit_unknown": ({"crit": ["x"], "x": 1}, Reason.CRITICAL_HEADER),
        "crit_missing_member": ({"crit": ["x"]}, Reason.CRITICAL_HEADER),
        "crit_empty": ({"crit": []}, Reason.CRITICAL_HEADER),
        "crit_text": ({"crit": "exp"}, Reason.CRITICAL_HEADER),
        "crit_null_member": ({"crit": [None]}, Reason.CRITICAL_HEADER),
        "crit_known_name": ({"crit": ["alg"]}, Reason.CRITICAL_HEADER),
        "crit_b64": ({"crit": ["b64"], "b64": False}, Reason.HEADER_NOT_ALLOWED),
    }
    for name, (members, reason) in odd.items():
        found.bad(
            f"header_{name}",
            f"a good token with crit {members['crit']!r}",
            scene.sign(scene.header(**members)).token,
            reason,
            Reason.CRITICAL_HEADER,
            # What a producer must not write, a recipient may refuse; what it does not understand, it must.
            force=Force.SHOULD if name in ("crit_empty", "crit_known_name") else Force.MUST,
            why="RFC 7515 §4.1.11; RFC 7797 §7",
        )
    soft: dict[str, dict[str, Any]] = {
        "b64_without_crit": {"b64": False},
        "zip": {"zip": "DEF"},
        "enc": {"enc": "A256GCM"},
        "cty_jwt": {"cty": "JWT"},
        "unknown_member": {"colour": "red"},
        "claim_in_header": {"iss": "https://attacker.example"},
    }
    for name, members in soft.items():
        found.bad(
            f"header_{name}",
            f"a good token whose header has {members!r}",
            scene.sign(scene.header(**members)).token,
            Reason.HEADER_NOT_ALLOWED,
            force=Force.MANIFEST if name in ("unknown_member", "claim_in_header") else Force.SHOULD,
        )


def _twice(scene: Scene, found: Collector) -> None:
    kid, stranger = scene.key.kid, scene.stranger.kid
    for name, header in (
        ("alg_twice", f'{{"alg":"none","alg":"ES256","kid":"{kid}","typ":"at+jwt"}}'),
        ("alg_twice_reversed", f'{{"alg":"ES256","alg":"none","kid":"{kid}","typ":"at+jwt"}}'),
        ("kid_twice", f'{{"alg":"ES256","kid":"{stranger}","kid":"{kid}","typ":"at+jwt"}}'),
        ("kid_twice_escaped", f'{{"alg":"ES256","\\u006bid":"{stranger}","kid":"{kid}","typ":"at+jwt"}}'),
        ("typ_twice", f'{{"alg":"ES256","kid":"{kid}","typ":"JWT","typ":"at+jwt"}}'),
    ):
        found.bad(
            f"header_{name}",
            f"a good signature over a header with {name.split('_')[0]} twice",
            scene.sign(header.encode(), key=scene.key.key).token,
            Reason.DUPLICATE_MEMBER,
            Reason.ALGORITHM_NOT_ALLOWED,
            force=Force.SHOULD,
            why="RFC 7515 §4: names must be unique; a reader must refuse, or take the last",
        )
