"""Sender-constrained tokens: DPoP (RFC 9449) and mutual TLS (RFC 8705).

A token that is bound to a key is accepted only from whoever holds the key. May never fall back to bearer:
neither for a bound token without a proof, nor for a proof with an unbound token, nor for a binding that is
not understood.
"""

from base64 import b64decode
from binascii import Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final

from sealwright_validate.encoding import encode_base64url
from sealwright_validate.errors import Misconfigured, Reason, Refused
from sealwright_validate.replay import MemoryReplayStore, ReplayStore

if TYPE_CHECKING:  # DPoP is imported where it is used
    from sealwright_validate.nonces import Nonces

MAX_WINDOW: Final = 300.0  # seconds
_MAX_CERTIFICATE: Final = 16 * 1024
_PEM_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_PEM_END: Final = b"-----END CERTIFICATE-----"


@unique
class Binding(StrEnum):
    """How a relying party demands that tokens are bound."""

    DPOP = "dpop"
    MTLS = "mtls"


@dataclass(frozen=True, slots=True)
class Presented:
    """How a token was presented: what the request says beside the token itself.

    `scheme` is that of the Authorization header. `method` and `uri` are of the request; the scheme and host
    of `uri` come from the service's own configuration, never from a Host header. `proofs` are the DPoP
    headers. `certificate` is the client's, in DER, as the TLS layer verified the possession of its key.
    `receipt` is the proof that the token is in the ledger, where one came along.
    """

    scheme: str = "Bearer"
    method: str = ""
    uri: str = ""
    proofs: tuple[str, ...] = ()
    certificate: bytes | None = None
    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class Possession:
    """How proofs are checked. `window` is for how long a DPoP proof is fresh, in seconds, 300 at the most.

    `replays` remembers used proofs; a service of several processes shares one. `nonces` demands server
    nonces.
    """

    window: float = 60.0
    replays: ReplayStore = field(default_factory=MemoryReplayStore)
    nonces: "Nonces | None" = None

    def __post_init__(self) -> None:
        if not 1 <= self.window <= MAX_WINDOW:
            raise Misconfigured(f"a proof is fresh for between 1 and {MAX_WINDOW:.0f} s")

    def require(
        self,
        claims: Mapping[str, Any],
        token: str,
        presented: Presented,
        demanded: frozenset[Binding],
        now: float,
    ) -> str | None:
        """Whoever presents a bound token proved to hold its key; returns the binding that was proved, if
        any.
        """
        binding = claims.get("cnf")
        if binding is None and "cnf" not in claims:
            _require_unbound_allowed(presented, demanded)
            return None
        if not isinstance(binding, Mapping) or len(binding) != 1:
            raise Refused(Reason.BINDING_NOT_UNDERSTOOD, "cnf is no object with one member")
        ((how, value),) = binding.items()
        if how == "jkt" and isinstance(value, str):
            _require_demanded(Binding.DPOP, demanded)
            self._require_dpop(value, token, presented, now)
        elif how == "x5t#S256" and isinstance(value, str):
            _require_demanded(Binding.MTLS, demanded)
            _require_certificate(value, presented)
        else:
            raise Refused(Reason.BINDING_NOT_UNDERSTOOD, f"cnf member {how!r:.40}")
        return value

    def _require_dpop(self, jkt: str, token: str, presented: Presented, now: float) -> None:
        if presented.scheme.lower() != "dpop" or not presented.proofs:
            raise Refused(Reason.PROOF_MISSING, "a DPoP-bound token without a proof")
        if len(presented.proofs) > 1:
            raise Refused(Reason.PROOF_INVALID, "several DPoP headers")
        if not presented.uri or not presented.method:
            raise Refused(Reason.PROOF_INVALID, "the address of this service is not configured")
        from sealwright_validate.dpop import ProofCase, require_proof

        require_proof(
            ProofCase(
                presented.proofs[0],
                token,
                jkt,
                presented.method,
                presented.uri,
                now,
                self.window,
                self.nonces,
                self.replays,
            )
        )


NOTHING_PRESENTED: Final = Presented()


def _require_unbound_allowed(presented: Presented, demanded: frozenset[Binding]) -> None:
    if demanded:
        raise Refused(Reason.BINDING_MISSING, "an unbound token where a bound one is demanded")
    if presented.scheme.lower() == "dpop":  # RFC 9449 §7.1: the scheme is for bound tokens
        raise Refused(Reason.BINDING_MISSING, "an unbound token presented with the DPoP scheme")


def _require_demanded(binding: Binding, demanded: frozenset[Binding]) -> None:
    if demanded and binding not in demanded:
        raise Refused(Reason.BINDING_MISSING, f"bound by {binding}, which is not what is demanded")


def _require_certificate(thumbprint: str, presented: Presented) -> None:
    if presented.certificate is None:
        raise Refused(Reason.CERTIFICATE_MISSING, "a certificate-bound token without a client certificate")
    found = encode_base64url(sha256(presented.certificate).digest())
    if not compare_digest(found, thumbprint if thumbprint.isascii() else ""):
        raise Refused(Reason.CERTIFICATE_MISMATCH, "bound to another certificate")


def certificate_from_header(value: str) -> bytes:
    """The DER of a certificate that a TLS proxy hands on: RFC 9440 `:base64:`, PEM, or PEM percent-encoded
    (NGINX).

    Raises Refused. Only a proxy that removes the header from what clients send may be believed.
    """
    if len(value) > _MAX_CERTIFICATE or not value.isascii():
        raise Refused(Reason.CERTIFICATE_MISSING, "the certificate header is too long or not ASCII")
    text = value.strip().encode("ascii")
    if text.startswith(b":") and text.endswith(b":"):
        body = text[1:-1]
    else:
        from urllib.parse import unquote_to_bytes

        pem = unquote_to_bytes(text) if b"%" in text else text
        if not pem.strip().startswith(_PEM_BEGIN) or not pem.strip().endswith(_PEM_END):
            raise Refused(Reason.CERTIFICATE_MISSING, "the certificate header holds no certificate")
        body = b"".join(pem.strip()[len(_PEM_BEGIN) : -len(_PEM_END)].split())
    try:
        return b64decode(body, validate=True)
    except Error:
        raise Refused(Reason.CERTIFICATE_MISSING, "the certificate header is no base64") from None
