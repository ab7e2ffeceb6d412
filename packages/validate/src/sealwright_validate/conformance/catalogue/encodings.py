"""Tokens whose outer form is wrong: parts, base64url, size, other serialisations.

May never hold a token that a strict reader could accept.
"""

import json

from sealwright_validate.conformance.case import Collector, Force
from sealwright_validate.conformance.scene import Scene
from sealwright_validate.encoding import encode_base64url
from sealwright_validate.errors import Reason

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_BAD = (Reason.TOKEN_MALFORMED, Reason.SIGNATURE_INVALID)


def cases(scene: Scene) -> Collector:
    """Malformed compact serialisations. All but the ones marked hold a good signature over what they seem to
    say.
    """
    found = Collector("encoding", "RFC 7515 §2, §3.1, §5.2; RFC 4648 §3.2, §3.5")
    _parts(scene, found)
    _base64(scene, found)
    _size(scene, found)
    return found


def _parts(scene: Scene, found: Collector) -> None:
    token = scene.sign().token
    header, payload, signature = token.split(".")
    general = {"payload": payload, "signatures": [{"protected": header, "signature": signature}]}
    flat = {"payload": payload, "protected": header, "signature": signature}
    for name, how, text in (
        ("one", "the header alone", header),
        ("two", "header and payload", f"{header}.{payload}"),
        ("two_and_a_dot", "header, payload and an empty signature", f"{header}.{payload}."),
        ("four", "a fourth part", f"{token}.{signature}"),
        ("five", "five parts, as an encrypted token has", f"{token}.{signature}.{signature}"),
        ("dot_behind", "a dot behind", f"{token}."),
        ("dot_in_front", "a dot in front", f".{token}"),
        ("empty_header", "an empty header", f".{payload}.{signature}"),
        ("empty_payload", "an empty payload", f"{header}..{signature}"),
        ("only_dots", "two dots", ".."),
        ("other_separator", "commas instead of dots", token.replace(".", ",")),
    ):
        found.bad(f"parts_{name}", how, text, *_BAD)
    for name, form in (("general", general), ("flattened", flat)):
        found.bad(f"json_serialisation_{name}", f"the {name} JSON serialisation", json.dumps(form), *_BAD)


def _base64(scene: Scene, found: Collector) -> None:
    # A subject that makes both '-' and '_' appear in the payload, and lengths that leave bits over.
    # One signature in sixteen holds neither: then its standard form would be its own.
    signed = (scene.sign(claims=scene.claims(sub="a?~>ÿþ?~>")) for _ in range(64))
    good = next(one for one in signed if not {"-", "_"}.isdisjoint(one.token.rpartition(".")[2]))
    header, payload, signature = good.token.split(".")
    for name, how, text in (
        ("padding", "padding behind the signature", f"{good.token}=="),
        ("padding_in_header", "padding behind the header", f"{header}=.{payload}.{signature}"),
        ("standard_alphabet", "'+' and '/' in the signature", f"{header}.{payload}.{_standard(signature)}"),
        (
            "white_space_inside",
            "a blank in the signature",
            f"{header}.{payload}.{signature[:8]} {signature[8:]}",
        ),
        (
            "line_feed_inside",
            "a line feed in the signature",
            f"{header}.{payload}.{signature[:8]}\n{signature[8:]}",
        ),
        (
            "foreign_character",
            "a '*' in the signature",
            f"{header}.{payload}.{signature[:8]}*{signature[8:]}",
        ),
        (
            "not_ascii",
            "a letter beyond ASCII in the signature",
            f"{header}.{payload}.{signature[:8]}é{signature[8:]}",
        ),
        ("nul_behind", "a NUL behind", f"{good.token}\x00"),
        (
            "impossible_length",
            "one character more than base64 can have",
            f"{header}.{payload}.{signature}AAA",
        ),
        ("percent", "percent-encoded dots", good.token.replace(".", "%2E")),
        (
            "trailing_bits",
            "the last character with left-over bits set",
            f"{header}.{payload}.{_trailing(signature)}",
        ),
    ):
        force = Force.SHOULD if name in _LAX_BUT_HARMLESS else Force.MUST
        found.bad(f"base64_{name}", how, text, *_BAD, force=force)
    for name, how, text in (
        (
            "header",
            "the header in standard base64 with padding",
            f"{_padded(good.header)}.{payload}.{signature}",
        ),
        ("payload", "the payload in standard base64", f"{header}.{_standard(payload)}.{signature}"),
    ):
        found.bad(f"base64_standard_{name}", f"{how}, under the old signature", text, *_BAD)


# The decoded bytes are the ones that were signed: no bypass, but one token gets a second spelling.
_LAX_BUT_HARMLESS = frozenset(
    [
        "padding",
        "standard_alphabet",
        "white_space_inside",
        "line_feed_inside",
        "foreign_character",
        "not_ascii",
        "trailing_bits",
        "nul_behind",
    ]
)


def _standard(part: str) -> str:
    return part.replace("-", "+").replace("_", "/")


def _padded(data: bytes) -> str:
    text = encode_base64url(data)
    return text + "=" * (-len(text) % 4 or 4)


def _trailing(part: str) -> str:
    return part[:-1] + _ALPHABET[_ALPHABET.index(part[-1]) | 1]


def _size(scene: Scene, found: Collector) -> None:
    for name, size in (("17_kib", 17 * 1024), ("64_kib", 64 * 1024)):
        found.bad(
            f"size_{name}",
            f"a well-signed token with a claim of {name.replace('_', ' ')}",
            scene.sign(claims=scene.claims(pad="x" * size)).token,
            Reason.TOKEN_TOO_LARGE,
            force=Force.SHOULD,
            why="bounded input",
        )
    found.bad(
        "size_header",
        "a header of 5,000 characters",
        scene.sign(scene.header(pad="x" * 5000)).token,
        Reason.TOKEN_TOO_LARGE,
        force=Force.MANIFEST,
    )
    found.bad("text_empty_object", "the text {}", "{}", *_BAD)
    found.bad("text_word", "the word null", "null", *_BAD)
