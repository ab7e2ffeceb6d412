"""Step 7, the notices: each affected tenant is told its own part, signed, after two operators agreed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from importlib.util import find_spec

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sealwright.admin import rules as admin_rules
from sealwright.admin.model import Action
from sealwright.admin.service import Approvals, Auditor
from sealwright.drills.model import Control, Finding
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.storm_0558.scope_damage import NOT_INSTALLED, blast_radius
from sealwright.errors import Refused, Unavailable
from sealwright.keys.model import KeyState
from sealwright.response import notices as composing
from sealwright.response.affected import Scope
from sealwright.response.notices import Delivery, Notice, approval_details, composed, publish

STEP = "7-notify"
INCIDENT = "storm"
TENANTS = ("contoso", "fabrikam")
EXPECTED = "2 touched subjects of contoso, nothing of fabrikam"


def run(sandbox: Sandbox) -> Iterator[Finding]:
    """Compose, try alone, agree, send, and read what the tenant can read."""
    if find_spec("duckdb") is None:
        yield Finding(STEP, "tell the tenants", None, NOT_INSTALLED, NOT_INSTALLED, held=True)
        return
    kid = next(key.kid for key in sandbox.stores.keys.all() if key.state is KeyState.REVOKED)
    whole = blast_radius(sandbox, kid)
    made = _composed(sandbox, whole)
    yield _alone(sandbox, made)
    signed, public = asyncio.run(_sent(sandbox, made))
    told = jwt.decode(signed[0], public, algorithms=["EdDSA"])
    other = "envoy" in str(told) or "fabrikam" in str(told)
    observed = f"{told['subjects_touched']} touched subjects of {told['tenant']}, " + (
        "and something of fabrikam" if other else "nothing of fabrikam"
    )
    if told["subjects_touched"] != len({"minister", "treasurer"}) or other:
        observed += " (its own are 2)"
    attack = "read the notice of one tenant: what is in it of others?"
    control = Control.TENANT_SEPARATION
    yield Finding(f"{STEP}-tenant", attack, control, EXPECTED, observed, held=observed == EXPECTED)


def _composed(sandbox: Sandbox, whole: Scope) -> list[Notice]:
    module = vars(composing)
    before = module["of_tenant"]
    if Control.TENANT_SEPARATION in sandbox.flaws:
        module["of_tenant"] = lambda scope, _tenant: scope
    try:
        return [composed(whole, INCIDENT, tenant, sandbox.clock.now()) for tenant in TENANTS]
    finally:
        module["of_tenant"] = before


def _alone(sandbox: Sandbox, made: list[Notice]) -> Finding:
    """One operator asks, and nobody else agrees."""

    async def attempt() -> str:
        approvals = _approvals(sandbox)
        request = await approvals.request(
            "operator:one", Action.SEND_NOTICES, INCIDENT, approval_details(made)
        )
        try:
            await approvals.approval(request.id)
        except Refused as refusal:
            return refusal.code
        return "sent"

    with _lenient(sandbox):
        observed = asyncio.run(attempt())
    attack = "send notices as a single operator"
    expected, control = "consents_missing", Control.NOTICE_APPROVAL
    return Finding(f"{STEP}-alone", attack, control, expected, observed, held=observed == expected)


@contextlib.contextmanager
def _lenient(sandbox: Sandbox) -> Iterator[None]:
    module = vars(admin_rules)
    before = module["OPERATORS_NEEDED"]
    if Control.NOTICE_APPROVAL in sandbox.flaws:
        module["OPERATORS_NEEDED"] = dict.fromkeys(Action, 1)
    try:
        yield
    finally:
        module["OPERATORS_NEEDED"] = before


async def _sent(sandbox: Sandbox, made: list[Notice]) -> tuple[list[str], Ed25519PublicKey]:
    approvals, stores = _approvals(sandbox), sandbox.stores
    request = await approvals.request("operator:one", Action.SEND_NOTICES, INCIDENT, approval_details(made))
    await approvals.consent("operator:two", request.id)
    approval = await approvals.approval(request.id)
    signer, now = _Signer(), sandbox.clock.now()
    signed = publish(made, INCIDENT, stores.notices, signer, approval, now)
    for notice in made:
        delivery = Delivery(notice=notice.id, tenant=notice.tenant, channel="drill", at=now, outcome="taken")
        stores.notices.log(delivery)
        if stores.notices.deliveries(notice.id) != [delivery]:
            raise Unavailable("drill_stuck", "a delivery was not kept")
    return [one.signed for one in signed], signer.key.public_key()


class _Signer:
    """A notice key of the drill's own."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()

    def sign_notice(self, signing_input: bytes) -> bytes:
        """See the port."""
        return self.key.sign(signing_input)

    def notice_kid(self) -> str:
        """See the port."""
        return "drill"


def _approvals(sandbox: Sandbox) -> Approvals:
    auditor = Auditor(sandbox.stores.audit, sandbox.clock)
    return Approvals(sandbox.stores.approvals, auditor, sandbox.clock)
