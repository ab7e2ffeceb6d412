"""Notices from the command line: compose, ask for agreement, agree, send. Dry unless told otherwise."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from sealwright.cli.admin import Admin
from sealwright.cli.scope import answer, asked, current_lake
from sealwright.clock import SystemClock
from sealwright.config import Config
from sealwright.errors import Refused
from sealwright.files import writing
from sealwright.response.affected import Scope
from sealwright.response.notices import Notice, composed, text_of

DRAFTS = "drafts.json"


class Drafts(msgspec.Struct, frozen=True):
    """What was composed and is to be agreed to, as it is kept between the steps."""

    incident: str
    notices: list[Notice]


def whole_scope(config: Config, key: str) -> Scope:
    """The blast radius of a key over six months, from a lake that is brought up to date first."""
    return answer(current_lake(config), asked(key, None, None, None))


def composed_for(found: Scope, incident: str) -> list[Notice]:
    """One notice for each tenant that was touched or in reach."""
    tenants = sorted({row.tenant for row in found.touched} | {row.tenant for row in found.reach})
    now = SystemClock().now()
    return [composed(found, incident, tenant, now) for tenant in tenants]


def ask(admin: Admin, drafts: Drafts, out: Path, operator: str) -> str:
    """Write the drafts and ask for agreement; returns the request's id."""
    with writing(out):
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        (out / DRAFTS).write_bytes(msgspec.json.encode(drafts))
    body = {
        "incident": drafts.incident,
        "notices": msgspec.to_builtins(drafts.notices),
        "operator": operator,
    }
    request: str = admin.post("/admin/notices", body)["request"]
    return request


def require_sendable(admin: Admin, out: Path, request: str) -> Drafts:
    """The drafts, if there is an open request to send them.

    Raises:
        Refused: `no_drafts`, or `unknown_request`.
    """
    drafts = _drafts(out)
    asked = {one["id"]: one for one in admin.get("/admin/approvals")["requests"]}
    if request not in asked or asked[request]["subject"] != drafts.incident:
        raise Refused("unknown_request", f"there is no open request {request} for the drafts in {out}")
    return drafts


def _drafts(out: Path) -> Drafts:
    try:
        return msgspec.json.decode((out / DRAFTS).read_bytes(), type=Drafts)
    except (OSError, msgspec.DecodeError) as error:
        raise Refused("no_drafts", f"there are no drafts in {out}") from error


def send(admin: Admin, out: Path, request: str) -> int:
    """Have the agreed drafts signed, write them for their tenants, and keep that they were handed over."""
    drafts = _drafts(out)
    body = {
        "incident": drafts.incident,
        "notices": msgspec.to_builtins(drafts.notices),
        "request": request,
    }
    signed: list[dict[str, Any]] = admin.post("/admin/notices/send", body)["notices"]
    for one in signed:
        with writing(out):
            (out / f"{one['id']}.jws").write_text(one["signed"] + "\n", encoding="utf-8")
            (out / f"{one['id']}.txt").write_text(one["text"], encoding="utf-8")
        log = {"tenant": one["tenant"], "channel": "file", "outcome": "written"}
        admin.post(f"/admin/notices/{one['id']}/delivered", log)
    return len(signed)


def show(notices: list[Notice]) -> None:
    """The notices as text."""
    for notice in notices:
        sys.stdout.write(text_of(notice) + "\n")
