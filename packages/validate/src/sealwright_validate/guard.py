"""What every middleware does: takes the token and its proof out of a request, validates, and words the
answer.

May never believe a Host header: the address of the service is configured, or DPoP proofs are refused. May
never take a token from anywhere but the Authorization header (RFC 6750 §2.1; body and query are for others to
read).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sealwright_validate.challenge import Challenge, challenge
from sealwright_validate.encoding import decode_base64url
from sealwright_validate.errors import Misconfigured, Reason, Refused
from sealwright_validate.expect import Expect
from sealwright_validate.possession import Binding, Presented, certificate_from_header
from sealwright_validate.token import VerifiedToken
from sealwright_validate.uri import normalise
from sealwright_validate.validate import Validator

_SCHEMES: Final = frozenset(("bearer", "dpop"))


@dataclass(frozen=True, slots=True)
class Request:
    """What a guard needs of a request. Every header comes as all of its values. `path` is as it was sent."""

    method: str
    path: str
    authorization: tuple[str, ...] = ()
    dpop: tuple[str, ...] = ()
    certificate_headers: tuple[str, ...] = ()
    certificate: bytes | None = None
    receipts: tuple[str, ...] = ()


class Guard:
    """A validator with an expectation, for requests.

    `origin` is scheme and host under which clients reach the service (`https://mail.example`); DPoP needs it.
    `certificate_header` is the header in which a TLS proxy hands on the client's certificate; the proxy must
    remove it from what clients send. Raises Misconfigured.
    """

    def __init__(
        self,
        validator: Validator,
        expect: Expect,
        *,
        origin: str | None = None,
        certificate_header: str | None = None,
    ) -> None:
        if origin is not None and (normalise(origin) is None or normalise(origin) != normalise(f"{origin}/")):
            raise Misconfigured(f"{origin!r} is no origin, such as https://mail.example")
        if origin is None and Binding.DPOP in expect.possession:
            raise Misconfigured("DPoP needs the origin of this service, such as https://mail.example")
        self.validator: Final = validator
        self.expect: Final = expect
        self.certificate_header: Final = certificate_header
        self._origin = origin.rstrip("/") if origin else None

    def admit(self, request: Request) -> VerifiedToken:
        """The verified token of a request; raises Refused. May wait, as `Validator.validate` may."""
        token, presented = self._read(request)
        return self.validator.validate(token, self.expect, presented)

    async def admit_async(self, request: Request) -> VerifiedToken:
        """The same for an event loop."""
        token, presented = self._read(request)
        return await self.validator.validate_async(token, self.expect, presented)

    def answer(self, refusal: Refused) -> Challenge:
        """The answer to a refused request."""
        dpop = self.expect.possession == {Binding.DPOP}
        return challenge(refusal, scopes=self.expect.scopes, dpop=dpop, nonce=self.validator.dpop_nonce())

    def _read(self, request: Request) -> tuple[str, Presented]:
        scheme, token = credentials(request.authorization)
        # A path that does not begin with a slash would run into the host of the origin.
        rooted = self._origin is not None and request.path.startswith("/")
        uri = f"{self._origin}{request.path.partition('?')[0]}" if rooted else ""
        return token, Presented(
            scheme=scheme,
            method=request.method,
            uri=uri,
            proofs=request.dpop,
            certificate=self._certificate(request),
            receipt=_receipt(request),
        )

    def _certificate(self, request: Request) -> bytes | None:
        if self.certificate_header is None or not any(request.certificate_headers):
            return request.certificate
        if len(request.certificate_headers) > 1:
            raise Refused(Reason.CERTIFICATE_MISSING, "several certificate headers")
        return certificate_from_header(request.certificate_headers[0])


def _receipt(request: Request) -> str | None:
    """The receipt in the header `Sealwright-Receipt`: base64url of the proof's text."""
    if not request.receipts:
        return None
    try:
        if len(request.receipts) == 1:
            return decode_base64url(request.receipts[0].strip(" ")).decode("utf-8")
    except (Refused, UnicodeDecodeError):
        pass
    raise Refused(Reason.RECEIPT_INVALID, "the header holds no receipt, or there are several")


def credentials(authorization: Iterable[str]) -> tuple[str, str]:
    """Scheme and token of the one `Authorization` header of a request (RFC 6750 §2.1, RFC 9449 §7.1)."""
    values = list(authorization)
    if not values:
        raise Refused(Reason.TOKEN_MISSING, "no Authorization header")
    if len(values) > 1:
        raise Refused(Reason.TOKEN_AMBIGUOUS, "several Authorization headers")
    scheme, _, token = values[0].strip(" ").partition(" ")
    if scheme.lower() not in _SCHEMES or not token.strip(" "):
        raise Refused(Reason.TOKEN_MISSING, "no bearer or DPoP token")
    return scheme, token.strip(" ")
