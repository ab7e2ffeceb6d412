"""Signatures that are empty, zero, cut, swapped, re-encoded, or over something else.

May never change what the token claims, unless the case is named after that.
"""

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sealwright_validate.conformance.authority import Issued
from sealwright_validate.conformance.case import Collector, Force
from sealwright_validate.conformance.scene import Scene, Signed
from sealwright_validate.encoding import decode_base64url
from sealwright_validate.errors import Reason

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_BAD = (Reason.SIGNATURE_INVALID, Reason.TOKEN_MALFORMED)


def cases(scene: Scene) -> Collector:
    """Wrong signatures of every algorithm, and the particular ones of ECDSA, RSA and Ed25519."""
    found = Collector("signature", "RFC 7515 §5.2; RFC 8725 §3.3")
    for algorithm, issued in scene.good.items():
        _any_algorithm(scene, found, algorithm, issued)
    _ecdsa(scene, found)
    _rsa(scene, found)
    _ed25519(scene, found)
    return found


def _any_algorithm(scene: Scene, found: Collector, algorithm: str, issued: Issued) -> None:
    good = scene.sign(scene.header(issued), key=issued.key)
    other = scene.sign(scene.header(issued), scene.claims(sub="other"), issued.key)
    short = algorithm.lower()
    flipped = bytes([good.signature[0] ^ 1]) + good.signature[1:]
    for name, how, signature in (
        ("empty", "no signature", b""),
        ("one_byte", "a signature of one byte", b"\x01"),
        ("zeros", "a signature of zeros", bytes(len(good.signature))),
        ("ones", "a signature of 0xff bytes", b"\xff" * len(good.signature)),
        ("flipped_bit", "one bit flipped", flipped),
        ("cut", "the last byte cut off", good.signature[:-1]),
        ("longer", "a zero byte behind", good.signature + b"\0"),
        ("zero_in_front", "a zero byte in front", b"\0" + good.signature),
        ("doubled", "the signature twice", good.signature * 2),
        ("reversed", "the bytes reversed", good.signature[::-1]),
        ("of_other_token", "the signature of another token", other.signature),
    ):
        found.bad(f"{short}_signature_{name}", how, Signed(good.header, good.payload, signature).token, *_BAD)
    found.bad(
        f"{short}_signed_by_unknown_key",
        "signed with an unknown key of the same kind under the right id",
        scene.sign(scene.header(issued), key=scene.strangers[algorithm]).token,
        Reason.SIGNATURE_INVALID,
    )
    changed = good.payload.replace(b"mail-client", b"ceo-account", 1)
    found.bad(
        f"{short}_payload_changed",
        "another subject under a signature that was good",
        Signed(good.header, changed, good.signature).token,
        Reason.SIGNATURE_INVALID,
    )
    found.bad(
        f"{short}_header_changed",
        "another header under a signature that was good",
        Signed(good.header.replace(b"{", b"{ ", 1), good.payload, good.signature).token,
        Reason.SIGNATURE_INVALID,
    )


def _ecdsa(scene: Scene, found: Collector) -> None:
    good = scene.sign()
    r, s = (int.from_bytes(good.signature[half], "big") for half in (slice(32), slice(32, 64)))

    def pair(first: int, second: int) -> bytes:
        return first.to_bytes(32, "big") + second.to_bytes(32, "big")

    order = _P256_ORDER
    for name, how, signature in (
        ("psychic_zero_zero", "r and s are 0 (CVE-2022-21449)", pair(0, 0)),
        ("psychic_order", "r and s are the order of the curve", pair(order, order)),
        ("psychic_zero_one", "r is 0, s is 1", pair(0, 1)),
        ("psychic_one_zero", "r is 1, s is 0", pair(1, 0)),
        ("psychic_one_one", "r and s are 1", pair(1, 1)),
        ("s_zero", "r is good, s is 0", pair(r, 0)),
        ("r_zero", "r is 0, s is good", pair(0, s)),
        ("s_order", "s is the order", pair(r, order)),
        ("swapped", "r and s swapped", pair(s, r)),
        ("der", "the signature in DER instead of r and s", encode_dss_signature(r, s)),
        ("psychic_der", "DER of r = s = 0", encode_dss_signature(0, 0)),
        ("p1363_of_384", "r and s padded to 48 bytes each", r.to_bytes(48, "big") + s.to_bytes(48, "big")),
    ):
        found.bad(
            f"es256_{name}", how, Signed(good.header, good.payload, signature).token, Reason.SIGNATURE_INVALID
        )
    found.good(
        "es256_other_form_of_good_signature",
        "s replaced by the order minus s: the second valid form of the same signature, over the same claims",
        Signed(good.header, good.payload, pair(r, order - s)).token,
    )


def _rsa(scene: Scene, found: Collector) -> None:
    issued = scene.good["RS256"]
    good = scene.sign(scene.header(issued), key=issued.key)
    size = len(good.signature)
    for name, how, signature in (
        ("one", "the number 1", (1).to_bytes(size, "big")),
        ("modulus_minus_one", "the modulus minus 1", _modulus_minus_one(issued)),
        (
            "carried_over",
            "the good number with 2^2048 added: the same to a reader that cuts",
            b"\x01" + good.signature,
        ),
    ):
        found.bad(
            f"rs256_{name}", how, Signed(good.header, good.payload, signature).token, Reason.SIGNATURE_INVALID
        )
    found.bad(
        "rs256_signed_as_pss",
        "a PSS signature that calls itself RS256",
        scene.sign(scene.header(issued), key=issued.key, algorithm="PS256").token,
        Reason.SIGNATURE_INVALID,
    )
    pss = scene.good["PS256"]
    found.bad(
        "ps256_signed_as_pkcs1",
        "a PKCS #1 v1.5 signature that calls itself PS256",
        scene.sign(scene.header(pss), key=pss.key, algorithm="RS256").token,
        Reason.SIGNATURE_INVALID,
    )
    for digest in ("RS384", "RS512"):
        found.bad(
            f"rs256_signed_with_{digest.lower()}",
            f"an {digest} signature that calls itself RS256",
            scene.sign(scene.header(issued), key=issued.key, algorithm=digest).token,
            Reason.SIGNATURE_INVALID,
        )


def _ed25519(scene: Scene, found: Collector) -> None:
    issued = scene.good["EdDSA"]
    good = scene.sign(scene.header(issued), key=issued.key)
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(good.signature[32:], "little")
    for name, how, signature in (
        (
            "s_plus_order",
            "s with the group order added (RFC 8032 §5.1.7)",
            good.signature[:32] + _little(s + order),
        ),
        ("identity", "R is the neutral point, s is 0", b"\x01" + bytes(31) + bytes(32)),
        ("low_order", "R is a point of low order, s is 0", bytes(32) + bytes(32)),
        ("halves_swapped", "R and s swapped", good.signature[32:] + good.signature[:32]),
    ):
        found.bad(
            f"eddsa_{name}", how, Signed(good.header, good.payload, signature).token, Reason.SIGNATURE_INVALID
        )
    found.bad(
        "eddsa_named_by_curve",
        "alg is Ed25519 (RFC 9864) with a key that was published for EdDSA",
        scene.sign(scene.header(issued, alg="Ed25519"), key=issued.key).token,
        Reason.ALGORITHM_MISMATCH,
        force=Force.SHOULD,
    )


def _modulus_minus_one(issued: Issued) -> bytes:
    modulus = decode_base64url(issued.key.jwk["n"])
    return modulus[:-1] + bytes([modulus[-1] - 1])


def _little(number: int) -> bytes:
    return number.to_bytes(32, "little")
