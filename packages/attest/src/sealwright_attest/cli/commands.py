"""The commands: appraise, explain, doctor, bundle, recheck, policy.

It may never exit with 0 after an appraisal unless the evidence was accepted. Exit status: 0 accepted or done,
1 refused, 2 wrong use, 3 refused but within the grace of an incarnation that was admitted earlier.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sealwright_attest.appraise import appraise
from sealwright_attest.bundle import serialize_bundle
from sealwright_attest.cli.files import load_evidence, load_signing_key, parse_hex, parse_time, read_file
from sealwright_attest.cli.options import make_parser
from sealwright_attest.cli.show import show_diagnosis, show_diff, show_result, show_rows
from sealwright_attest.clock import current_time
from sealwright_attest.doctor import diagnose
from sealwright_attest.ear import sign_ear
from sealwright_attest.errors import Misconfigured, Refused
from sealwright_attest.explain import detect, explain, explain_log, is_event_log
from sealwright_attest.model import Evidence, EvidenceLevel, Kind, Verdict
from sealwright_attest.policy.diff import rule_changes, verdict_change
from sealwright_attest.policy.document import BUILT_IN, Policy
from sealwright_attest.policy.parse import parse_policy
from sealwright_attest.recheck import recheck
from sealwright_attest.record import check_record, result_record
from sealwright_attest.verifiers.context import Known

Write = Callable[[str], object]

_EXIT: Final = {Verdict.ACCEPTED: 0, Verdict.REFUSED: 1, Verdict.GRACE: 3}
REFUSED: Final = 1
WRONG_USE: Final = 2


def _policy(name: str | None) -> Policy:
    return BUILT_IN if name is None else parse_policy(read_file(name))


def _evidence(options: argparse.Namespace) -> Evidence:
    return load_evidence(
        Kind(options.kind),
        options.evidence,
        endorsements=options.endorsement,
        event_log=options.event_log,
        identity_key=options.identity_key,
        release_key=options.release_key,
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=True) + "\n"


def _appraise(options: argparse.Namespace, write: Write) -> int:
    nonce = parse_hex(options.nonce, "--nonce") if options.nonce is not None else None
    result = appraise(
        _evidence(options),
        nonce=nonce,
        policy=_policy(options.policy),
        now=parse_time(options.now) if options.now is not None else current_time(),
        known=Known(enrolled=frozenset(one.lower() for one in options.enrolled)),
        shadow=_policy(options.shadow) if options.shadow else None,
    )
    ear = None
    if options.ear and not options.dry_run:
        ear = sign_ear(result, load_signing_key(options.ear), options.ear_kid)
    if options.json:
        signed = {"ear": ear} if ear else {}
        write(_json({**result_record(result), "dry_run": options.dry_run, **signed}))
    elif ear:
        write(ear + "\n")
    else:
        write(show_result(result, dry_run=options.dry_run))
    return _EXIT[result.verdict]


def _explain(options: argparse.Namespace, write: Write) -> int:
    data = read_file(options.file)
    if is_event_log(data):
        rows = explain_log(data)
    else:
        rows = explain(Evidence(Kind(options.kind), data) if options.kind else detect(data))
    if options.json:
        write(_json({"verified": False, "rows": [list(row) for row in rows]}))
    else:
        write("read, NOT verified: anyone can write these bytes\n\n" + show_rows(rows))
    return 0


def _doctor(options: argparse.Namespace, write: Write) -> int:
    root = Path(options.root)
    if not root.is_dir():
        raise Misconfigured(f"{options.root}: no directory")
    found = diagnose(root)
    if options.json:
        probes = [
            {
                "collector": one.collector,
                "kind": one.kind,
                "path": one.path,
                "present": one.present,
                "usable": one.usable,
            }
            for one in found.probes
        ]
        best = found.kind.value if found.kind else None
        write(
            _json({"best": best, "level": found.level, "cpu_flags": list(found.cpu_flags), "probes": probes})
        )
    else:
        write(show_diagnosis(found))
    return 0


def _bundle(options: argparse.Namespace, write: Write) -> int:
    write(serialize_bundle(_evidence(options)).decode() + "\n")
    return 0


def _recheck(options: argparse.Namespace, write: Write) -> int:
    found = recheck(
        read_file(options.record),
        policy=_policy(options.policy) if options.policy else None,
        root=read_file(options.root) if options.root else None,
        level=EvidenceLevel(options.level),
        incarnation=options.incarnation,
    )
    named = {"log_id": found.log_id, "statement_sha256": found.statement_digest, "signed": found.signed}
    if options.json:
        write(_json({**named, "appraisal": result_record(found.result)}))
    else:
        signed = "signed by the pinned root's admission key" if found.signed else "signature NOT looked at"
        write(f"incarnation {found.log_id}, statement {found.statement_digest}: {signed}\n\n")
        write(show_result(found.result, dry_run=False))
    return _EXIT[found.result.verdict]


def _policy_show(options: argparse.Namespace, write: Write) -> int:
    policy = _policy(options.file)
    write(_json({"hash": policy.hash(), "effective": policy.as_table()}))
    return 0


def _policy_diff(options: argparse.Namespace, write: Write) -> int:
    before, after = _policy(options.before), _policy(options.after)
    nonce = parse_hex(options.nonce, "--nonce") if options.nonce is not None else None
    now = parse_time(options.now) if options.now is not None else current_time()
    verdicts = [
        verdict_change(name, detect(read_file(name)), (before, after), nonce, now)
        for name in options.evidence
    ]
    rules = rule_changes(before, after)
    if options.json:
        changed = [{"rule": one.rule, "before": one.before, "after": one.after} for one in rules]
        judged = [
            {
                "evidence": one.name,
                "before": one.before,
                "after": one.after,
                "no_longer_failing": [check_record(check) for check in one.no_longer_failing],
                "newly_failing": [check_record(check) for check in one.newly_failing],
            }
            for one in verdicts
        ]
        write(_json({"before": before.hash(), "after": after.hash(), "rules": changed, "evidence": judged}))
    else:
        write(show_diff(rules, verdicts))
    return 0


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace, Write], int]]] = {
    "appraise": _appraise,
    "explain": _explain,
    "doctor": _doctor,
    "bundle": _bundle,
    "recheck": _recheck,
    "policy show": _policy_show,
    "policy diff": _policy_diff,
}


def run(words: Sequence[str], write: Write, complain: Write) -> int:
    """Run one command line and return its exit status.

    Args:
        words: the arguments after the program's name.
        write: where results go.
        complain: where errors go.
    """
    options = make_parser().parse_args(list(words))
    try:
        return _COMMANDS[options.command](options, write)
    except Misconfigured as error:
        complain(f"sealwright-attest: {error}\n")
        return WRONG_USE
    except Refused as refusal:
        detail = f" ({refusal.detail})" if refusal.detail else ""
        complain(f"sealwright-attest: refused: {refusal}{detail}\n")
        return REFUSED
