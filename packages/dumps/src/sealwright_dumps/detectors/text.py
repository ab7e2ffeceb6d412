"""Private keys that are written as text: PEM, JWK, PuTTY, age, and OpenSSH's binary body.

Sources: RFC 7468, RFC 7517/7518, RFC 8037, RFC 9964 (AKP), OpenSSH PROTOCOL.key, PuTTY documentation appendix
C.
May never do: report a label without a body (tables of PEM labels are in every TLS library).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, x25519
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from sealwright_dumps.detectors.der import DETECTOR, looks_random
from sealwright_dumps.detectors.public import LOAD_ERRORS, algorithm_of, key_id, load_private_der, rsa_key_id
from sealwright_dumps.model import Confidence, Hit

LONGEST_PEM = 32 << 10
LONGEST_JSON = 16 << 10
_LEAST_BODY = 40
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{0,24})\Z")
_BODY = re.compile(
    rb"(?:[A-Za-z0-9+/=\s]|\\[rnt]|(?:Proc-Type|DEK-Info|Version|Comment|Charset|Hash):[^\r\n\\]{0,200})*"
)
_HEADERS = re.compile(rb"(?:Proc-Type|DEK-Info|Version|Comment|Charset|Hash):[^\r\n\\]{0,200}")
_ESCAPES = re.compile(rb"\\[rnt]")
_NOT_BASE64 = bytes(
    byte for byte in range(256) if not (chr(byte).isascii() and (chr(byte).isalnum() or byte in b"+/"))
)
_SECRET_MEMBER = re.compile(rb"""\\*["'](d|k|priv)\\*["']\s{0,4}:\s{0,4}\\*["']([A-Za-z0-9_-]{20,3000})""")
_MEMBER = re.compile(
    rb"""\\*["'](kty|crv|alg|n|e|p|q|x|y|d|k|priv)\\*["']\s{0,4}:\s{0,4}\\*["']([A-Za-z0-9_-]{1,3000})"""
)
_PUTTY = re.compile(rb"PuTTY-User-Key-File-[23]: ([a-z0-9-]{3,40})")
_PUTTY_END = re.compile(rb"Private-MAC: [0-9a-f]{40,64}")
_CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
    "secp256k1": ec.SECP256K1(),
}


def pem(data: bytes, at: int) -> Hit | None:
    """`at` is the words PRIVATE KEY of a BEGIN line. A label of an END line, or alone, is not reported."""
    begin = _BEGIN.search(data, max(0, at - 40), at)
    if begin is None:
        return None
    line_end = data.find(b"-----", at, at + 40)
    if line_end < 0:
        return None
    body = _BODY.match(data, line_end + 5, line_end + 5 + LONGEST_PEM)
    text = body.group() if body else b""
    end = line_end + 5 + len(text)
    closing = data.startswith(b"-----END ", end)
    label = begin.group(1).decode("ascii").strip()
    blob = _body_bytes(text)
    if len(blob) < _LEAST_BODY:
        return None
    stop = min(len(data), end + len(b"-----END  PRIVATE KEY-----") + len(label)) if closing else end
    return _judge_pem(blob, label, "text" if closing else "text-damaged", (begin.start(), stop))


def _body_bytes(text: bytes) -> bytes:
    kept = _ESCAPES.sub(b"", _HEADERS.sub(b"", text)).translate(None, _NOT_BASE64)
    kept = kept[: len(kept) - 1] if len(kept) % 4 == 1 else kept
    try:
        return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))
    except binascii.Error:  # not base64 after all
        return b""


def _judge_pem(blob: bytes, label: str, form: str, span: tuple[int, int]) -> Hit | None:
    start, end = span
    kind = "pem-openssh" if label.startswith("OPENSSH") else "pem"
    try:
        key: Any = _load_pem(blob, kind)
        name, algorithm = key_id(key.public_key()), algorithm_of(key)
    except LOAD_ERRORS:
        # encrypted, cut off, or of an unknown algorithm: the body must at least look like one
        sane = looks_random(blob[-64:]) and (
            blob[0] in b"\x30o" or label.startswith("PGP") or not label.isupper()
        )
        sane = sane or (looks_random(blob[-64:]) and len(blob) % 8 == 0)  # legacy encryption has no structure
        if not sane:
            return None
        return Hit(DETECTOR, kind, form, label.lower(), Confidence.LIKELY, start, end)
    return Hit(DETECTOR, kind, "text", algorithm, Confidence.CONFIRMED, start, end, name)


def _load_pem(blob: bytes, kind: str) -> Any:
    if kind == "pem-openssh":
        return load_ssh_private_key(_as_openssh(blob), None)
    return load_private_der(blob)


def _as_openssh(blob: bytes) -> bytes:
    text = base64.encodebytes(blob)
    return b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + text + b"-----END OPENSSH PRIVATE KEY-----\n"


def openssh(data: bytes, at: int) -> Hit | None:
    """`at` is the magic openssh-key-v1 of the binary body, as it lies in the memory of ssh-keygen or an
    agent.
    """
    end = at + 15
    for skip in range(3):  # cipher, kdf name, kdf options
        length = int.from_bytes(data[end : end + 4], "big")
        if length > 256:
            return None
        if skip == 0 and data[end + 4 : end + 4 + length] not in (
            b"none",
            b"aes256-ctr",
            b"aes256-gcm@openssh.com",
        ):
            return None
        end += 4 + length
    end += 4  # number of keys
    for _ in range(2):  # public key, private section
        length = int.from_bytes(data[end : end + 4], "big")
        if not 16 <= length <= LONGEST_PEM:
            return None
        end += 4 + length
    complete = end <= len(data)
    try:
        key = load_ssh_private_key(_as_openssh(data[at:end]), None)
        name, algorithm = key_id(key.public_key()), algorithm_of(key)
    except LOAD_ERRORS:
        form = "binary" if complete else "binary-damaged"
        return Hit(DETECTOR, "openssh", form, "", Confidence.LIKELY, at, min(end, len(data)))
    return Hit(DETECTOR, "openssh", "binary", algorithm, Confidence.CONFIRMED, at, end, name)


def putty(data: bytes, at: int) -> Hit | None:
    """`at` is PuTTY-User-Key-File-."""
    head = _PUTTY.match(data, at)
    if head is None or b"Private-Lines:" not in data[at : at + LONGEST_PEM]:
        return None
    tail = _PUTTY_END.search(data, at, at + LONGEST_PEM)
    end = tail.end() if tail else min(len(data), at + 2048)
    return Hit(DETECTOR, "putty", "text", head.group(1).decode("ascii"), Confidence.LIKELY, at, end)


def jwk(data: bytes, at: int) -> Hit | None:
    """`at` is the member name kty. The object around it must hold a secret member."""
    start = data.rfind(b"{", max(0, at - LONGEST_JSON), at)
    stop = data.find(b"}", at, at + LONGEST_JSON)
    low = start if start >= 0 else max(0, at - LONGEST_JSON)
    high = stop + 1 if stop >= 0 else min(len(data), at + LONGEST_JSON)
    text = data[low:high]
    secret = _SECRET_MEMBER.search(text)
    if secret is None:
        return None
    members = {m.group(1).decode(): m.group(2) for m in _MEMBER.finditer(text)}
    name, algorithm = _jwk_identity(members)
    if not name and not looks_random(_b64url(members.get(secret.group(1).decode(), b""))):
        return None
    confidence = Confidence.CONFIRMED if name else Confidence.LIKELY
    return Hit(DETECTOR, "jwk", "text", algorithm, confidence, low, high, name)


def _b64url(text: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return b""


def _number(members: dict[str, bytes], name: str) -> int:
    return int.from_bytes(_b64url(members.get(name, b"")), "big")


def _jwk_identity(members: dict[str, bytes]) -> tuple[str, str]:
    """The (key id, algorithm); the id is empty when nothing proves that the secret member is a secret."""
    kind = members.get("kty", b"").decode("ascii")
    curve = members.get("crv", b"").decode("ascii")
    try:
        if kind == "RSA":
            modulus = _number(members, "n")
            proved = _number(members, "p") * _number(members, "q") == modulus > 1
            return (
                rsa_key_id(modulus, _number(members, "e")) if proved else ""
            ), f"rsa-{modulus.bit_length()}"
        if kind == "EC" and curve in _CURVES:
            key = ec.derive_private_key(_number(members, "d"), _CURVES[curve])
            same = "x" not in members or key.public_key().public_numbers().x == _number(members, "x")
            return (key_id(key.public_key()) if same else ""), algorithm_of(key)
        if kind == "OKP":
            makers: dict[str, Any] = {
                "Ed25519": ed25519.Ed25519PrivateKey.from_private_bytes,
                "X25519": x25519.X25519PrivateKey.from_private_bytes,
                "Ed448": ed448.Ed448PrivateKey.from_private_bytes,
            }
            public = makers[curve](_b64url(members["d"])).public_key()
            same = "x" not in members or public.public_bytes_raw() == _b64url(members["x"])
            return (key_id(public) if same else ""), curve.lower()
    except (*LOAD_ERRORS, KeyError):
        return "", kind.lower()
    return "", members.get("alg", kind.encode()).decode("ascii").lower()
