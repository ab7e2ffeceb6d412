"""`sealwright ledger prove` and `verify`: a receipt to hand to an auditor, and what the auditor does with it.

`prove` reads the state directory, or asks a running authority. `verify` opens no network connection and
trusts the pinned root only: the log list is input like any other. Neither changes anything.
"""

from __future__ import annotations

import hashlib
import sys
import urllib.parse
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import moment, write_json
from sealwright.cli.policies import read_policy
from sealwright.cli.tokens import claimed_place, part_members
from sealwright.clock import SystemClock
from sealwright.errors import Misconfigured, Refused, Unavailable
from sealwright.ledger.files import LOG_LIST
from sealwright.ledger.fsck_list import follow_roots
from sealwright.ledger.model import Place
from sealwright.ledger.service import parse_place
from sealwright.monitor.book import printable
from sealwright.wiring.inspect import Inspection, inspect
from sealwright_validate import errors as validator
from sealwright_validate.encoding import decode_json_object
from sealwright_validate.fetch import Origin
from sealwright_validate.log_list import LogList, open_log_list
from sealwright_validate.manifest import served_root_version
from sealwright_validate.note import Checkpoint
from sealwright_validate.receipt import (
    event_members,
    read_event_receipt,
    read_receipt,
    require_event,
    require_receipt,
)
from sealwright_validate.root import pinned_root
from sealwright_validate.witnesses import WitnessPolicy

_KINDS = {2: "key event", 3: "statement"}
_OK = 200
STDIN = "-"
SKEW = 60
"""Seconds by which clocks may differ: a witness's, the signer's, ours."""

Jti = Annotated[str | None, typer.Option("--jti", help="The token with this jti.")]
Digest = Annotated[str | None, typer.Option("--digest", help="The token with this digest (hex).")]
Kid = Annotated[str | None, typer.Option("--kid", help="The announcement of this key.")]
Leaf = Annotated[str | None, typer.Option("--leaf", help="Any leaf: LOG_ID/INDEX.")]
Url = Annotated[str | None, typer.Option("--url", help="Ask this authority, not the state.")]
Token = Annotated[
    str | None, typer.Argument(metavar="[TOKEN]", help="A token, or - for stdin.", show_default=False)
]


def prove(
    unverified: Token = None,
    *,
    jti: Jti = None,
    digest: Digest = None,
    kid: Kid = None,
    leaf: Leaf = None,
    url: Url = None,
    config: ConfigFile = None,
    state: StateDirectory = None,
) -> None:
    """Write the receipt of a token, or of any other leaf, to standard output (a .tlog-proof file)."""
    if unverified is not None:
        jti = claimed_place(_token(unverified))[0]
    place = None if leaf is None else _place(leaf)
    asked = {"jti": jti, "digest": digest, "kid": kid, "place": place}
    given = {name: value for name, value in asked.items() if value is not None}
    if len(given) != 1:
        raise Misconfigured("ask_once", "name one thing: TOKEN, --jti, --digest, --kid or --leaf")
    receipt = _fetched(url, given) if url else _made(inspect(configured(config, state)), given)
    sys.stdout.write(receipt)


def _token(unverified: str) -> str:
    return sys.stdin.read().strip() if unverified == STDIN else unverified


def _place(text: str) -> Place:
    log_id, _, index = text.partition("/")
    if not index.isascii() or not index.isdecimal():
        raise Misconfigured("bad_leaf", "a leaf is named as LOG_ID/INDEX; see `sealwright ledger show`")
    return Place(log_id, int(index))


def _made(opened: Inspection, given: Mapping[str, Any]) -> str:
    match given:
        case {"jti": jti}:
            return opened.receipts.of_jti(jti)
        case {"digest": digest}:
            return opened.receipts.of_digest(digest)
        case {"kid": kid}:
            return opened.receipts.at(opened.announced(kid))
    return opened.receipts.at(given["place"])


def _fetched(url: str, given: Mapping[str, Any]) -> str:
    place = given.get("place")
    query = given if place is None else {"log": place.log_id, "index": place.index}
    try:
        with closing(Origin(url)) as origin:
            answer = origin.get(f"/ledger/proof?{urllib.parse.urlencode(query)}")
    except (validator.Unavailable, validator.Misconfigured) as error:
        raise Unavailable("no_answer", f"{url} does not answer: {printable(str(error))}") from error
    if answer.status != _OK:
        said = printable(answer.body[:200].decode("utf-8", "replace"))
        raise Unavailable("no_receipt", f"{url} gives no receipt ({answer.status}): {said}")
    receipt = answer.body.decode("utf-8", "replace")
    try:
        _require_answer(receipt, given)
    except validator.Refused as error:
        text = f"{url} answers with something that is no receipt of that ({printable(error.detail)})"
        raise Unavailable("no_receipt", text) from error
    return receipt


def _require_answer(unverified: str, given: Mapping[str, Any]) -> None:
    """What an authority answers is a receipt, of what was asked for as far as that can be seen without keys.

    Raises:
        validator.Refused: it is not.
    """
    if not all(one.isprintable() or one == "\n" for one in unverified):
        raise validator.Refused(validator.Reason.RECEIPT_INVALID, "characters that no receipt has")
    try:
        index = read_receipt(unverified).index
    except validator.Refused:
        index = read_event_receipt(unverified).index
    wanted = parse_place(given["jti"]) if "jti" in given else given.get("place")
    if wanted is not None and index != wanted.index:
        raise validator.Refused(validator.Reason.RECEIPT_INVALID, "it is of another leaf")


RootFile = Annotated[
    Path | None, typer.Option("--root", help="The pinned root, later ones beside it; the state's without it.")
]
ListFile = Annotated[
    Path | None, typer.Option("--log-list", help="A log list, however old; the state's without it.")
]
PolicyFile = Annotated[
    Path | None, typer.Option("--witnesses", help="A witness policy: its quorum must have cosigned the head.")
]
ForToken = Annotated[str | None, typer.Option("--token", help="The token that it is of, or - for stdin.")]


def verify(
    receipt: Annotated[Path, typer.Argument(metavar="RECEIPT", help="A .tlog-proof file, or - for stdin.")],
    *,
    token: ForToken = None,
    root: RootFile = None,
    log_list: ListFile = None,
    witnesses: PolicyFile = None,
    config: ConfigFile = None,
    state: StateDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Check a receipt without a network, with nothing but the pinned root. Exit status 1 when it proves
    nothing.
    """
    if root is None or log_list is None:
        directory = configured(config, state).state.path
        root, log_list = root or directory / "trust/root-1.json", log_list or directory / "ledger" / LOG_LIST
    if str(receipt) == token == STDIN:
        raise Misconfigured("stdin_twice", "only one of RECEIPT and --token can be standard input")
    unverified_token = None if token is None else _token(token)
    policy = read_policy(witnesses) if witnesses else None
    try:
        logs = _logs(root, _read(log_list))
        unverified = sys.stdin.buffer.read() if str(receipt) == STDIN else _read(receipt)
        proven = _proven(unverified.decode("utf-8", "replace"), unverified_token, logs, policy)
    except validator.Refused as error:
        if as_json:
            write_json({"proven": False, "reason": error.reason.value, "detail": error.detail})
        else:
            sys.stdout.write(f"not proven: {error.detail or error.reason} ({error.reason})\n")
        raise typer.Exit(1) from None
    if as_json:
        write_json({"proven": True, **proven, "log_list": {"version": logs.version, "at": logs.issued_at}})
    else:
        sys.stdout.write(
            f"proven: leaf {proven['index']} ({proven['what']}) of {proven['origin']}, "
            f"under a head of {proven['size']} leaves\n"
            f"  the log's key is from log list {logs.version} of {moment(logs.issued_at)}, "
            "under the pinned root\n"
            f"  {_witnessed(proven['witnesses'])}\n"
        )


def _witnessed(cosigned: Mapping[str, int] | None) -> str:
    if cosigned is None:
        return "witnesses: none were asked for (--witnesses POLICY): you alone may be shown this tree"
    told = ", ".join(f"{printable(name)} at {moment(at)}" for name, at in sorted(cosigned.items()))
    return f"witnesses: the quorum has seen this head: {told or 'the policy asks for none'}"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Misconfigured("unreadable_file", f"cannot read {file}: {error.strerror}") from error


def _logs(pinned: Path, unverified: bytes) -> LogList:
    """The list, fresh or not: a log's key is what it was.

    Later roots are followed where they lie beside the pinned one as `root-<version>.json`.
    """
    own = pinned_root(_read(pinned)).version
    later = sorted(
        (version, file) for file in pinned.parent.glob("root-*.json") if (version := _version(file)) > own
    )
    documents = [_read(pinned), *(_read(file) for _, file in later)]
    trusted, former = follow_roots(documents, served_root_version(unverified))
    try:
        return open_log_list(trusted, unverified, now=SystemClock().now(), former=former)
    except validator.Refused as error:
        if error.reason not in {validator.Reason.LOG_LIST_STALE, validator.Reason.ROOT_EXPIRED}:
            raise
        return open_log_list(trusted, unverified, now=_made_at(unverified), former=former)


def _version(root: Path) -> int:
    number = root.stem.removeprefix("root-")
    return int(number) if number.isascii() and number.isdecimal() else 0


def _made_at(unverified: bytes) -> float:
    """When a list says that it was made: at that time it must hold, if it ever did."""
    served = decode_json_object(unverified)
    issued = decode_json_object(str(served["log_list"]).encode()).get("issued_at")
    return float(issued) if isinstance(issued, int) else 0.0


def _proven(
    unverified: str, unverified_token: str | None, logs: LogList, policy: WitnessPolicy | None
) -> dict[str, Any]:
    if unverified_token is not None:
        return _token_proven(unverified, unverified_token, logs, policy)
    receipt = read_event_receipt(unverified)
    if len(receipt.leaf) == hashlib.sha256().digest_size:
        raise Refused("token_needed", "this is the receipt of a token: name the token with --token")
    origin = receipt.unverified_checkpoint.partition("\n")[0]
    key = next((log.key for log in logs.logs.values() if log.key.origin == origin), None)
    if key is None:
        raise validator.Refused(validator.Reason.RECEIPT_INVALID, "the log list names no such log")
    head, kind = require_event(receipt, key), receipt.leaf[1]
    members = event_members(receipt.leaf, kind)
    made = members.get("at")
    cosigned = _cosigned(policy, receipt.unverified_checkpoint, head, made if type(made) is int else 0)
    return _facts(receipt.index, head) | {
        "what": _KINDS.get(kind, "?"),
        "leaf": members,
        "witnesses": cosigned,
    }


def _cosigned(
    policy: WitnessPolicy | None, unverified: str, head: Checkpoint, made: int
) -> dict[str, int] | None:
    """Which witnesses of the policy have seen this head since the leaf was made, and when.

    Raises:
        validator.Refused: they are not the quorum.
    """
    if policy is None:
        return None
    latest = SystemClock().now() + SKEW
    return policy.require_quorum(unverified, head, earliest=made - SKEW, latest=latest)


def _token_proven(
    unverified: str, unverified_token: str, logs: LogList, policy: WitnessPolicy | None
) -> dict[str, Any]:
    jti, kid, digest = claimed_place(unverified_token)
    claims = part_members(unverified_token.split(".")[1])
    if not all(type(claims.get(name)) is int for name in ("iat", "exp")):
        raise Refused("no_token", "this is no token of ours: iat and exp are integers")
    head = require_receipt(unverified, claims, bytes.fromhex(digest), kid, logs.keys)
    cosigned = _cosigned(policy, read_receipt(unverified).unverified_checkpoint, head, claims["iat"])
    return _facts(int(jti.split(".")[1]), head) | {
        "what": "this token",
        "jti": jti,
        "digest": digest,
        "witnesses": cosigned,
    }


def _facts(index: int, head: Checkpoint) -> dict[str, Any]:
    return {"index": index, "origin": head.origin, "size": head.size, "root": head.root.hex()}
