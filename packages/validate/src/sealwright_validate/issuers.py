"""Whose keys are whose: one plain issuer, or the tenants of Microsoft Entra behind one key set.

Everything here fails closed. Microsoft's own check of the `issuer` member of a key returns "valid" when the
key, its member, the configuration or the tenant is missing; each of these refuses here. May never guess an
issuer.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sealwright_validate.encoding import Members
from sealwright_validate.errors import Misconfigured, Reason, Refused

ENTRA: Final = "https://login.microsoftonline.com"
ENTRA_CONSUMERS: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the tenant of personal accounts
_TEMPLATE: Final = "{tenantid}"
_GUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z").match


class TenantRule(Protocol):
    """Decides whether a key with a template for an issuer may speak for the issuer of a token."""

    def require_tenant(self, claims: Mapping[str, Any], key_issuer: str) -> None:
        """Return only if the key may sign for what `iss` and `tid` say."""


class IssuerRule(Protocol):
    """What a source of plain keys may be the source of."""

    @property
    def discovered(self) -> str:
        """What the discovery document must name as `issuer`."""

    @property
    def tenants(self) -> TenantRule | None:
        """How tokens are held to tenants, None where there is one issuer."""

    def key_issuer(self, entry: Members) -> str:
        """The issuer (or template) that a key of the set belongs to; raises Refused for keys of others."""


@dataclass(frozen=True, slots=True)
class OneIssuer:
    """A plain OpenID issuer: every key is its own, unless the key itself names another."""

    discovered: str
    tenants: TenantRule | None = None

    def key_issuer(self, entry: Members) -> str:
        """The one issuer; a key whose `issuer` member names another is not ours."""
        if entry.get("issuer", self.discovered) != self.discovered:
            raise Refused(Reason.KEY_UNUSABLE, "a key of another issuer")
        return self.discovered


@dataclass(frozen=True, slots=True)
class EntraTenants:
    """Microsoft Entra, v2.0 tokens: per-key `issuer` members with a template, tenants by GUID.

    `allowed` is None where any tenant is accepted. Keys of the v1 endpoint carry no issuer and are refused.
    """

    cloud: str
    path: str
    allowed: frozenset[str] | None

    @property
    def discovered(self) -> str:
        """The issuer in the discovery document: a template on shared endpoints."""
        tenant = self.path if _GUID(self.path) else _TEMPLATE
        return f"{self.cloud}/{tenant}/v2.0"

    @property
    def tenants(self) -> TenantRule:
        """This rule itself."""
        return self

    def key_issuer(self, entry: Members) -> str:
        """The `issuer` member of the key: the template, or one allowed tenant."""
        issuer = entry.get("issuer")
        if issuer == f"{self.cloud}/{_TEMPLATE}/v2.0":
            return str(issuer)
        self._tenant_of(issuer)
        return str(issuer)

    def speaks_for(self, issuer: str) -> bool:
        """Whether an issuer has the form of an allowed tenant's."""
        try:
            self._tenant_of(issuer)
        except Refused:
            return False
        return True

    def require_tenant(self, claims: Mapping[str, Any], key_issuer: str) -> None:
        """`iss` is an allowed tenant's, `tid` is that tenant, and the key may speak for it."""
        issuer = claims.get("iss")
        tenant = self._tenant_of(issuer)
        if claims.get("tid") != tenant:
            raise Refused(Reason.ISSUER_NOT_ALLOWED, "tid is missing or of another tenant than iss")
        if key_issuer.replace(_TEMPLATE, tenant) != issuer:
            raise Refused(Reason.KEY_OF_OTHER_REALM, f"a key of {key_issuer} for {issuer}")
        if tenant == ENTRA_CONSUMERS and key_issuer != issuer:
            raise Refused(Reason.KEY_OF_OTHER_REALM, "an enterprise key for personal accounts")

    def _tenant_of(self, issuer: Any) -> str:
        prefix, suffix = f"{self.cloud}/", "/v2.0"
        if not isinstance(issuer, str) or not issuer.startswith(prefix) or not issuer.endswith(suffix):
            raise Refused(Reason.ISSUER_NOT_ALLOWED, f"issuer {issuer!r:.120}")
        tenant = issuer[len(prefix) : -len(suffix)]
        if not _GUID(tenant) or (self.allowed is not None and tenant not in self.allowed):
            raise Refused(Reason.ISSUER_NOT_ALLOWED, f"tenant {tenant!r:.60}")
        return tenant


def entra_tenants(tenants: Iterable[str], *, any_tenant: bool, cloud: str) -> EntraTenants:
    """The rule for the tenants that a relying party serves; raises Misconfigured for none and for no
    GUIDs.
    """
    given = (tenants,) if isinstance(tenants, str) else tuple(tenants)
    allowed = frozenset(tenant.lower() for tenant in given)
    if bool(allowed) == any_tenant:
        raise Misconfigured("name the tenants that you serve, or say any_tenant=True, and not both")
    if not all(map(_GUID, allowed)):
        raise Misconfigured("tenants are named by their GUID: a domain name may change hands")
    if any_tenant:
        path = "organizations"
    elif len(allowed) == 1:
        path = next(iter(allowed))
    else:
        path = "common" if ENTRA_CONSUMERS in allowed else "organizations"
    return EntraTenants(cloud.rstrip("/"), path, None if any_tenant else allowed)
