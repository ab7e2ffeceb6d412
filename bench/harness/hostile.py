"""What the costliest input of 64 KiB costs: tokens, key sets, manifests and proofs made to be slow to read.

Every input must be refused, or taken in where it is nothing but large; an error of another kind ends the run.
CPU time is counted, not the clock on the wall, for other programs run beside.
"""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from functools import partial

from harness.model import Floor, Setting, Table, WrongAnswer

SIZE = 64 * 1024
MOST = 5.0  # milliseconds that one input may cost
MANIFEST_LIFE = 600  # seconds
Feed = Callable[[], object]


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def texts() -> dict[str, bytes]:
    """JSON texts of SIZE bytes, each hard on one thing that a reader does."""
    many = ",".join(f'"{number:x}":0' for number in range(SIZE // 8))[: SIZE - 20].rpartition(",")[0]
    twice = ('"a":0,' * (SIZE // 6))[: SIZE - 20].rpartition(",")[0]
    return {
        "nothing but brackets": b"[" * SIZE,
        "nested a level too deeply": b"["
        + b"[" * 16
        + b"]" * 16
        + (b"," + b"[" * 16 + b"]" * 16) * (SIZE // 33 - 2)
        + b"]",
        "objects in objects": b'{"a":' * (SIZE // 5),
        "a number of all digits": b'{"a":' + b"9" * (SIZE - 6) + b"}",
        "an exponent without end": b'{"a":1e' + b"9" * (SIZE - 8) + b"}",
        "a fraction without end": b'{"a":0.' + b"1" * (SIZE - 8) + b"}",
        "a text of escapes": b'{"a":"' + b"\\u0041" * ((SIZE - 8) // 6) + b'"}',
        "a text of backslashes": b'{"a":"' + b"\\\\" * ((SIZE - 8) // 2) + b'"}',
        "a text that does not end": b'{"a":"' + b"x" * (SIZE - 6),
        "lone surrogates": b'{"a":"' + b"\\ud800" * ((SIZE - 8) // 6) + b'"}',
        "very many members": b"{" + many.encode() + b"}",
        "one member very often": b"{" + twice.encode() + b"}",
        "broken UTF-8": b"\xff" * SIZE,
        "white space": b" " * SIZE,
        "quotes": b'"' * SIZE,
        "brackets in texts": b"{" + b'"[{":"{[",' * ((SIZE - 3) // 10) + b"}",
    }


def tokens(text: bytes, payload: str, signature: str) -> Iterator[tuple[str, str]]:
    """Tokens with this text as each of their parts, and cut to what a service would still take."""
    part = b64(text)
    yield "header", f"{part}.{payload}.{signature}"
    yield "payload", f"e30.{part}.{signature}"
    yield "header of 4 kB", f"{b64(text[:3000])}.{payload}.{signature}"


class Reader:
    """Everything of the validator that reads what others wrote, over a throw-away authority."""

    def __init__(self) -> None:
        from sealwright_validate import Expect, Trust, Validator
        from sealwright_validate.conformance.authority import ThrowawayAuthority
        from sealwright_validate.conformance.keys import make_key
        from sealwright_validate.replay import MemoryReplayStore

        self._now = time.time()
        self.authority, self.prover = ThrowawayAuthority(self._now), make_key("ES256")
        self.key = self.authority.make_key()
        self._trust = Trust.fed(root=self.authority.roots[0])
        self._trust.feed(self.authority.served(life=MANIFEST_LIFE))
        self._validator = Validator(trust=self._trust)
        self._expect = Expect(audience="https://mail.example", realm="enterprise")
        self._replays = MemoryReplayStore()

    def token(self, unverified: str) -> None:
        """Validate a token."""
        self._validator.validate(unverified, self._expect)

    def signed_token(self, payload: bytes) -> str:
        """A token with this payload under a good signature."""
        from sealwright_validate.conformance.keys import jws

        return jws(self.key.key, self.authority.header(self.key), payload)

    def proof(self, unverified: str) -> None:
        """Check a DPoP proof."""
        from sealwright_validate.dpop import ProofCase, require_proof

        where = ("GET", "https://mail.example/")
        require_proof(
            ProofCase(unverified, "token", self.prover.kid, *where, self._now, 60.0, None, self._replays)
        )

    def signed_proof(self, payload: bytes) -> str:
        """A proof with this payload under a good signature."""
        from sealwright_validate.conformance.keys import jws

        bare = {name: self.prover.jwk[name] for name in ("kty", "crv", "x", "y")}
        return jws(self.prover, {"typ": "dpop+jwt", "alg": "ES256", "jwk": bare}, payload)

    def key_set(self, unverified: bytes) -> None:
        """Read a JWKS."""
        from sealwright_validate.issuers import OneIssuer
        from sealwright_validate.jwks import open_jwks

        open_jwks(unverified, OneIssuer("https://issuer.example"), None, now=self._now, lifetime=60)

    def manifest(self, unverified: bytes) -> None:
        """Take in a served manifest."""
        self._trust.feed(unverified)

    def signed_manifest(self, payload: bytes) -> bytes:
        """A served document whose manifest has this payload under a good signature."""
        from sealwright_validate.conformance.authority import document_header
        from sealwright_validate.conformance.keys import jws

        identity = self.authority.incarnation.identity
        signed = jws(identity, document_header(identity, "manifest"), payload)
        return json.dumps({**json.loads(self.authority.served()), "manifest": signed}).encode()


def cases() -> Iterator[tuple[str, str, Feed]]:
    """Kind of input, its name, and what puts it to the validator."""
    reader = Reader()
    good = reader.authority.token(reader.key).split(".")
    for name, text in texts().items():
        for part, token in tokens(text, good[1], good[2]):
            yield f"token, {part}", name, partial(reader.token, token)
            yield f"proof, {part}", name, partial(reader.proof, token)
        yield "token, signed, 16 kB", name, partial(reader.token, reader.signed_token(text[:11_000]))
        yield "proof, signed, 8 kB", name, partial(reader.proof, reader.signed_proof(text[:5_000]))
        yield "key set", name, partial(reader.key_set, text)
        nested = b'{"keys":[{"kid":"a","kty":' + text + b"}]}"
        yield "key set, in a key", name, partial(reader.key_set, nested)
        yield "manifest, served", name, partial(reader.manifest, text)
        yield "manifest, signed", name, partial(reader.manifest, reader.signed_manifest(text))


def cost(feed: Feed, times: int) -> float:
    """The least CPU milliseconds of several tries: what is more is the machine's, not the input's."""
    from sealwright_validate import Refused, Unavailable

    found = []
    for _ in range(times):
        started = time.process_time()
        try:
            feed()
        except (Refused, Unavailable):
            pass
        except Exception as fault:
            raise WrongAnswer(f"an input of 64 KiB ends in {type(fault).__name__}: {fault}") from fault
        found.append((time.process_time() - started) * 1e3)
    return min(found)


def measured_hostile(setting: Setting) -> tuple[Table, Floor]:
    """The costliest input of each kind, and whether it stays below MOST."""
    worst: dict[str, tuple[float, str, int]] = {}
    for kind, name, feed in cases():
        took = cost(feed, 2 if setting.quick else 7)
        before, which, seen = worst.get(kind, (0.0, "", 0))
        worst[kind] = (max(took, before), name if took > before else which, seen + 1)
    setting.say(f"{sum(seen for _, _, seen in worst.values())} inputs of 64 KiB")
    rows = tuple((kind, seen, which, took) for kind, (took, which, seen) in worst.items())
    table = Table(
        "The costliest input of 64 KiB", ("kind of input", "tried", "the costliest", "CPU ms"), rows
    )
    most = max(took for took, _, _ in worst.values())
    return table, Floor("5 ms by the costliest input of 64 KiB", 1.0, MOST / most)
