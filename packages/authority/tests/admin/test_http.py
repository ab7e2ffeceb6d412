"""The admin surface reads status, audit trail and figures."""

import asyncio

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette

from sealwright.admin import http
from sealwright.admin.memory import FixedStatus, MemoryAuditStore
from sealwright.admin.service import Auditor


class StillClock:
    def now(self) -> float:
        return 100.0


def answers(*paths: str, entries: int = 0) -> list[httpx.Response]:
    registry = CollectorRegistry()
    Counter("sealwright_tokens", "Tokens.", registry=registry).inc(3)
    auditor = Auditor(MemoryAuditStore(), StillClock())
    app = Starlette(routes=http.routes({"keys": FixedStatus({"active": 2})}, auditor, registry))

    async def main() -> list[httpx.Response]:
        for number in range(entries):
            await auditor.audit("operator:a", "do", f"subject-{number}", {"n": number})
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://admin") as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(main())


def test_status_shows_each_room() -> None:
    (answer,) = answers("/admin/status")
    assert answer.json() == {"keys": {"active": 2}}


def test_metrics_are_those_of_the_registry_that_was_handed_in() -> None:
    (answer,) = answers("/metrics")
    assert "sealwright_tokens_total 3.0" in answer.text
    assert "python_info" not in answer.text


def test_the_audit_trail_is_paged() -> None:
    first, rest, end = answers(
        "/admin/audit?limit=2", "/admin/audit?after=2", "/admin/audit?after=3", entries=3
    )
    assert [entry["subject"] for entry in first.json()["entries"]] == ["subject-0", "subject-1"]
    assert first.json()["next"] == 2
    assert [entry["details"] for entry in rest.json()["entries"]] == [{"n": 2}]
    assert end.json() == {"entries": [], "next": 3}


@pytest.mark.parametrize("query", ["after=x", "limit=-1", "after=1%0A"])
def test_a_malformed_cursor_is_refused(query: str) -> None:
    (answer,) = answers(f"/admin/audit?{query}")
    assert answer.status_code == 400
