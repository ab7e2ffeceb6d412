"""The options of every command. It may never give an option a default that weakens an appraisal."""

import argparse

from sealwright_attest import __version__
from sealwright_attest.model import EvidenceLevel, Kind

_KINDS = [kind.value for kind in Kind]
_LEVELS = [level.value for level in EvidenceLevel]


def _evidence_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kind", required=True, choices=_KINDS, help="platform that the evidence is said to be of"
    )
    parser.add_argument("--evidence", required=True, metavar="FILE", help="report, quote, document or bundle")
    parser.add_argument(
        "--endorsement",
        action="append",
        default=[],
        metavar="FILE",
        help="certificates or CRLs (PEM, DER), AMD certificate table, Intel collateral; may be repeated",
    )
    parser.add_argument("--event-log", metavar="FILE", help="TCG event log or CCEL table")
    parser.add_argument(
        "--identity-key", metavar="FILE", help="public key (PEM or DER) bound to the nonce, which it needs"
    )
    parser.add_argument(
        "--release-key", metavar="HEX", help="X25519 public key bound beside the identity key"
    )


def _appraise_options(parser: argparse.ArgumentParser) -> None:
    _evidence_options(parser)
    parser.add_argument("--nonce", metavar="HEX", help="nonce that the evidence must carry")
    parser.add_argument(
        "--policy", metavar="FILE", help="policy document (TOML or JSON); without it the built-in one"
    )
    parser.add_argument(
        "--shadow", metavar="FILE", help="second policy whose decision is shown and does not count"
    )
    parser.add_argument(
        "--enrolled", action="append", default=[], metavar="HEX", help="name of a trusted TPM key"
    )
    parser.add_argument(
        "--now", metavar="TIME", help="time of the appraisal, as 2025-01-01T00:00:00Z; default: now"
    )
    parser.add_argument("--dry-run", action="store_true", help="say in the output that nothing hangs on it")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--ear",
        metavar="FILE",
        help="print an EAR JWT signed with this key (PEM, Ed25519 or P-256); with --json beside the result",
    )
    parser.add_argument("--ear-kid", default="", metavar="ID", help="key id in the header of the EAR JWT")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; `command` names what to run."""
    parser = argparse.ArgumentParser(
        prog="sealwright-attest",
        description="Appraise evidence offline. Exit status: 0 accepted, 1 refused, 2 wrong use, 3 in grace.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    appraise = commands.add_parser(
        "appraise", help="decide on evidence; exit status 0 only if it is accepted"
    )
    _appraise_options(appraise)
    appraise.set_defaults(command="appraise")

    explain = commands.add_parser("explain", help="print what evidence says, without verifying it")
    explain.add_argument("file", metavar="FILE")
    explain.add_argument("--kind", choices=_KINDS, help="needed only when the file does not show its kind")
    explain.add_argument("--json", action="store_true")
    explain.set_defaults(command="explain")

    doctor = commands.add_parser("doctor", help="say which TEE this machine offers, and what could be read")
    doctor.add_argument("--root", default="/", metavar="DIR", help="root of the file system to look at")
    doctor.add_argument("--json", action="store_true")
    doctor.set_defaults(command="doctor")

    bundle = commands.add_parser("bundle", help="print evidence and all that belongs to it as one document")
    _evidence_options(bundle)
    bundle.set_defaults(command="bundle")

    recheck = commands.add_parser("recheck", help="repeat the appraisal behind an authority's admission")
    recheck.add_argument("record", metavar="FILE", help="what GET /admissions/LOG_ID answered")
    recheck.add_argument("--policy", metavar="FILE", help="your own policy; without it the authority's")
    recheck.add_argument("--root", metavar="FILE", help="the pinned root: its admission key must have signed")
    recheck.add_argument("--level", default="none", choices=_LEVELS, help="the least level of the evidence")
    recheck.add_argument("--incarnation", metavar="ID", help="the log id that it must be about")
    recheck.add_argument("--json", action="store_true")
    recheck.set_defaults(command="recheck")

    _policy_commands(commands.add_parser("policy", help="show one policy, or the difference of two"))
    return parser


def _policy_commands(policy: argparse.ArgumentParser) -> None:
    commands = policy.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="print the effective policy and its hash")
    show.add_argument("file", nargs="?", metavar="FILE", help="without it the built-in policy")
    show.set_defaults(command="policy show")

    diff = commands.add_parser(
        "diff", help="print which rules differ, and which evidence is judged differently"
    )
    diff.add_argument("before", metavar="BEFORE")
    diff.add_argument("after", metavar="AFTER")
    diff.add_argument(
        "--evidence", action="append", default=[], metavar="FILE", help="stored bundle; may be repeated"
    )
    diff.add_argument("--nonce", metavar="HEX", help="nonce of the stored evidence")
    diff.add_argument("--now", metavar="TIME", help="time of the stored appraisal")
    diff.add_argument("--json", action="store_true")
    diff.set_defaults(command="policy diff")
