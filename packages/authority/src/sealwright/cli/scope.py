"""`sealwright respond scope`: who was touched, who could have been, and which evidence is missing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from sealwright.cli.admin import Admin
from sealwright.clock import SystemClock
from sealwright.config import Config
from sealwright.config.durations import moment
from sealwright.errors import Misconfigured, Refused, Unavailable
from sealwright.files import writing
from sealwright.response.affected import Question, Scope, of_tenant

BACK = 180 * 86_400.0
"""Seconds that is looked back where nothing is said: six months."""
SEARCHING = 600.0
"""Seconds that bringing the lake up to date may take."""


class Form(StrEnum):
    """How a scope is written."""

    CSV = "csv"
    JSON = "json"
    HTML = "html"


def asked(key: str | None, client: str | None, since: str | None, until: str | None) -> Question:
    """The question of a command line.

    Raises:
        Misconfigured: `bad_time`, or `nothing_asked` where neither a key, a client nor a time is given.
    """
    now = SystemClock().now()
    if key is None and client is None and since is None:
        raise Misconfigured("nothing_asked", "ask about a --key, a --client, or a time (--since)")
    try:
        begin = moment(since, now) if since is not None else now - BACK
        end = moment(until, now) if until is not None else now
    except ValueError as error:
        raise Misconfigured("bad_time", str(error)) from error
    return Question(kid=key, client_id=client, since=begin, until=end)


def current_lake(config: Config) -> Path:
    """The lake of this configuration, brought up to date by the authority where it runs.

    Raises:
        Misconfigured: `no_lake`.
    """
    try:
        _say("bringing the lake up to date")
        Admin.of(config).post("/admin/search", patience=SEARCHING)
    except (Refused, Unavailable) as error:
        _say(f"not brought up to date: {error.public}")
    if not config.lake.is_dir():
        raise Misconfigured("no_lake", f"there is no lake in {config.lake}: no authority has run here")
    return config.lake


def answer(lake: Path, question: Question) -> Scope:
    """The answer from a lake, with progress on standard error.

    Raises:
        Misconfigured: `extra_absent`, `no_lake`, or `bad_lake` (with the file that cannot be read).
        Refused: `nothing_asked`, `unknown_key` or `unknown_client`.
    """
    try:
        import duckdb

        from sealwright.detection.engine import DuckEngine
        from sealwright.response.scope import scope
    except ImportError as error:
        raise Misconfigured("extra_absent", "install sealwright[detect] for this command") from error
    if not lake.is_dir():
        raise Misconfigured("no_lake", f"{lake} is no folder")
    engine = DuckEngine(lake)
    try:
        return scope(engine.tables(), question, _timed())
    except duckdb.Error as error:
        raise Misconfigured("bad_lake", f"the lake cannot be read: {str(error).splitlines()[0]}") from error
    finally:
        engine.close()


def write(found: Scope, form: Form, tenant: str | None, out: Path | None) -> None:
    """Write an answer, or one tenant's part of it, to a file or standard output.

    Raises:
        Misconfigured: the file cannot be written.
    """
    from sealwright.response.report import as_csv, as_html, as_json

    told = of_tenant(found, tenant) if tenant else found
    if tenant and not told.touched and not told.reach:
        raise Refused("not_affected", f"nothing of a tenant {tenant} was touched or in reach")
    text = {Form.CSV: as_csv, Form.JSON: as_json, Form.HTML: as_html}[form](told).rstrip("\n") + "\n"
    if out is None:
        sys.stdout.write(text)
        return
    with writing(out):
        out.write_text(text, encoding="utf-8")
    _say(f"written to {out}")


def _timed() -> Callable[[str], None]:
    """Says each step with the seconds since the first."""
    began = time.monotonic()
    return lambda step: _say(f"[{time.monotonic() - began:5.1f} s] {step}")


def _say(step: str) -> None:
    sys.stderr.write(f"{step} ...\n")
    sys.stderr.flush()
