"""`sealwright up`: everything in one command, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from sealwright.cli.options import ConfigFile, StateDirectory, configured
from sealwright.cli.output import console
from sealwright.config import Config, require_files
from sealwright.supervisor.host import memory_shortage
from sealwright.wiring.up import Prepared, supervise

END_LINE = "-w '\\n'"
READ_TOKEN = 'import json, sys; a = json.load(sys.stdin); print(a.get("access_token") or sys.exit(str(a)))'  # noqa: S105 - a program
PLACE = (
    'import base64 as b, hashlib as s, json, sys; h, c, _ = sys.argv[1].split("."); '
    'j = lambda part: json.loads(b.urlsafe_b64decode(part + "==")); '
    'print(json.dumps({"jti": j(c)["jti"], "kid": j(h)["kid"], '
    '"digest": s.sha256(f"{h}.{c}".encode()).hexdigest()}))'
)
"""What the third line asks the ledger: place, key and digest of the signing input (docs/formats/token.md)."""


class TerminalReporter:
    """`Reporter` for the terminal. A terminal that is gone must not end what runs: then nothing is said."""

    def __init__(self, to: Console) -> None:
        self._to = to

    def up(self, part: str, pid: int | None, seconds: float, *, again: bool) -> None:
        """A part serves."""
        word = "serves again" if again else "serves"
        self._say(f"  [green]●[/] {part:<14} {word} [dim](pid {pid}, after {seconds:.1f} s)[/]")

    def died(self, part: str, how: str, delay: float) -> None:
        """A part ended unasked."""
        self._say(f"  [red]●[/] {part:<14} ended: {how}; starting it again in {delay:.1f} s")

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._to.print(text)

    def stopped(self, part: str) -> None:
        """A part was ended."""
        self._say(f"  [dim]○ {part:<14} stopped[/]")


def command(
    *,
    config: ConfigFile = None,
    state: StateDirectory = None,
    no_demo: Annotated[
        bool, typer.Option("--no-demo", help="Without demo clients and demo mail APIs.")
    ] = False,
    log_level: Annotated[
        str | None, typer.Option("--log-level", help="debug, info, warning or error.")
    ] = None,
) -> None:
    """Start signers, authority and demo, and keep them running until Ctrl-C.

    The state (keys excepted: a signer's keys die with it) is kept in one directory; the next start carries on
    from it.
    """
    settled = configured(config, state, demo__enabled=False if no_demo else None, log__level=log_level)
    require_files(settled)
    stop = threading.Event()
    asked, rolls = _follow_signals(stop)
    os.umask(0o077)
    to = console()
    to.print(f"[bold]Sealwright[/] starts; state in {settled.state.path}")
    if shortage := memory_shortage():
        to.print(
            f"[bold yellow]Root can read the signer's keys on this host:[/] no secret memory. {shortage}."
        )
    supervise(
        settled,
        TerminalReporter(to),
        stop,
        lambda prepared: _tell(to, settled, prepared),
        recheck=asked,
        rolls=rolls,
    )
    to.print("Everything is stopped.")


def _follow_signals(stop: threading.Event) -> tuple[Callable[[], int], Callable[[], int]]:
    """End on the usual signals; how often SIGUSR1 asked every signer to prove itself now, and SIGUSR2 for a
    rolling restart.
    """
    proofs = rolls = 0

    def ended(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    def asked(_number: int, _frame: FrameType | None) -> None:
        nonlocal proofs
        proofs += 1

    def rolled(_number: int, _frame: FrameType | None) -> None:
        nonlocal rolls
        rolls += 1

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
    signal.signal(signal.SIGUSR1, asked)
    signal.signal(signal.SIGUSR2, rolled)
    return lambda: proofs, lambda: rolls


def _tell(to: Console, config: Config, prepared: Prepared) -> None:
    """What runs where, the secrets that were made now, and what to try."""
    state, demo = config.state.path, config.demo
    realms = ", ".join(config.realms)
    rows = [
        ("authority", config.server.url, f"realms: {realms}; validators pin {prepared.root.file}"),
        ("admin socket", f"{state}/run/admin.sock", "its owner only"),
    ]
    if demo.enabled:
        rows += [
            ("mail API", f"http://127.0.0.1:{demo.guarded_port}", "guarded by sealwright_validate"),
            (
                "its ordinary twin",
                f"http://127.0.0.1:{demo.ordinary_port}",
                "PyJWT with the keys of both realms",
            ),
        ]
    to.print()
    for name, where, what in rows:
        to.print(f"  {name:<18} {where}  [dim]{what}[/]")
    for made in prepared.made:
        to.print(f"  [yellow]secret, once[/]       {made.client_id}: {made.client_secret}")
    if prepared.made:
        to.print(f"  [dim]{'':<18} kept in {state}/demo for its owner only[/]")
    to.print()
    if demo.enabled:
        to.print("Get a token, read mail with it, and see it in the ledger:\n")
        for line in curl_lines(config):
            to.print(line, markup=False)
        to.print()
    to.print("Ctrl-C stops everything.")


def curl_lines(config: Config) -> tuple[str, str, str]:
    """Three lines for any shell with curl and python3. They name no secret: curl reads it from its owner's
    file.
    """
    secret = shlex.quote(str(config.state.path / "demo" / "enterprise.curl"))
    url = config.server.url
    ask = f"curl -sS -K {secret} -d grant_type=client_credentials {url}/enterprise/oauth2/token"
    return (
        f"TOKEN=$({ask} | python3 -c '{READ_TOKEN}')",
        f'curl -sS {END_LINE} -H "Authorization: Bearer $TOKEN" http://127.0.0.1:{config.demo.guarded_port}/messages',
        f'curl -sS {END_LINE} -d "$(python3 -c \'{PLACE}\' "$TOKEN")" {url}/ledger/check',
    )
