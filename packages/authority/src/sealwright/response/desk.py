"""Carries out what an operator decides: preview, audit, act, keep. The same order as for rules.

May never act without an audit entry that is durable before.
"""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from sealwright.admin.model import Action, Details
from sealwright.admin.service import Auditor
from sealwright.clock import Clock
from sealwright.errors import Refused
from sealwright.ids import new_id
from sealwright.response.model import Decision, Mode, Outcome, Preview, Response
from sealwright.response.ports import Eyes, Hands, ResponseStore

BY_HAND = "by hand"
"""What stands for the rule where there was none."""


class Desk:
    """Where operators act from."""

    def __init__(
        self, store: ResponseStore, eyes: Eyes, hands: Hands, auditor: Auditor, clock: Clock
    ) -> None:
        self._store = store
        self._eyes = eyes
        self._hands = hands
        self._auditor = auditor
        self._clock = clock

    async def preview(self, action: Action, subject: str) -> Preview:
        """What an action would touch now."""
        return await asyncio.to_thread(self._eyes.preview, action, subject)

    def realm_of(self, kid: str) -> str | None:
        """The realm of a key of ours."""
        return self._eyes.realm_of(kid)

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

    async def act_by_hand(
        self, operator: str, action: Action, subject: str, reason: str, preview: Preview
    ) -> None:
        """Do it, and note it beside what rules did: as the answer to their suggestions of the same, if there
        are any.

        Raises:
            Refused: it cannot be done to this subject.
            Unavailable: it could not be done now.
        """
        await self.act(operator, action, subject, reason, preview)
        known = await asyncio.to_thread(self._store.since, 0.0)
        same = [one for one in known if (one.decision.action, one.decision.subject) == (action, subject)]
        waiting = [one for one in same if one.outcome in {Outcome.SUGGESTED, Outcome.LIMITED, Outcome.FAILED}]
        if not waiting:
            waiting = [_by_hand(action, subject, self._clock.now(), preview)]
        for one in waiting:
            done = replace(one, outcome=Outcome.ACTED, preview=preview, detail=operator)
            await asyncio.to_thread(self._store.keep, done)

    async def reversed(self, operator: str, action: Action, subject: str) -> None:
        """Note that what was done was taken back, so that it can be done again."""
        for one in await asyncio.to_thread(self._store.since, 0.0):
            same = (one.decision.action, one.decision.subject) == (action, subject)
            if same and one.outcome is Outcome.ACTED:
                taken_back = replace(one, outcome=Outcome.REVERSED, detail=operator)
                await asyncio.to_thread(self._store.keep, taken_back)

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
    if response.outcome in {Outcome.ACTED, Outcome.REVERSED}:
        raise Refused("already_done", "This response was carried out already.")


def _by_hand(action: Action, subject: str, at: float, preview: Preview) -> Response:
    """What an operator did that no rule had suggested."""
    decision = Decision(
        rule=BY_HAND, action=action, subject=subject, alarm_id="", code=BY_HAND, mode=Mode.SUGGEST
    )
    return Response(id=new_id("act"), at=at, decision=decision, preview=preview, outcome=Outcome.SUGGESTED)
