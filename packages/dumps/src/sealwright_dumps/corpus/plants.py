"""Everything that is planted: one private key or credential in one form each.

May never do: name a kind that nothing plants; the table in docs/crash-dumps.md is made from this list.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass

from sealwright_dumps.corpus import mldsa
from sealwright_dumps.corpus.keys import Keys, mldsa_pkcs8, openssh, pfx, pkcs8, traditional
from sealwright_dumps.detectors.aes import expand


@dataclass(frozen=True, slots=True)
class Plant:
    """One thing to find. `needs`: what the scanner must be given (nothing, fingerprints, or public keys)."""

    name: str
    data: bytes
    needs: str = ""


def _drawn(name: str, count: int) -> bytes:
    """Bytes as good as random, and the same each time: a credential is told by how its letters are mixed, and
    one drawn afresh would look like a name once in some ten thousand draws.
    """
    return hashlib.shake_256(b"sealwright-dumps plant " + name.encode()).digest(count)


def _b64u(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _b64u(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _pem(label: str, raw: bytes) -> bytes:
    body = base64.encodebytes(raw)
    wrapped = b"".join(body.split())
    lines = [wrapped[at : at + 64] for at in range(0, len(wrapped), 64)]
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label.encode(), b"\n".join(lines), label.encode())


def _text_keys(keys: Keys) -> Iterator[Plant]:
    rsa_pem, ec_pem = pkcs8(keys.rsa, pem=True), pkcs8(keys.ec, pem=True)
    yield Plant("pem pkcs8 rsa", rsa_pem)
    yield Plant("pem pkcs1 rsa", traditional(keys.rsa, pem=True))
    yield Plant("pem pkcs8 ec", ec_pem)
    yield Plant("pem sec1 ec", traditional(keys.ec, pem=True))
    yield Plant("pem pkcs8 ed25519", pkcs8(keys.ed25519, pem=True))
    yield Plant("pem pkcs8 ml-dsa-65", _pem("PRIVATE KEY", mldsa_pkcs8(keys.mldsa_seed)))
    yield Plant("pem pkcs8 encrypted", pkcs8(keys.ec, pem=True, password=b"a password"))
    yield Plant("pem openssh ed25519", openssh(keys.ed25519))
    yield Plant("pem openssh rsa", openssh(keys.rsa))
    yield Plant("pem with crlf", rsa_pem.replace(b"\n", b"\r\n"))
    yield Plant("pem on one line in json", json.dumps({"private_key": rsa_pem.decode()}).encode())
    yield Plant("pem in utf-16", ec_pem.decode().encode("utf-16le"))
    yield Plant("pem in base64", base64.b64encode(rsa_pem))
    yield Plant("pem in hex", ec_pem.hex().encode())
    yield Plant("pem in gzip", gzip.compress(rsa_pem))
    yield Plant("pem in xz", lzma.compress(rsa_pem))
    yield Plant("pem in bzip2", bz2.compress(rsa_pem))
    yield Plant("pem cut off", rsa_pem[:900])
    yield Plant("pem without its head", rsa_pem[500:-30], "fingerprints")
    yield Plant("putty", _putty())
    yield Plant("openssh binary", base64.b64decode(b"".join(openssh(keys.ed25519).split(b"\n")[1:-2])))


def _putty() -> bytes:
    body = base64.encodebytes(_drawn("putty", 36)).decode()
    head = "PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: none\r\nComment: planted\r\nPublic-Lines: 1\r\n"
    tail = f"{body}Private-Lines: 1\r\n{body}Private-MAC: {_drawn('putty mac', 32).hex()}\r\n"
    return (head + tail).encode()


def _der_keys(keys: Keys) -> Iterator[Plant]:
    rsa_der, ec_der = pkcs8(keys.rsa), pkcs8(keys.ec)
    yield Plant("der pkcs1 rsa", traditional(keys.rsa))
    yield Plant("der pkcs8 rsa", rsa_der)
    yield Plant("der pkcs8 ec", ec_der)
    yield Plant("der sec1 ec", traditional(keys.ec))
    yield Plant("der pkcs8 ed25519", pkcs8(keys.ed25519))
    yield Plant("der pkcs8 ml-dsa-65", mldsa_pkcs8(keys.mldsa_seed))
    yield Plant("der pkcs8 encrypted", pkcs8(keys.rsa, password=b"a password"))
    yield Plant("pkcs12", pfx(keys.ec))
    for lead in range(3):
        yield Plant(f"der in base64 at {lead}", base64.b64encode(b"?" * lead + rsa_der))
    yield Plant("der in base64url", base64.urlsafe_b64encode(ec_der))
    yield Plant("der in base64 in utf-16", base64.b64encode(ec_der).decode().encode("utf-16le"))
    yield Plant("der in hex", rsa_der.hex().encode())
    yield Plant("der pkcs1 cut off", traditional(keys.rsa)[:700])


def _jwks(keys: Keys) -> Iterator[Plant]:
    private = keys.rsa.private_numbers()
    numbers = {"n": private.public_numbers.n, "e": private.public_numbers.e, "d": private.d}
    numbers |= {"p": private.p, "q": private.q, "dp": private.dmp1, "dq": private.dmq1, "qi": private.iqmp}
    rsa_jwk = {"kty": "RSA"} | {name: _number(value) for name, value in numbers.items()}
    scalar = keys.ec.private_numbers()
    point = {"x": _number(scalar.public_numbers.x), "y": _number(scalar.public_numbers.y)}
    ec_jwk = {"kty": "EC", "crv": "P-256", "d": _b64u(scalar.private_value.to_bytes(32, "big"))} | point
    seed = keys.ed25519.private_bytes_raw()
    okp = {"kty": "OKP", "crv": "Ed25519", "d": _b64u(seed)}
    okp["x"] = _b64u(keys.ed25519.public_key().public_bytes_raw())
    akp = {"kty": "AKP", "alg": "ML-DSA-65", "priv": _b64u(keys.mldsa_seed)}
    for name, jwk in (("rsa", rsa_jwk), ("ec", ec_jwk), ("okp", okp), ("akp", akp)):
        yield Plant(f"jwk {name}", json.dumps(jwk).encode())
    yield Plant("jwk oct", json.dumps({"kty": "oct", "k": _b64u(_drawn("jwk oct", 32))}).encode())
    yield Plant("jwk escaped in json", json.dumps({"key": json.dumps(ec_jwk)}).encode())
    yield Plant("jwk in base64", base64.b64encode(json.dumps(okp, separators=(",", ":")).encode()))


def python_digits(value: int) -> bytes:
    """A Python int's 30-bit digits as CPython stores them."""
    out = b""
    while value:
        out += (value & (1 << 30) - 1).to_bytes(4, "little")
        value >>= 30
    return out


def _memory_forms(keys: Keys) -> Iterator[Plant]:
    private = keys.rsa.private_numbers()
    prime, exponent = private.p.to_bytes(128, "little"), private.d.to_bytes(256, "little")
    scalar = keys.ec.private_numbers().private_value.to_bytes(32, "little")
    own = "fingerprints"
    yield Plant("rsa p, limbs", prime, own)
    yield Plant("rsa p, big-endian", prime[::-1], own)
    yield Plant("rsa p, lower half", prime[:64], own)
    yield Plant("rsa p, upper half", prime[64:], own)
    yield Plant("rsa montgomery constant, limbs", pow(2, 2048, private.q).to_bytes(128, "little"), own)
    yield Plant("rsa d, limbs", exponent, own)
    yield Plant("rsa d, python int", python_digits(private.d), own)
    yield Plant("ec scalar, limbs", scalar, own)
    yield Plant("ec scalar, big-endian", scalar[::-1], own)
    yield Plant("ec scalar, base64", base64.b64encode(scalar[::-1]), own)
    yield Plant("ec scalar, hex", scalar[::-1].hex().encode(), own)
    yield Plant("ed25519 seed", keys.ed25519.private_bytes_raw(), own)
    yield Plant("ml-dsa seed", keys.mldsa_seed, own)
    yield Plant("rsa p in a heap chunk", (0x91).to_bytes(8, "little") + prime + bytes(8), "public keys")
    yield Plant("ec scalar in a heap chunk", (0x31).to_bytes(8, "little") + scalar + bytes(8), "public keys")


def _structures(keys: Keys) -> Iterator[Plant]:
    for bits in (128, 192, 256):
        yield Plant(f"aes-{bits} schedule", expand(_drawn("aes", bits // 8)))
    for name, chosen in mldsa.SETS.items():
        _, polynomials = mldsa.secret(keys.mldsa_seed, name)
        yield Plant(f"{name} s1 and s2, packed", mldsa.packed(polynomials, chosen.eta))
    _, polynomials = mldsa.secret(keys.mldsa_seed, "ml-dsa-65")
    yield Plant("ml-dsa-65 s1, coefficients", mldsa.coefficients(polynomials[:5]))
    private = keys.rsa.private_numbers()
    sizes = b"".join(size.to_bytes(4, "little") for size in (2048, 3, 256, 128, 128))
    numbers = (
        (private.public_numbers.e, 3),
        (private.public_numbers.n, 256),
        (private.p, 128),
        (private.q, 128),
    )
    yield Plant("windows cng rsa", b"RSA3" + sizes + b"".join(v.to_bytes(n, "big") for v, n in numbers))
    store = bytes.fromhex("feedfeed0000000200000001000000010003") + b"key" + bytes(8) + _drawn("java", 700)
    yield Plant("java key store", store)


def _letters(count: int) -> str:
    return base64.b32encode(_drawn("letters", count)).decode()[:count]


def _credentials(keys: Keys) -> Iterator[Plant]:
    mixed = base64.b64encode(_drawn("mixed", 90)).decode().replace("+", "a").replace("/", "b")
    head, body = (_b64u(json.dumps(part).encode()) for part in ({"alg": "ES256"}, {"sub": "someone", "n": 1}))
    yield Plant("jwt", f"Bearer {head}.{body}.{_b64u(_drawn('jwt', 64))}".encode())
    yield Plant("refresh token", f'{{"refresh_token": "{_b64u(_drawn("refresh token", 32))}"}}'.encode())
    yield Plant("aws key id", f"aws_access_key_id = AKIA{_letters(16)}\n".encode())
    yield Plant("aws secret", f"aws_secret_access_key = {mixed[:40]}\n".encode())
    yield Plant("github token", f"token=ghp_{mixed[:36]} ".encode())
    yield Plant("password in a url", f"postgresql://app:{mixed[:20]}@db.internal/app ".encode())
    data = base64.b64encode(traditional(keys.ec, pem=True)).decode()
    yield Plant("kubeconfig", f"users:\n- user:\n    client-key-data: {data}\n".encode())


def plants(keys: Keys) -> list[Plant]:
    """All of them."""
    rooms = (_text_keys, _der_keys, _jwks, _memory_forms, _structures, _credentials)
    return [plant for room in rooms for plant in room(keys)]
