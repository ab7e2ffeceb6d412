"""`gate`: the way out for a dump: intake (file, pipe, socket), process, approve, release, status.

May never do: release without the approvals that the policy asks for; there is no option for it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from sealwright_dumps.cli import exits
from sealwright_dumps.errors import Misconfigured
from sealwright_dumps.gate import audit, ledger, policy, signing
from sealwright_dumps.gate.authority import AuthorityLedger
from sealwright_dumps.gate.coredump import Listener
from sealwright_dumps.gate.model import Approval, Origin, Record, State
from sealwright_dumps.gate.service import Gate
from sealwright_dumps.gate.spool import Spool


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the commands."""
    parser = commands.add_parser("gate", help="the only way out for a dump", description=__doc__)
    steps = parser.add_subparsers(required=True, metavar="STEP")
    key = steps.add_parser("keygen", help="make a key for the gate or an approver")
    key.add_argument("file")
    key.set_defaults(command=keygen)
    for name, text, function in (
        ("status", "list what is in the spool", status),
        ("check", "check the ledger's chain", check),
        ("serve", "serve the kernel's coredump socket (core_pattern=@@SOCKET)", serve),
        ("pipe", "take a core from standard input (core_pattern=|…)", pipe),
        ("intake", "take a file in", intake),
        ("process", "scan and redact what is in quarantine", process),
        ("approve", "add one person's approval", approve),
        ("release", "put a redacted dump outside", release),
        ("drop", "destroy a refused dump that is kept in quarantine", drop),
    ):
        step = steps.add_parser(name, help=text, description=text)
        _common(step)
        step.set_defaults(command=function)
        if name == "serve":
            step.add_argument("--socket", required=True, metavar="PATH")
        if name in ("pipe", "intake"):
            step.add_argument("--program", required=True, help="executable that crashed (%%E with / for !)")
        if name == "intake":
            step.add_argument("file")
        if name == "process":
            step.add_argument("--again", metavar="NAME", help="try a refused dump that is kept once more")
        if name in ("approve", "release", "drop"):
            step.add_argument("name")
        if name == "approve":
            step.add_argument("--as", dest="person", required=True, metavar="PERSON")
            step.add_argument("--person-key", required=True, metavar="FILE")


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spool", required=True, metavar="FOLDER")
    parser.add_argument("--policy", required=True, metavar="FILE")
    parser.add_argument("--outside", required=True, metavar="FOLDER")
    parser.add_argument("--gate-key", required=True, metavar="FILE")
    parser.add_argument(
        "--ledger", metavar="FILE", help="the gate's own chain of steps (default: in the spool)"
    )
    parser.add_argument(
        "--authority", metavar="SOCKET", help="enter each step in this authority's ledger too"
    )
    parser.add_argument("--workers", type=int, default=0, metavar="N")


def gate_of(options: argparse.Namespace) -> Gate:
    """The gate that the options describe. Raises Misconfigured."""
    rules = policy.load(Path(options.policy))
    spool = Spool(Path(options.spool), on_disk=rules.spool_on_disk)
    log: ledger.Ledger = ledger.FileLedger(_chain(options))
    if options.authority:
        log = AuthorityLedger(Path(options.authority), log)
    key = signing.load_key(Path(options.gate_key))
    return Gate(spool, rules, log, key, Path(options.outside), options.workers)


def _chain(options: argparse.Namespace) -> Path:
    return Path(options.ledger) if options.ledger else Path(options.spool) / "ledger.jsonl"


def _say(record: Record) -> int:
    sys.stdout.write(json.dumps(asdict(record)) + "\n")
    return exits.REFUSED if record.state is State.REFUSED else exits.OK


def keygen(options: argparse.Namespace) -> int:
    """Make a key file; print its public half."""
    sys.stdout.write(signing.make_key(Path(options.file)) + "\n")
    return exits.OK


def status(options: argparse.Namespace) -> int:
    """Print every record, a JSON object per line."""
    for record in gate_of(options).spool.records():
        _say(record)
    return exits.OK


def check(options: argparse.Namespace) -> int:
    """Check the ledger's chain, and that it tells of everything that is in the spool and outside."""
    gate = gate_of(options)
    records = list(gate.spool.records())
    steps = ledger.require_unbroken(_chain(options))
    for name in audit.require_told(records, gate.spool, gate.outside, steps):
        sys.stdout.write(f"{name}: a release under way or cut off; `gate process` settles it\n")
    sys.stdout.write(f"{len(steps)} steps, chain unbroken, {len(records)} dumps as it tells\n")
    return exits.OK


def serve(options: argparse.Namespace) -> int:
    """Serve the socket until stopped."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at once: what is under way stays in quarantine
    listener = Listener(gate_of(options), Path(options.socket), _complain)
    while True:
        listener.serve_one()


def _complain(text: str) -> None:
    sys.stderr.write(f"sealwright-dumps: {text}\n")
    sys.stderr.flush()


def pipe(options: argparse.Namespace) -> int:
    """Take a core from standard input and process it at once."""
    gate = gate_of(options)
    program = options.program.replace("!", "/")
    record = gate.take_in(sys.stdin.buffer.read, Origin("pipe", program))
    return _say(gate.process(record.name))


def intake(options: argparse.Namespace) -> int:
    """Take a file in and process it at once."""
    gate = gate_of(options)
    record = gate.take_in_file(Path(options.file), options.program)
    return _say(gate.process(record.name))


def process(options: argparse.Namespace) -> int:
    """Process whatever waits in quarantine."""
    gate = gate_of(options)
    if options.again:
        return _say(gate.process(options.again, again=True))
    return max((_say(gate.process(name)) for name in gate.recover()), default=exits.OK)


def drop(options: argparse.Namespace) -> int:
    """Destroy a refused dump before its time."""
    gate_of(options).destroy(options.name, "by-hand")
    return exits.OK


def approve(options: argparse.Namespace) -> int:
    """Sign the manifest of a redacted dump as one person."""
    gate = gate_of(options)
    record = gate.spool.get(options.name)
    if not record.manifest_sha256:
        raise Misconfigured("nothing-to-approve", "the dump has no manifest yet")
    key = signing.load_key(Path(options.person_key))
    signature = signing.sign_approval(key, record.manifest_sha256)
    count = gate.approve(options.name, Approval(options.person, record.manifest_sha256, signature))
    sys.stdout.write(f"{count} approvals\n")
    return exits.OK


def release(options: argparse.Namespace) -> int:
    """Put a redacted dump outside; print where."""
    sys.stdout.write(f"{gate_of(options).release(options.name)}\n")
    return exits.OK
