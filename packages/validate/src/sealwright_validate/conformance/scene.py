"""The scene that every case plays in: two realms' keys of several kinds, and ways to forge with them.

Keys of the scene: one good key per algorithm, and one each that is expired, retired, revoked, staged, of
another realm, or in nobody's key set. May never hold a key that signs anywhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sealwright_validate.conformance.authority import DAY, HOUR, Issued, ThrowawayAuthority
from sealwright_validate.conformance.certificate import certificate_for
from sealwright_validate.conformance.keys import SigningKey, compact_json, make_key
from sealwright_validate.encoding import encode_base64url

YEAR: Final = 365 * DAY
ALGORITHMS: Final = ("ES256", "EdDSA", "RS256", "PS256")
AUDIENCE: Final = "https://mail.example"
REALM: Final = "enterprise"


@dataclass(frozen=True, slots=True)
class Signed:
    """A token in its parts, before it is put together."""

    header: bytes
    payload: bytes
    signature: bytes

    @property
    def token(self) -> str:
        """The compact form."""
        return ".".join(encode_base64url(part) for part in (self.header, self.payload, self.signature))


@dataclass
class Scene:
    """Everything that cases are made of, at one moment."""

    authority: ThrowawayAuthority
    good: dict[str, Issued] = field(default_factory=dict)

    def __post_init__(self) -> None:
        authority = self.authority
        self.good = {name: authority.make_key(algorithm=name) for name in ALGORITHMS}
        self.key = self.good["ES256"]
        self.consumer = authority.make_key("consumer")
        self.consumer_rsa = authority.make_key("consumer", "RS256")
        self.expired = authority.make_key(window=(-10 * HOUR, -4 * HOUR, HOUR), status="verify-only")
        self.staged = authority.make_key(window=(HOUR, 7 * HOUR, 9 * HOUR), status="staged")
        self.revoked_later = authority.make_key()
        self.retired, self.revoked = authority.make_key(), authority.make_key()
        self.stranger = make_key("ES256")
        self.strangers = {name: make_key(name) for name in ALGORITHMS}
        authority.revoke(self.revoked_later, issued_before=authority.now - 1000)
        authority.retire(self.retired)
        authority.revoke(self.revoked)

    @property
    def now(self) -> int:
        """The moment that the scene plays at, in seconds since 1970."""
        return self.authority.now

    @property
    def issuer(self) -> str:
        """The issuer that the relying party trusts."""
        return self.authority.realms[REALM].issuer

    def header(self, issued: Issued | None = None, **changed: Any) -> dict[str, Any]:
        """The header of a good token, with members changed, or left out where None."""
        return self.authority.header(issued or self.key, **changed)

    def claims(self, realm: str = REALM, /, **changed: Any) -> dict[str, Any]:
        """The claims of a good token, with some changed, or left out where None."""
        return self.authority.claims(realm, **changed)

    def sign(
        self,
        header: Mapping[str, Any] | bytes | None = None,
        claims: Mapping[str, Any] | bytes | None = None,
        key: SigningKey | None = None,
        algorithm: str | None = None,
    ) -> Signed:
        """Header and claims as given (bytes as they are), signed with a key of the caller's choice."""
        head = self.header() if header is None else header
        body = self.claims() if claims is None else claims
        raw = [part if isinstance(part, bytes) else compact_json(dict(part)) for part in (head, body)]
        message = ".".join(encode_base64url(part) for part in raw).encode("ascii")
        return Signed(raw[0], raw[1], (key or self.key.key).sign(message, algorithm))

    def jwks(self) -> dict[str, Any]:
        """A key set as the shared one of 2023: keys of both issuers, one with a certificate that ended in
        2021.

        Each key says in `issuer` whom it belongs to, as Microsoft's does since.
        """
        published = (*self.good.values(), self.consumer, self.consumer_rsa)
        keys: list[dict[str, Any]] = [
            {**issued.key.jwk, "issuer": issued.entry["issuer"]} for issued in published
        ]
        certificate = certificate_for(self.expired.key, since=self.now - 8 * YEAR, until=self.now - 3 * YEAR)
        keys.append({**self.expired.key.jwk, "issuer": self.issuer, "x5c": [certificate]})
        return {"keys": keys}


def make_scene(now: float, url: str = "http://127.0.0.1:8420") -> Scene:
    """A scene at one moment; its authority says it is at `url`."""
    return Scene(ThrowawayAuthority(now, url))
