"""What the relying party expects of a token: whom it is for, from which realm, of which type.

May never be empty: a relying party that does not say whom a token must be for is misconfigured.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from typing import Final

from sealwright_validate.errors import Misconfigured
from sealwright_validate.keyset import Evidence
from sealwright_validate.possession import Binding
from sealwright_validate.witnesses import WitnessPolicy

ACCESS_TOKEN: Final = "at+jwt"  # noqa: S105 - a media type (RFC 9068 §2.1)


@dataclass(frozen=True, slots=True, init=False)
class Expect:
    """The relying party's side of the check.

    `audience` is what this service is called in `aud`; with several, one of them must be named. `realm` is
    the realm (of a Sealwright) whose tokens are accepted, one or several. `token_types` are values of the
    header's `typ`; `scopes` must all be present. `evidence` is how well the private key must be protected at
    least. `possession` demands tokens that are bound to a key: `dpop`, `mtls`, or either. `receipt` demands
    that the proof of the ledger comes along; `witnesses` (a policy, or the file that holds one) demands it
    cosigned by a quorum of pinned witnesses. Raises Misconfigured for an empty or senseless expectation.
    """

    audiences: frozenset[str]
    realms: frozenset[str]
    token_types: frozenset[str]
    scopes: frozenset[str]
    evidence: Evidence
    possession: frozenset[Binding]
    receipt: bool
    witnesses: WitnessPolicy | None

    def __init__(
        self,
        *,
        audience: str | Iterable[str],
        realm: str | Iterable[str] = (),
        token_types: str | Iterable[str] = ACCESS_TOKEN,
        scopes: str | Iterable[str] = (),
        evidence: Evidence | str = Evidence.NONE,
        possession: str | Iterable[str] = (),
        receipt: bool = False,
        witnesses: WitnessPolicy | str | PathLike[str] | None = None,
    ) -> None:
        try:
            level = Evidence(evidence)
            bindings = frozenset(map(Binding, _names(possession, "possession")))
        except ValueError as error:
            raise Misconfigured(f"evidence or possession: {error}") from None
        if isinstance(witnesses, str | PathLike):
            witnesses = WitnessPolicy.read(witnesses)
        object.__setattr__(self, "witnesses", witnesses.demand() if witnesses is not None else None)
        object.__setattr__(self, "receipt", bool(receipt) or witnesses is not None)
        for name, given in (
            ("audiences", _names(audience, "audience")),
            ("realms", _names(realm, "realm")),
            ("token_types", frozenset(map(media_type, _names(token_types, "token_types")))),
            ("scopes", _names(scopes, "scopes")),
            ("evidence", level),
            ("possession", bindings),
        ):
            object.__setattr__(self, name, given)
        if not self.audiences:
            raise Misconfigured("an expectation without an audience would accept tokens meant for anyone")
        if not self.token_types:
            raise Misconfigured("an expectation without token types would accept tokens of any kind")


def media_type(typ: str) -> str:
    """A `typ` in its short, lower-case form (RFC 7515 §4.1.9)."""
    return typ.lower().removeprefix("application/")


def _names(given: str | Iterable[str], what: str) -> frozenset[str]:
    names = frozenset((given,) if isinstance(given, str) else given)
    if not all(isinstance(name, str) and name and not name.isspace() for name in names):
        raise Misconfigured(f"{what} must hold non-empty texts")
    return names
