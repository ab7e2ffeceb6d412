"""Follows the alarm feed and responds, by rule. Order: preview, audit, act, keep.

The audit entry is durable before anything is done, so that no act goes unseen. May never raise an alarm away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from sealwright.admin.service import Auditor
from sealwright.clock import Clock
from sealwright.detection.feed import AlarmFeed
from sealwright.detection.model import Alarm
from sealwright.detection.ports import CursorStore
from sealwright.errors import Refused, Unavailable
from sealwright.response.model import Decision, Mode, Outcome, Response, Rule
from sealwright.response.ports import Eyes, Hands, ResponseStore
from sealwright.response.rules import decide, response_id

READER = "response"
PAGE = 100
IDLE_SECONDS = 5.0
RETRY_SECONDS = 1.0
STANDS_FOR = 7 * 86_400.0
"""Seconds for which a response stands: the same action on the same subject is not decided again."""


class Responder:
    """One reader of the alarm feed that acts."""

    def __init__(
        self,
        rules: Sequence[Rule],
        feed: AlarmFeed,
        cursors: CursorStore,
        store: ResponseStore,
        eyes: Eyes,
        hands: Hands,
        auditor: Auditor,
        clock: Clock,
    ) -> None:
        self._rules = tuple(rules)
        self._feed = feed
        self._cursors = cursors
        self._store = store
        self._eyes = eyes
        self._hands = hands
        self._auditor = auditor
        self._clock = clock

    async def run(self) -> None:
        """Respond until cancelled. What cannot be decided now is decided later."""
        while True:
            try:
                await self.step(IDLE_SECONDS)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)

    async def step(self, wait_seconds: float) -> list[Response]:
        """Respond to the alarms that are there, waiting up to `wait_seconds` for the first."""
        after = await asyncio.to_thread(self._cursors.cursor, READER)
        responses: list[Response] = []
        for stored in await self._feed.next_page(after, PAGE, wait_seconds):
            responses += await self._respond(stored.alarm)
            await asyncio.to_thread(self._cursors.move, READER, stored.seq)
        return responses

    async def _respond(self, alarm: Alarm) -> list[Response]:
        now = self._clock.now()
        realm = await asyncio.to_thread(self._eyes.realm_of, alarm.kid) if alarm.kid else None
        past = await asyncio.to_thread(self._store.since, now - STANDS_FOR)
        responses: list[Response] = []
        for decision in decide(alarm, realm, self._rules, past, now):
            preview = await asyncio.to_thread(self._eyes.preview, decision.action, decision.subject)
            suggested = Response(
                id=response_id(decision.action, decision.subject, decision.alarm_id),
                at=now,
                decision=decision,
                preview=preview,
                outcome=Outcome.LIMITED if decision.limited else Outcome.SUGGESTED,
            )
            done = await self._carried_out(suggested) if decision.mode is Mode.ACT else suggested
            await asyncio.to_thread(self._store.keep, done)
            if done.outcome is Outcome.ACTED:
                await self._answered(past, done)
            past = [*past, done]
            responses.append(done)
        return responses

    async def _answered(self, past: Sequence[Response], done: Response) -> None:
        """Suggestions of the same that were open are carried out with this one."""
        for one in past:
            same = (one.decision.action, one.decision.subject) == (
                done.decision.action,
                done.decision.subject,
            )
            if same and one.outcome in {Outcome.SUGGESTED, Outcome.LIMITED}:
                kept = replace(one, outcome=Outcome.ACTED, detail=done.id)
                await asyncio.to_thread(self._store.keep, kept)

    async def _carried_out(self, response: Response) -> Response:
        decision = response.decision
        await self._audit(decision, response)
        try:
            await self._hands.act(decision.action, decision.subject, f"alarm {decision.code}")
        except (Refused, Unavailable) as error:
            return replace(response, outcome=Outcome.FAILED, detail=error.code)
        return replace(response, outcome=Outcome.ACTED)

    async def _audit(self, decision: Decision, response: Response) -> None:
        details: dict[str, str | int | float | bool | list[str] | None] = {
            "alarm": decision.alarm_id,
            "code": decision.code,
            "live_tokens": response.preview.live_tokens,
            "clients": response.preview.clients,
            "tenants": response.preview.tenants,
        }
        await self._auditor.audit(f"rule:{decision.rule}", decision.action.value, decision.subject, details)
