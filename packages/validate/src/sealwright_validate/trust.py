"""Whom a validator trusts for keys, and where they come from.

One Trust for a Sealwright (pinned root, signed manifest), a plain OpenID issuer, or documents that are fed by
hand. May never trust without a pin or TLS, and may never be told to trust an empty something.
"""

from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from sealwright_validate.clock import SYSTEM_CLOCK, Clock
from sealwright_validate.encoding import Members
from sealwright_validate.errors import Misconfigured, Refused
from sealwright_validate.keyset import Held
from sealwright_validate.limits import KEYS_LIFETIME, MAX_KEY_AGE, Limits

if TYPE_CHECKING:  # what fetches and what reads documents is imported where it is used
    from sealwright_validate.refresh import Refresher
    from sealwright_validate.trust_state import TrustState

ROOT_SKEW: Final = 5.0  # seconds by which the authority's clock may be ahead of ours


class Source(Protocol):
    """Where keys come from."""

    @property
    def held(self) -> Held | None:
        """What is trusted now."""

    @property
    def last_refusal(self) -> Refused | None:
        """Why the latest document was refused, None if it was taken in."""

    @property
    def refresher(self) -> "Refresher | None":
        """What keeps it fresh, None where documents are fed by hand."""

    def close(self) -> None:
        """Stop what runs in the background."""


class Trust:
    """A source of keys. Make one with `Trust.sealwright`, `Trust.oidc` or `Trust.fed`."""

    def __init__(
        self,
        source: Source,
        *,
        url: str,
        clock: Clock,
        has_ledger: bool,
        speaks: Callable[[str], bool] | None = None,
    ) -> None:
        self._source = source
        self._speaks = speaks
        self.url: Final = url
        self.clock: Final = clock
        self.has_ledger: Final = has_ledger

    @classmethod
    def sealwright(
        cls,
        url: str,
        *,
        root: str | PathLike[str] | bytes | Members,
        state_file: str | PathLike[str] | None = None,
        push: bool = True,
        announced: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> "Trust":
        """A Sealwright at `url`, by its root: a path, or the document itself as bytes or object.

        With `state_file` a rollback is noticed over restarts too. `push` listens for changes beside pulling.
        With `announced` no manifest is taken in before the ledger has proven the announcement of each key.
        The documents are signed, so `url` needs no TLS. Raises Misconfigured.
        """
        from sealwright_validate.sealwright_source import SealwrightSource
        from sealwright_validate.trust_state import TrustState

        state = TrustState(
            _root_document(root),
            clock=clock,
            skew=ROOT_SKEW,
            state_file=Path(state_file) if state_file else None,
        )
        return cls(
            SealwrightSource(state, url, clock=clock, push=push, announced=announced),
            url=url,
            clock=clock,
            has_ledger=True,
        )

    @classmethod
    def oidc(
        cls,
        issuer: str,
        *,
        keys_lifetime: float = KEYS_LIFETIME,
        max_key_age: float = MAX_KEY_AGE,
        state_file: str | PathLike[str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> "Trust":
        """A plain OpenID issuer (Keycloak, Google, Auth0, Okta …), by discovery and JWKS over TLS.

        `keys_lifetime` is for how long keys are used that the issuer could not be asked about again (a day at
        the most), `max_key_age` for how long any key is used (five years at the most); seconds. With
        `state_file` a key that changes under its id is noticed over restarts too. Raises Misconfigured.
        """
        from sealwright_validate.issuers import OneIssuer
        from sealwright_validate.plain_source import PlainSource

        limits, path = Limits(keys_lifetime, max_key_age), Path(state_file) if state_file else None
        source = PlainSource(issuer, OneIssuer(issuer), clock=clock, limits=limits, state_file=path)
        return cls(source, url=issuer, clock=clock, has_ledger=False)

    @classmethod
    def entra(
        cls,
        tenants: str | Iterable[str] = (),
        *,
        any_tenant: bool = False,
        cloud: str = "https://login.microsoftonline.com",
        keys_lifetime: float = KEYS_LIFETIME,
        max_key_age: float = MAX_KEY_AGE,
        state_file: str | PathLike[str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> "Trust":
        """Microsoft Entra, v2.0 tokens of the named tenants (GUIDs), or of any with `any_tenant=True`.

        Every key must say whose it is (`issuer`), and `iss`, `tid` and the key must agree; the rest is as
        with `oidc`. Raises Misconfigured.
        """
        from sealwright_validate.issuers import entra_tenants
        from sealwright_validate.plain_source import PlainSource

        rule = entra_tenants(tenants, any_tenant=any_tenant, cloud=cloud)
        address, path = f"{rule.cloud}/{rule.path}/v2.0", Path(state_file) if state_file else None
        limits = Limits(keys_lifetime, max_key_age)
        source = PlainSource(address, rule, clock=clock, limits=limits, state_file=path)
        return cls(source, url=address, clock=clock, has_ledger=False, speaks=rule.speaks_for)

    @classmethod
    def fed(
        cls,
        *,
        root: str | PathLike[str] | bytes | Members,
        url: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> "FedTrust":
        """A Sealwright whose documents the caller hands in: for the authority itself, and for closed
        networks.

        `url` is where the ledger answers and reports go; without it there is neither.
        """
        return FedTrust(_root_document(root), url=url, clock=clock)

    @classmethod
    def any_of(cls, *trusts: "Trust") -> "Trust":
        """Several issuers at once: each token is judged by the one that its `iss` belongs to, and by no
        other.
        """
        from sealwright_validate.trust_any import any_of

        return any_of(trusts)

    def for_token(self, unverified_token: str) -> "Trust":  # noqa: ARG002 - a choice among several would need it
        """The trust that judges this token."""
        return self

    def speaks_for(self, issuer: str) -> bool:
        """Whether an issuer is one whose keys come from here."""
        held = self.held
        return held is not None and (
            issuer in held.snapshot.issuers or (self._speaks is not None and self._speaks(issuer))
        )

    @property
    def held(self) -> Held | None:
        """What is trusted now, None while nothing was verified yet."""
        return self._source.held

    @property
    def last_refusal(self) -> Refused | None:
        """Why the latest document was refused, None if it was taken in."""
        return self._source.last_refusal

    def wait_ready(self, timeout: float) -> None:
        """Wait for a first publication, at most `timeout` seconds and not beyond a first failure."""
        refresher = self._source.refresher
        if refresher is not None:
            refresher.wait_ready(lambda: self._source.held is not None, timeout)

    def may_learn(self, kid: str) -> bool:
        """Whether an unknown key id is worth asking for."""
        refresher = self._source.refresher
        return refresher is not None and refresher.may_learn(kid)

    def learn(self, kid: str, timeout: float) -> None:
        """Ask for an unknown key id, within bounds."""
        refresher = self._source.refresher
        if refresher is not None:
            refresher.learn(kid, timeout)

    def close(self) -> None:
        """Stop the background threads; what is trusted stays until it expires."""
        self._source.close()


class _FedSource:
    """Documents by hand."""

    refresher: "Refresher | None" = None

    def __init__(self, state: "TrustState") -> None:
        self.state = state

    @property
    def held(self) -> Held | None:
        """What is trusted now."""
        return self.state.held

    @property
    def last_refusal(self) -> Refused | None:
        """Why the latest document was refused."""
        return self.state.last_refusal

    def close(self) -> None:
        """Nothing runs in the background."""


class FedTrust(Trust):
    """A Trust whose documents come from the caller."""

    def __init__(self, root: bytes | Members, *, url: str | None, clock: Clock) -> None:
        from sealwright_validate.trust_state import TrustState

        state = TrustState(root, clock=clock, skew=ROOT_SKEW)
        super().__init__(_FedSource(state), url=url or "", clock=clock, has_ledger=url is not None)
        self._state = state

    @property
    def root_version(self) -> int:
        """The version of the root that is trusted now."""
        return self._state.root.version

    def feed(self, unverified: bytes) -> None:
        """Take in a served manifest document; raises Refused, and what was trusted stays."""
        self._state.feed(unverified)

    def advance_root(self, unverified: bytes) -> None:
        """Follow the root by one version; raises Refused, and the current root stays."""
        self._state.advance_root(unverified)


def _root_document(root: str | PathLike[str] | bytes | Members) -> bytes | Members:
    if isinstance(root, str | PathLike):
        try:
            return Path(root).read_bytes()
        except OSError as error:
            raise Misconfigured(f"the root cannot be read: {error}") from None
    if not root:
        raise Misconfigured("a root must be pinned: without one, keys could come from anyone")
    return root
