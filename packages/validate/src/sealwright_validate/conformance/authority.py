"""A throw-away Sealwright in memory: root, admission, keys, manifest and tokens, as docs/formats says.

It implements the documents and nothing of the real authority, so that a validator can be tested against the
written contract alone. May never keep a key beyond the process.
"""

from base64 import b32encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_bytes
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright_validate.conformance.keys import SigningKey, compact_json, jws, make_key
from sealwright_validate.encoding import encode_base64url

HOUR: Final = 3600
ADMISSIONS: Final = "http://127.0.0.1:8420/admissions"
DAY: Final = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Realm:
    """A realm as the signer's policy has it."""

    name: str
    issuer: str
    audiences: tuple[str, ...]
    token_types: tuple[str, ...] = ("at+jwt",)
    max_lifetime: int = HOUR


@dataclass(frozen=True, slots=True)
class Issued:
    """A token key with its entry in the manifest, status included."""

    key: SigningKey
    entry: dict[str, Any]

    @property
    def kid(self) -> str:
        """The id of the key."""
        return self.key.kid


class Incarnation:
    """One run of one signer: an identity key and what follows from it."""

    def __init__(self, authority_url: str, evidence: str = "simulated") -> None:
        self.identity: Final = make_key("EdDSA")
        spki = self.identity.private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        self.log_id: Final = b32encode(sha256(spki).digest()[:10]).decode("ascii").lower()
        self.origin: Final = f"{authority_url.partition('//')[2]}/ledger/{self.log_id}"
        self.evidence: Final = evidence

    @property
    def jwk(self) -> dict[str, str]:
        """The identity key as the documents show it."""
        return {name: self.identity.jwk[name] for name in ("kty", "crv", "x")}

    def listed(self) -> dict[str, Any]:
        """The incarnation's entry in a manifest."""
        named = {"id": self.log_id, "link": f"{ADMISSIONS}/{self.log_id}", "origin": self.origin}
        return {**named, "jwk": self.jwk, "evidence": self.evidence}


class ThrowawayAuthority:
    """Everything that a validator sees of a Sealwright. Times are seconds since 1970, given by the caller."""

    def __init__(
        self, now: float, url: str = "http://127.0.0.1:8420", *, evidence: str = "simulated"
    ) -> None:
        self.url: Final = url
        self.now = int(now)
        self.realms: Final = {
            "enterprise": Realm(
                "enterprise", f"{url}/enterprise", ("https://mail.example", "https://files.example")
            ),
            "consumer": Realm("consumer", f"{url}/consumer", ("https://mail.consumer.example",)),
        }
        self.root_key = make_key("EdDSA")
        self.admission_key = make_key("EdDSA")
        self.incarnation: Final = Incarnation(url, evidence)
        self.roots: list[bytes] = [self.root_document(1, [self.root_key])]
        self.version = 1
        self.index = 0
        self.keys: list[Issued] = []
        self.revocations: list[dict[str, Any]] = []
        self.tombstones: list[dict[str, Any]] = []
        self.strict_realms: list[str] = []

    def root_document(
        self,
        version: int,
        signers: Sequence[SigningKey],
        *,
        listed: Sequence[SigningKey] = (),
        threshold: int = 1,
        life: int = 365 * DAY,
    ) -> bytes:
        """A root that lists `listed` (the signers, if empty) and is signed by all signers."""
        payload = compact_json(
            {
                "version": version,
                "issued_at": self.now - 60,
                "expires_at": self.now + life,
                "roles": {
                    "root": {"keys": [_bare(key) for key in listed or signers], "threshold": threshold},
                    "admission": {"keys": [_bare(self.admission_key)], "threshold": 1},
                },
            }
        )
        return general_jws(payload, signers)

    def rotate_root(self) -> bytes:
        """A root of the next version with a new key, signed by the old and the new one."""
        new = make_key("EdDSA")
        document = self.root_document(len(self.roots) + 1, [self.root_key, new], listed=[new])
        self.root_key = new
        self.roots.append(document)
        return document

    def make_key(
        self,
        realm: str = "enterprise",
        algorithm: str = "ES256",
        *,
        status: str = "active",
        window: tuple[int, int, int] = (-HOUR, 5 * HOUR, 7 * HOUR),
    ) -> Issued:
        """A published key; `window` is use_from, use_until and verify_until relative to now."""
        key, scope = make_key(algorithm), self.realms[realm]
        use_from, use_until, verify_until = (self.now + offset for offset in window)
        self.index += 1
        entry = {
            "kid": key.kid,
            "jwk": dict(key.jwk),
            "realm": realm,
            "issuer": scope.issuer,
            "audiences": list(scope.audiences),
            "token_types": list(scope.token_types),
            "alg": algorithm,
            "max_lifetime": scope.max_lifetime,
            "use_from": use_from,
            "use_until": use_until,
            "verify_until": verify_until,
            "incarnation": self.incarnation.log_id,
            "status": status,
            "evidence": self.incarnation.evidence,
            "ledger_index": self.index,
        }
        issued = Issued(key, entry)
        self.keys.append(issued)
        return issued

    def retire(self, issued: Issued) -> None:
        """Bury a key."""
        self.keys.remove(issued)
        self.tombstones.append(_tombstone(issued, self.now, "retired"))

    def revoke(self, issued: Issued, issued_before: int | None = None) -> None:
        """Revoke a key outright, or for tokens issued from a moment on."""
        self.revocations.append(
            {"kid": issued.kid, "at": self.now, "reason": "key_compromise", "issued_before": issued_before}
        )
        if issued_before is None:
            self.keys.remove(issued)
            self.tombstones.append(_tombstone(issued, self.now, "revoked"))
        else:
            issued.entry["status"] = "verify-only"

    def admission(self, **changed: Any) -> str:
        """The admission of the incarnation, with members changed as asked."""
        members = {
            "incarnation": self.incarnation.log_id,
            "origin": self.incarnation.origin,
            "jwk": self.incarnation.jwk,
            "evidence": self.incarnation.evidence,
            "result": sha256(b"result").hexdigest(),
            "policy": sha256(b"policy").hexdigest(),
            "admitted_at": self.now - 60,
            "expires_at": self.now + DAY,
        }
        return jws(
            self.admission_key, document_header(self.admission_key, "admission"), {**members, **changed}
        )

    def manifest_members(self, *, life: int = 60) -> dict[str, Any]:
        """The payload of the manifest as things stand."""
        return {
            "version": self.version,
            "issued_at": self.now,
            "expires_at": self.now + life,
            "authority": self.url,
            "keys": [dict(issued.entry) for issued in self.keys],
            "revocations": list(self.revocations),
            "tombstones": list(self.tombstones),
            "incarnations": [self.incarnation.listed()],
            "strict_realms": list(self.strict_realms),
        }

    def served(self, members: Mapping[str, Any] | None = None, *, life: int = 60) -> bytes:
        """What `GET /manifest` answers, of these members or as things stand."""
        identity = self.incarnation.identity
        manifest = jws(
            identity, document_header(identity, "manifest"), members or self.manifest_members(life=life)
        )
        served = {"root_version": len(self.roots), "admission": self.admission(), "manifest": manifest}
        return compact_json(served)

    def publish(self, *, life: int = 60) -> bytes:
        """The next version."""
        self.version += 1
        return self.served(life=life)

    def place(self) -> str:
        """A `jti`: the next place in the ledger."""
        self.index += 1
        return f"{self.incarnation.log_id}.{self.index}.{encode_base64url(token_bytes(9))}"

    def claims(self, realm: str = "enterprise", /, **changed: Any) -> dict[str, Any]:
        """The claims of a good token, with some changed; a claim that is set to None is left out."""
        scope = self.realms[realm]
        claims: dict[str, Any] = {
            "iss": scope.issuer,
            "sub": "mail-client",
            "aud": scope.audiences[0],
            "client_id": "mail-client",
            "scope": "mail.read mail.send",
            "iat": self.now,
            "exp": self.now + 300,
            "jti": self.place(),
        }
        return {name: value for name, value in {**claims, **changed}.items() if value is not None}

    def header(self, issued: Issued, **changed: Any) -> dict[str, Any]:
        """The header of a good token, with some members changed; one that is set to None is left out."""
        header = {"alg": issued.key.algorithm, "kid": issued.kid, "typ": "at+jwt", **changed}
        return {name: value for name, value in header.items() if value is not None}

    def token(self, issued: Issued, **changed: Any) -> str:
        """A token of the key's own realm, with claims changed as asked."""
        return jws(issued.key, self.header(issued), self.claims(issued.entry["realm"], **changed))


def general_jws(payload: bytes, signers: Sequence[SigningKey]) -> bytes:
    """A root document: JWS general JSON serialisation."""
    encoded = encode_base64url(payload)
    signatures = []
    for key in signers:
        protected = encode_base64url(compact_json(document_header(key, "root")))
        signature = encode_base64url(key.sign(f"{protected}.{encoded}".encode()))
        signatures.append({"protected": protected, "signature": signature})
    return compact_json({"payload": encoded, "signatures": signatures})


def document_header(key: SigningKey, kind: str) -> dict[str, str]:
    """The header of a root, admission or manifest. Its key id is the thumbprint of the bare key."""
    return {"alg": "EdDSA", "kid": key.kid, "typ": f"sealwright-{kind}+jwt"}


def _bare(key: SigningKey) -> dict[str, str]:
    return {name: key.jwk[name] for name in ("kty", "crv", "x")}


def _tombstone(issued: Issued, at: int, reason: str) -> dict[str, Any]:
    return {"kid": issued.kid, "at": at, "reason": reason, "jwk": dict(issued.key.jwk)}
