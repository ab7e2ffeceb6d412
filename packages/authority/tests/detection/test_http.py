"""The wire: what is taken, what is refused and with which status, and the alarm feed."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Coroutine, MutableMapping
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from sealwright.detection import http
from sealwright.detection.feed import AlarmFeed
from sealwright.detection.inbox import Inbox
from sealwright.detection.judging import Judging
from sealwright.detection.memory import (
    MemoryAlarmStore,
    MemoryKeys,
    MemoryLedger,
    MemoryObservationStore,
    MemoryReporters,
    SteppedClock,
)
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import MAX_REPORT_BYTES
from sealwright.detection.service import Detector

BASIC = "Basic " + base64.b64encode(b"mail:secret").decode()
Message = MutableMapping[str, Any]


class Authority:
    """Both sides of detection's HTTP, on the ports in memory."""

    def __init__(self, inbox: Inbox | None = None) -> None:
        clock = SteppedClock()
        self.observations = MemoryObservationStore()
        alarms = MemoryAlarmStore()
        metrics = DetectionMetrics(CollectorRegistry())
        judging = Judging(self.observations, alarms, MemoryLedger(clock), MemoryKeys(), clock, metrics)
        self.feed = AlarmFeed(alarms)
        self.detector = Detector(judging, self.feed, metrics, inbox)
        reporters = MemoryReporters({BASIC: "mail"})
        self.app = Starlette(
            routes=[*http.routes(self.detector, reporters), *http.admin_routes(self.feed)],
        )

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app)
        return httpx.AsyncClient(
            transport=transport, base_url="http://authority", headers={"Authorization": BASIC}
        )


Act = Callable[[Authority, httpx.AsyncClient], Coroutine[Any, Any, None]]


def serving(act: Act, inbox: Inbox | None = None) -> None:
    async def main() -> None:
        authority = Authority(inbox)
        task = asyncio.create_task(authority.detector.run())
        await asyncio.sleep(0)
        try:
            async with authority.client() as client:
                await act(authority, client)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def observed(number: int, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": f"{number:032x}",
        "at": 1_800_000_000.25,
        "verdict": "accepted",
        "signature": "valid",
        "digest": f"{number:064x}",
        "kid": "K" * 43,
        "jti": "abcdefghijklmnop.7.abcdefghijkl",
        "iss": "https://issuer.example",
        "aud": ["https://mail.example"],
        "iat": 1_800_000_000,
        "exp": 1_800_000_600,
        "client_id": "c",
        "sub_digest": None,
    }
    return fields | changes


def report(*observations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    validator = {
        "name": "mail-api",
        "instance": "a1",
        "library": "sealwright-validate",
        "version": "0.1.0",
        "mode": "async",
        "manifest_version": 17,
        "manifest_age": 12.5,
    }
    return {"validator": validator, "observations": list(observations)} | changes


def test_a_report_is_answered_with_what_was_kept() -> None:
    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        answer = await client.post("/observations", json=report(observed(1), observed(2)))
        assert (answer.status_code, answer.json()) == (202, {"stored": 2, "duplicates": 0})
        again = await client.post("/observations", json=report(observed(2), observed(3)))
        assert (again.status_code, again.json()) == (202, {"stored": 1, "duplicates": 1})
        heartbeat = await client.post("/observations", json=report())
        assert (heartbeat.status_code, heartbeat.json()) == (202, {"stored": 0, "duplicates": 0})
        assert authority.observations.validators()[0].validator.manifest_age == 12.5

    serving(act)


def test_a_member_that_this_version_does_not_know_is_ignored() -> None:
    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        newer = report(observed(1, colour="blue"), revision=2)
        assert (await client.post("/observations", json=newer)).status_code == 202

    serving(act)


def test_nobody_reports_without_a_reporters_credentials() -> None:
    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        for headers in ({"Authorization": "Basic eDp5"}, {"Authorization": ""}):
            answer = await client.post("/observations", json=report(observed(1)), headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Basic ")
        assert authority.observations.unjudged() == []

    serving(act)


MALFORMED: dict[str, Any] = {
    "no object": [],
    "no validator": {"observations": []},
    "validator without instance": {"validator": {"name": "x"}, "observations": []},
    "id too short": report(observed(1, id="ab")),
    "id not hexadecimal": report(observed(1, id="g" * 32)),
    "digest of a wrong length": report(observed(1, digest="a" * 63)),
    "digest in capitals": report(observed(1, digest="A" * 64)),
    "digest with a line feed": report(observed(1, digest="a" * 64 + "\n")),
    "signature of another kind": report(observed(1, signature="perhaps")),
    "verdict that is no code": report(observed(1, verdict="Let in!")),
    "time before 1970": report(observed(1, at=-1)),
    "time as text": report(observed(1, at="now")),
    "iat with a fraction": report(observed(1, iat=0.5)),
    "iat beyond every calendar": report(observed(1, iat=2**62)),
    "text too long": report(observed(1, iss="x" * 513)),
    "too many audiences": report(observed(1, aud=["x"] * 33)),
    "subject in clear": report(observed(1, sub_digest="alice@example.org")),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_report_is_refused_whole(body: Any) -> None:
    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        answer = await client.post("/observations", json=body)
        assert answer.status_code == 400
        assert answer.json()["error"] == "malformed_report"
        assert authority.observations.unjudged() == []

    serving(act)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"validator":NaN}'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        assert (await client.post("/observations", content=body)).status_code == 400

    serving(act)


def test_more_than_a_thousand_observations_are_too_many() -> None:
    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        small = {"id": "", "at": 1, "verdict": "accepted", "signature": "valid", "digest": "a" * 64}
        many = [small | {"id": f"{number:032x}"} for number in range(1_001)]
        answer = await client.post("/observations", json=report(*many))
        assert (answer.status_code, answer.json()["error"]) == (413, "too_many_observations")
        assert (await client.post("/observations", json=report(*many[1:]))).status_code == 202

    serving(act)


def test_a_body_beyond_its_bound_is_refused_whatever_length_it_declares() -> None:
    async def endless() -> AsyncIterator[bytes]:
        sent = 0
        while True:
            sent += 1
            assert sent < 40, "the body was read on beyond its bound"
            yield b" " * 65_536

    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        declared = await client.post("/observations", content=b" " * (MAX_REPORT_BYTES + 1))
        assert declared.status_code == 413
        assert (await client.post("/observations", content=endless())).status_code == 413

    serving(act)


def test_backpressure_names_who_is_too_fast_and_when_to_come_back() -> None:
    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        own = await client.post("/observations", json=report(*[observed(number) for number in range(3)]))
        assert (own.status_code, own.json()["error"]) == (429, "reporter_too_fast")
        assert int(own.headers["retry-after"]) >= 1
        assert (await client.post("/observations", json=report(observed(1)))).status_code == 202

    serving(act, Inbox(queue_max=10, reporter_max=2))


def test_an_outage_is_told_as_one() -> None:
    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        authority.observations.down = True
        answer = await client.post("/observations", json=report(observed(1)))
        assert (answer.status_code, answer.json()["error"]) == (503, "store_unavailable")
        assert "retry-after" in answer.headers

    serving(act)


async def alarmed(authority: Authority, client: httpx.AsyncClient, numbers: range) -> None:
    for number in numbers:
        await client.post("/observations", json=report(observed(number, kid=None, jti=None)))
    async with asyncio.timeout(10):
        while len(await authority.feed.page(0, 1_000)) < 2 * len(numbers):
            await authority.feed.next_page(2 * len(numbers) - 1, 1, 0.05)


def test_alarms_are_paged_by_cursor() -> None:
    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        await alarmed(authority, client, range(3))
        first = (await client.get("/admin/alarms?limit=4")).json()
        assert [alarm["code"] for alarm in first["alarms"]] == ["never_issued", "unknown_key"] * 2
        rest = (await client.get(f"/admin/alarms?after={first['next']}")).json()
        assert len(rest["alarms"]) == 2
        end = (await client.get(f"/admin/alarms?after={rest['next']}")).json()
        assert end == {"alarms": [], "next": rest["next"]}
        one = first["alarms"][0]
        assert one["facts"]["verdict"] == "accepted"
        assert "token" not in one

    serving(act)


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=1e3", "after=" + "9" * 19, "after=%D9%A7"])
def test_a_malformed_cursor_is_refused(query: str) -> None:
    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        assert (await client.get(f"/admin/alarms?{query}")).status_code == 400

    serving(act)


class EventReader:
    """Reads server-sent events from the application as they are sent."""

    def __init__(self, app: Starlette, last_event_id: str | None = None) -> None:
        self._sent: asyncio.Queue[Message] = asyncio.Queue()
        headers = [(b"accept", b"text/event-stream")]
        if last_event_id is not None:
            headers.append((b"last-event-id", last_event_id.encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/admin/alarms",
            "raw_path": b"/admin/alarms",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._sent.put))

    async def _receive(self) -> Message:
        await asyncio.Event().wait()
        return {}

    async def events(self, wanted: int) -> list[dict[str, Any]]:
        """The next events, with their ids."""
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(10):
            while len(found) < wanted:
                message = await self._sent.get()
                for block in message.get("body", b"").decode().split("\n\n"):
                    fields = dict(
                        line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")
                    )
                    if "data" in fields:
                        found.append({"cursor": fields["id"], **json.loads(fields["data"])})
        return found

    async def rest(self) -> list[Message]:
        """What is sent until the answer is over."""
        await self.task
        return [self._sent.get_nowait() for _ in range(self._sent.qsize())]

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def test_a_stream_sends_what_is_there_then_what_comes_and_resumes_where_it_broke() -> None:
    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        await alarmed(authority, client, range(1))
        reader = EventReader(authority.app)
        before = await reader.events(2)
        await client.post("/observations", json=report(observed(7)))
        during = await reader.events(2)
        assert [event["code"] for event in before + during] == ["never_issued", "unknown_key"] * 2
        await reader.close()
        await client.post("/observations", json=report(observed(8)))
        resumed = EventReader(authority.app, last_event_id=during[0]["cursor"])
        after = await resumed.events(3)
        assert [event["seq"] for event in after] == [
            during[1]["seq"],
            during[1]["seq"] + 1,
            during[1]["seq"] + 2,
        ]
        await resumed.close()

    serving(act)


def test_a_stream_ends_complete_when_the_feed_is_closed() -> None:
    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        await alarmed(authority, client, range(1))
        reader = EventReader(authority.app)
        await reader.events(2)
        authority.feed.close()
        async with asyncio.timeout(60):
            assert (await reader.rest())[-1] == {
                "type": "http.response.body",
                "body": b"",
                "more_body": False,
            }

    serving(act)


def test_streams_beyond_the_bound_are_refused_until_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "STREAMS_MAX", 1)

    async def act(authority: Authority, client: httpx.AsyncClient) -> None:
        await alarmed(authority, client, range(1))
        reader = EventReader(authority.app)
        await reader.events(1)
        headers = {"Accept": "text/event-stream"}
        assert (await client.get("/admin/alarms", headers=headers)).status_code == 503
        await reader.close()
        another = EventReader(authority.app)
        await another.events(1)
        await another.close()

    serving(act)
