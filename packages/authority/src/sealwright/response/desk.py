"""Carries out what an operator decides: preview, audit, act, keep. The same order as for rules.

May never act without an audit entry that is durable before.
"""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from sealwright.admin.model import Action, Details
from sealwright.admin.service import Auditor
from sealwright.errors import Refused
from sealwright.response.model import Outcome, Preview, Response
from sealwright.response.ports import Eyes, Hands, ResponseStore


class Desk:
    """Where operators act from."""

    def __init__(self, store: ResponseStore, eyes: Eyes, hands: Hands, auditor: Auditor) -> None:
        self._store = store
        self._eyes = eyes
        self._hands = hands
        self._auditor = auditor

    async def preview(self, action: Action, subject: str) -> Preview:
        """What an action would touch now."""
        return await asyncio.to_thread(self._eyes.preview, action, subject)

    async def rehearse(self, action: Action, subject: str) -> Preview:
        """What an action would touch now; nothing is changed.

        Raises:
            Refused: it could not be done to this subject.
        """
        await self._hands.require_possible(action, subject)
        return await self.preview(action, subject)

    async def audit(self, operator: str, action: str, subject: str) -> None:
        """Keep an entry about something that is done elsewhere."""
        await self._auditor.audit(operator, action, subject)

    async def act(self, operator: str, action: Action, subject: str, reason: str, preview: Preview) -> None:
        """Do it.

        Raises:
            Refused: it cannot be done to this subject.
            Unavailable: it could not be done now.
        """
        details: Details = {
            "reason": reason,
            "live_tokens": preview.live_tokens,
            "clients": preview.clients,
            "tenants": preview.tenants,
        }
        await self._auditor.audit(operator, action.value, subject, details)
        await self._hands.act(action, subject, reason)

    async def rehearse_response(self, response: Response) -> Preview:
        """What `apply` would touch now; nothing is changed.

        Raises:
            Refused: what `apply` would refuse.
        """
        _require_open(response)
        return await self.rehearse(response.decision.action, response.decision.subject)

    async def apply(self, operator: str, response: Response) -> Response:
        """Carry out what a rule suggested.

        Raises:
            Refused: `already_done`, or it cannot be done to this subject.
            Unavailable: it could not be done now.
        """
        _require_open(response)
        decision = response.decision
        preview = await self.preview(decision.action, decision.subject)
        await self.act(operator, decision.action, decision.subject, f"alarm {decision.code}", preview)
        done = replace(response, outcome=Outcome.ACTED, preview=preview, detail=operator)
        await asyncio.to_thread(self._store.keep, done)
        return done


def _require_open(response: Response) -> None:
    if response.outcome is Outcome.ACTED:
        raise Refused("already_done", "This response was carried out already.")
