"""Tokens that a sound relying party accepts: a suite that only refuses proves nothing.

May never hold a token on which specifications disagree without marking it so.
"""

from sealwright_validate.conformance.case import Collector, Force
from sealwright_validate.conformance.scene import AUDIENCE, Scene


def cases(scene: Scene) -> Collector:
    """Good tokens, plain and unusual."""
    found = Collector("accepted", "RFC 9068 §4")
    for name, issued in scene.good.items():
        found.good(
            f"good_{name.lower()}",
            f"an ordinary access token, signed with {name}",
            scene.sign(scene.header(issued), key=issued.key).token,
            force=Force.MUST if name in ("ES256", "RS256") else Force.SHOULD,
        )
    for name, how, changed in (
        ("good_aud_array_of_one", "aud is an array with the one audience", {"aud": [AUDIENCE]}),
        (
            "good_aud_array_of_two",
            "aud is an array with two audiences",
            {"aud": ["https://files.example", AUDIENCE]},
        ),
        ("good_without_scope", "no scope claim", {"scope": None}),
        (
            "good_unknown_claims",
            "claims that nobody knows",
            {"x": {"y": [1, None, True]}, "z": "ü\U0001f510"},
        ),
        ("good_not_before_in_past", "nbf lies in the past", {"nbf": scene.now - 100}),
        ("good_issued_long_ago", "issued 50 minutes ago, still valid", {"iat": scene.now - 3000}),
        ("good_subject_with_quotes", "a subject of quotes and backslashes", {"sub": 'o"brien\\'}),
    ):
        found.good(name, how, scene.sign(claims=scene.claims(**changed)).token)
    found.good(
        "good_typ_with_application_prefix",
        "typ is application/at+jwt",
        scene.sign(scene.header(typ="application/at+jwt")).token,
        force=Force.SHOULD,
    )
    found.good(
        "good_white_space_in_json",
        "header and payload with white space between the members",
        scene.sign(
            f'{{ "typ": "at+jwt",\n "kid": "{scene.key.kid}", "alg": "ES256" }}'.encode(),
            b"  " + scene.sign().payload.replace(b",", b" ,\r\n\t") + b"\n",
        ).token,
    )
    return found
