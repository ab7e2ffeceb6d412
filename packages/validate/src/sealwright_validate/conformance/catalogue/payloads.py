"""Well-signed payloads that are no JSON object, or that two readers would read differently.

May never spoil the signature: it is good, so that only the reading decides.
"""

import json

from sealwright_validate.conformance.case import Collector, Force
from sealwright_validate.conformance.scene import Scene
from sealwright_validate.errors import Reason

_MALFORMED = (Reason.TOKEN_MALFORMED,)


def cases(scene: Scene) -> Collector:
    """Every payload here carries a good signature of the right key: what is wrong is the JSON alone."""
    found = Collector("payload", "RFC 7519 §4, §7.2; RFC 8259; RFC 8725 §2.6, §3.7")
    _no_object(scene, found)
    _duplicates(scene, found)
    _text(scene, found)
    _depth(scene, found)
    return found


def _signed(scene: Scene, payload: bytes) -> str:
    return scene.sign(claims=payload).token


def _body(scene: Scene) -> str:
    return json.dumps(scene.claims())[1:-1]


def _no_object(scene: Scene, found: Collector) -> None:
    for name, payload in (
        ("empty_object_only", b"{}"),
        ("array", b"[]"),
        ("array_of_claims", f"[{{{_body(scene)}}}]".encode()),
        ("text", b'"claims"'),
        ("number", b"7"),
        ("null", b"null"),
        ("no_json", b"iss=https://attacker.example"),
        ("two_objects", f"{{{_body(scene)}}}{{}}".encode()),
        ("behind_object", f"{{{_body(scene)}}}x".encode()),
        ("cut", f"{{{_body(scene)}".encode()),
        ("comma_behind", f"{{{_body(scene)},}}".encode()),
        ("comment", f"{{/* hello */{_body(scene)}}}".encode()),
        ("single_quotes", f"{{{_body(scene)}}}".replace('"', "'").encode()),
        ("unquoted_name", f"{{admin:true,{_body(scene)}}}".encode()),
        ("control_character", f'{{"x":"a\tb",{_body(scene)}}}'.encode()),
    ):
        reasons = (Reason.CLAIM_MISSING,) if name == "empty_object_only" else _MALFORMED
        found.bad(
            f"payload_{name}", f"the payload: {name.replace('_', ' ')}", _signed(scene, payload), *reasons
        )


def _duplicates(scene: Scene, found: Collector) -> None:
    body = _body(scene)
    for name, payload in (
        ("aud_twice", f'{{"aud":"https://elsewhere.example",{body}}}'),
        ("aud_twice_reversed", f'{{{body},"aud":"https://mail.example"}}'),
        ("iss_twice", f'{{"iss":"https://attacker.example",{body}}}'),
        ("sub_twice", f'{{"sub":"ceo",{body}}}'),
        ("exp_twice", f'{{"exp":1,{body}}}'),
        ("exp_twice_escaped", f'{{"\\u0065xp":1,{body}}}'),
        ("nested_twice", f'{{"act":{{"sub":"a","sub":"b"}},{body}}}'),
    ):
        found.bad(
            f"payload_{name}",
            "a member twice, the last one good",
            _signed(scene, payload.encode()),
            Reason.DUPLICATE_MEMBER,
            force=Force.SHOULD,
            why="RFC 7519 §4: refuse, or take the last",
        )


def _text(scene: Scene, found: Collector) -> None:
    body = _body(scene)
    for name, payload, force in (
        ("byte_order_mark", b"\xef\xbb\xbf" + f"{{{body}}}".encode(), Force.SHOULD),
        ("utf_16", f"{{{body}}}".encode("utf-16"), Force.MUST),
        ("utf_16_without_mark", f"{{{body}}}".encode("utf-16-le"), Force.MUST),
        ("utf_32", f"{{{body}}}".encode("utf-32"), Force.MUST),
        ("latin_1", f'{{"x":"\xe9",{body}}}'.encode("latin-1"), Force.MUST),
        ("overlong_utf_8", b'{"x":"\xc0\xaf",' + body.encode() + b"}", Force.MUST),
        ("surrogate_in_utf_8", b'{"x":"\xed\xa0\x80",' + body.encode() + b"}", Force.MUST),
        ("cut_utf_8", b'{"x":"\xe2\x82",' + body.encode() + b"}", Force.MUST),
        ("lone_surrogate_escape", f'{{"x":"\\ud800",{body}}}'.encode(), Force.SHOULD),
        ("nan", f'{{"x":NaN,{body}}}'.encode(), Force.MUST),
        ("infinity", f'{{"x":Infinity,{body}}}'.encode(), Force.MUST),
        ("leading_zero", f'{{"x":01,{body}}}'.encode(), Force.MUST),
        ("hexadecimal", f'{{"x":0x10,{body}}}'.encode(), Force.MUST),
        ("plus_sign", f'{{"x":+1,{body}}}'.encode(), Force.MUST),
        ("bad_escape", f'{{"x":"\\x41",{body}}}'.encode(), Force.MUST),
    ):
        how = f"the payload: {name.replace('_', ' ')}"
        found.bad(f"payload_{name}", how, _signed(scene, payload), *_MALFORMED, force=force)


def _depth(scene: Scene, found: Collector) -> None:
    body = _body(scene)
    for levels, kind, opening, closing in (
        (100, "arrays", "[", "]"),
        (3000, "arrays", "[", "]"),
        (100, "objects", '{"a":', "}"),
        (1000, "objects", '{"a":', "}"),
    ):
        nested = opening * levels + "1" + closing * levels
        found.bad(
            f"payload_{levels}_nested_{kind}",
            f"{levels} nested {kind}",
            _signed(scene, f'{{"x":{nested},{body}}}'.encode()),
            *_MALFORMED,
            force=Force.SHOULD,
            why="bounded input",
        )
    found.bad(
        "payload_number_of_5000_digits",
        "a number of 5,000 digits",
        _signed(scene, f'{{"x":{"9" * 5000},{body}}}'.encode()),
        *_MALFORMED,
        force=Force.SHOULD,
    )
