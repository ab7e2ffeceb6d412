"""Claims that are missing, of the wrong type, or nearly right: issuer, audience, subject, client, id.

May never change more than the one claim that a case is named after.
"""

from typing import Any

from sealwright_validate.conformance.case import Collector, Force
from sealwright_validate.conformance.scene import AUDIENCE, Scene
from sealwright_validate.errors import Reason


def cases(scene: Scene) -> Collector:
    """Every token here carries a good signature of the right key: what is wrong is one claim."""
    found = Collector("claim", "RFC 7519 §4.1; RFC 8725 §3.8, §3.9; RFC 9068 §2.2, §4")
    _issuer(scene, found)
    _audience(scene, found)
    _types(scene, found)
    _ids(scene, found)
    return found


def _token(scene: Scene, **changed: Any) -> str:
    claims = scene.claims()
    for name, value in changed.items():
        claims[name] = value
    return scene.sign(claims=claims).token


def _issuer(scene: Scene, found: Collector) -> None:
    right = scene.issuer
    scheme, _, rest = right.partition("://")
    near = {
        "slash_behind": f"{right}/",
        "without_scheme": rest,
        "other_scheme": f"ftp://{rest}",
        "upper_case": right.upper(),
        "upper_scheme": f"{scheme.upper()}://{rest}",
        "query": f"{right}?x=1",
        "fragment": f"{right}#x",
        "user_info": f"{scheme}://{rest.partition('/')[0]}@attacker.example/{rest.partition('/')[2]}",
        "as_prefix": f"{right}.attacker.example",
        "as_suffix": f"https://attacker.example/{right}",
        "blank_behind": f"{right} ",
        "blank_in_front": f" {right}",
        "line_feed_behind": f"{right}\n",
        "nul_behind": f"{right}\x00",
        "homograph": right.replace("e", "\u0435", 1),
        "full_width": right.replace("/", "\uff0f"),
        "percent": right.replace("enterprise", "%65nterprise"),
        "dot_segments": right.replace("/enterprise", "/consumer/../enterprise"),
        "other": "https://attacker.example",
        "empty": "",
    }
    for name, issuer in near.items():
        found.bad(f"iss_{name}", f"iss is {issuer!r}", _token(scene, iss=issuer), Reason.ISSUER_NOT_ALLOWED)
    odd: dict[str, Any] = {"array": [right], "object": {right: 1}, "number": 7, "true": True, "null": None}
    for name, value in odd.items():
        found.bad(f"iss_{name}", f"iss is {value!r}", _token(scene, iss=value), Reason.CLAIM_MISSING)
    found.bad("iss_missing", "no iss", scene.sign(claims=scene.claims(iss=None)).token, Reason.CLAIM_MISSING)


def _audience(scene: Scene, found: Collector) -> None:
    near = {
        "slash_behind": f"{AUDIENCE}/",
        "upper_case": AUDIENCE.upper(),
        "as_prefix": f"{AUDIENCE}.attacker.example",
        "as_part": f"https://attacker.example/?{AUDIENCE}",
        "shorter": AUDIENCE[:-1],
        "blank_behind": f"{AUDIENCE} ",
        "space_separated": f"https://files.example {AUDIENCE}",
        "comma_separated": f"https://files.example,{AUDIENCE}",
        "other_scheme": AUDIENCE.replace("https", "http"),
        "star": "*",
        "empty": "",
        "our_other_service": "https://files.example",
        "other": "https://attacker.example",
        "homograph": AUDIENCE.replace("a", "\u0430", 1),
    }
    for name, audience in near.items():
        found.bad(
            f"aud_{name}",
            f"aud is {audience!r}",
            _token(scene, aud=audience),
            Reason.AUDIENCE_NOT_ALLOWED,
            Reason.CLAIM_MISSING,
        )
    odd: dict[str, Any] = {
        "null": None,
        "empty_array": [],
        "number": 7,
        "true": True,
        "object_with_it_as_name": {AUDIENCE: True},
        "array_of_null": [None],
        "array_in_array": [[AUDIENCE]],
        "array_of_others": ["https://files.example", "https://attacker.example"],
    }
    for name, value in odd.items():
        found.bad(
            f"aud_{name}",
            f"aud is {value!r}",
            _token(scene, aud=value),
            Reason.CLAIM_MISSING,
            Reason.CLAIM_MALFORMED,
            Reason.AUDIENCE_NOT_ALLOWED,
        )
    found.bad("aud_missing", "no aud", scene.sign(claims=scene.claims(aud=None)).token, Reason.CLAIM_MISSING)
    found.bad(
        "aud_with_number_beside",
        "aud holds ours and a number",
        _token(scene, aud=[AUDIENCE, 7]),
        Reason.CLAIM_MALFORMED,
        force=Force.SHOULD,
    )
    found.bad(
        "aud_beyond_key",
        "aud holds ours and a service that the key may not speak to",
        _token(scene, aud=[AUDIENCE, "https://bank.example"]),
        Reason.AUDIENCE_NOT_ALLOWED,
        force=Force.MANIFEST,
    )


def _types(scene: Scene, found: Collector) -> None:
    odd: dict[str, Any] = {"number": 7, "array": ["x"], "object": {}, "true": True, "null": None, "empty": ""}
    for claim in ("sub", "client_id"):
        for name, value in odd.items():
            found.bad(
                f"{claim}_{name}",
                f"{claim} is {value!r}",
                _token(scene, **{claim: value}),
                Reason.CLAIM_MISSING,
                Reason.CLAIM_MALFORMED,
                force=Force.SHOULD,
            )
        found.bad(
            f"{claim}_missing",
            f"no {claim}",
            scene.sign(claims=scene.claims(**{claim: None})).token,
            Reason.CLAIM_MISSING,
            force=Force.SHOULD,
        )
    for name in ("number", "object", "array", "true"):
        found.bad(
            f"scope_{name}",
            f"scope is {odd[name]!r}",
            _token(scene, scope=odd[name]),
            Reason.CLAIM_MALFORMED,
            force=Force.SHOULD,
        )


def _ids(scene: Scene, found: Collector) -> None:
    log = scene.authority.incarnation.log_id
    odd: dict[str, Any] = {
        "missing": None,
        "number": 7,
        "of_other_log": "aaaaaaaaaaaaaaaa.7.AAAAAAAAAAAA",
        "leading_zero": f"{log}.07.AAAAAAAAAAAA",
        "negative": f"{log}.-7.AAAAAAAAAAAA",
        "huge": f"{log}.{'9' * 30}.AAAAAAAAAAAA",
        "no_blind": f"{log}.7.",
        "upper_case": f"{log.upper()}.7.AAAAAAAAAAAA",
        "digits_of_other_script": f"{log}.\u0667.AAAAAAAAAAAA",
        "uuid": "6f1c1a3e-9c3d-4b0e-8a53-1c5c0d7b2e11",
    }
    for name, value in odd.items():
        token = scene.sign(claims=scene.claims(jti=value)).token
        found.bad(f"jti_{name}", f"jti is {value!r}", token, Reason.JTI_MALFORMED, force=Force.MANIFEST)
