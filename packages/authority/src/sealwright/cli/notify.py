"""Notices from the command line: compose, ask for agreement, agree, send. Dry unless told otherwise."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from sealwright.cli.admin import Admin
from sealwright.cli.scope import answer, asked, current_lake
from sealwright.clock import SystemClock
from sealwright.config import Config
from sealwright.errors import Refused
from sealwright.files import require_writable, writing
from sealwright.response.affected import UNKNOWN_TENANT, Scope
from sealwright.response.notices import Notice, changed, composed, text_of

DRAFTS = "drafts.json"
OPERATOR = r"[A-Za-z0-9._@-]{1,64}"


class Drafts(msgspec.Struct, frozen=True):
    """What was composed and is to be agreed to, as it is kept between the steps."""

    incident: str
    notices: list[Notice]


def whole_scope(config: Config, key: str) -> Scope:
    """The blast radius of a key since it could be used, at the most six months, from a lake that is brought
    up to date first.
    """
    question = asked(key, None, None, None)
    began = float(Admin.of(config).get(f"/admin/keys/{key}")["use_from"])
    lately = replace(question, since=max(question.since, began))
    return answer(current_lake(config), lately)


def composed_for(found: Scope, incident: str) -> list[Notice]:
    """The first notice for each tenant that was touched or in reach."""
    return [composed(found, incident, tenant, SystemClock().now()) for tenant in _tenants(found)]


def due(admin: Admin, found: Scope, incident: str, correction: str) -> list[Notice]:
    """The notices that tenants are to get now: a first one, or a correction where it says anything new.

    Raises:
        Refused: `correction_unexplained` where only corrections would be due, and none is explained.
    """
    before = _newest(admin, incident)
    now = SystemClock().now()
    first = [composed(found, incident, tenant, now) for tenant in _tenants(found) if tenant not in before]
    why = correction or "unexplained"
    next_ones = [composed(found, incident, tenant, now, last, why) for tenant, last in before.items()]
    corrections = [one for one in next_ones if changed(one, before[one.tenant])]
    if corrections and not correction:
        tenants = ", ".join(one.tenant for one in corrections)
        text = f"these have a notice that says something else now: {tenants}; explain it with --correction"
        if not first:
            raise Refused("correction_unexplained", text)
        sys.stderr.write(text + "\n")
        return first
    return [*first, *corrections]


def _tenants(found: Scope) -> list[str]:
    every = {row.tenant for row in found.touched} | {row.tenant for row in found.reach}
    return sorted(every - {UNKNOWN_TENANT})


def _newest(admin: Admin, incident: str) -> dict[str, Notice]:
    """The newest notice of each tenant that has one."""
    told = admin.get("/admin/notices", incident=incident)["notices"]
    every = [msgspec.convert(one["notice"], Notice) for one in told]
    return {notice.tenant: notice for notice in sorted(every, key=lambda one: one.version)}


def require_askable(out: Path, operator: str) -> None:
    """Refuse what asking for agreement would refuse.

    Raises:
        Refused: `no_operator`.
        Misconfigured: `cannot_write`.
    """
    if not re.fullmatch(OPERATOR, operator):
        raise Refused("no_operator", "say with --operator who asks: letters, digits, . _ @ -, at most 64")
    require_writable(out)


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


def require_sendable(admin: Admin, out: Path, request: str) -> int:
    """How many notices `send` would sign now.

    Raises:
        Refused: what `send` would refuse.
        Misconfigured: the folder cannot be written.
    """
    return len(_send(admin, out, request, dry=True))


def send(admin: Admin, out: Path, request: str) -> int:
    """Have the agreed drafts signed, write them for their tenants, and keep that they were handed over."""
    signed = _send(admin, out, request, dry=False)
    write(out, signed)
    for one in signed:
        admin.post(f"/admin/notices/{one['id']}/delivered", {"channel": "file", "outcome": "written"})
    return len(signed)


def _send(admin: Admin, out: Path, request: str, *, dry: bool) -> list[dict[str, Any]]:
    drafts = _drafts(out)
    require_writable(out)  # before an approval is used up
    body = {
        "incident": drafts.incident,
        "notices": msgspec.to_builtins(drafts.notices),
        "request": request,
        "dry": dry,
    }
    told: list[dict[str, Any]] = admin.post("/admin/notices/send", body)["notices"]
    return told


def _drafts(out: Path) -> Drafts:
    try:
        return msgspec.json.decode((out / DRAFTS).read_bytes(), type=Drafts)
    except OSError as error:
        raise Refused("no_drafts", f"there are no drafts in {out}") from error
    except msgspec.DecodeError as error:
        raise Refused("bad_drafts", f"the drafts in {out / DRAFTS} cannot be read: {error}") from error


def write(out: Path, signed: list[dict[str, Any]]) -> None:
    """Write notices to a folder: signed, and as text."""
    with writing(out):
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        for one in signed:
            (out / f"{one['id']}.jws").write_text(one["signed"] + "\n", encoding="utf-8")
            (out / f"{one['id']}.txt").write_text(one["text"], encoding="utf-8")


def show(notices: list[Notice]) -> None:
    """The notices as text."""
    for notice in notices:
        sys.stdout.write(text_of(notice) + "\n")
