"""The program `sealwright-validate`: explain a token, check a token, answer proxies.

May never print a signature or a whole token, and takes tokens from standard input so that they need not stand
in a process list.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sealwright_validate import __version__
from sealwright_validate.errors import Misconfigured, Refused
from sealwright_validate.expect import ACCESS_TOKEN, Expect
from sealwright_validate.trust import Trust

REFUSED: Final = 1
USAGE: Final = 2
NO_KEYS: Final = 3
PIPE_CLOSED: Final = 141  # as a shell says it of a program that SIGPIPE ended
_WAIT: Final = 10.0  # seconds for the first keys


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status is 0 for an accepted token, 1 for a refused one, 2 and 3 for no
    verdict.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parser(whole="conformance" in arguments[:1]).parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough; nothing more may be written, at exit neither
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except Misconfigured as error:
        sys.stderr.write(f"sealwright-validate: {error}\n")
        return USAGE
    return status


def _parser(*, whole: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sealwright-validate", description="Validates tokens, and says how."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    explain = commands.add_parser("explain", help="show every step of the check with its outcome")
    check = commands.add_parser("check", help="accept or refuse, in one line")
    explain.set_defaults(run=_explain)
    check.set_defaults(run=_check)
    for command in (explain, check):
        _add_token_options(command)
    serve = commands.add_parser(
        "serve", help="answer NGINX auth_request, Envoy ext_authz or Traefik ForwardAuth"
    )
    serve.add_argument("config", help="a TOML file; docs/sidecar.md describes it")
    serve.set_defaults(run=_serve)
    conformance = commands.add_parser(
        "conformance", help="put some hundred named tokens to any relying party"
    )
    if whole:  # the suite is imported only where it is run
        from sealwright_validate.conformance.cli import add_options

        add_options(conformance)
    return parser


def _add_token_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "token", nargs="?", default="-", help="the token; - (the default) reads standard input"
    )
    whom = command.add_mutually_exclusive_group(required=True)
    whom.add_argument("--sealwright", metavar="URL", help="trust this Sealwright; needs --root")
    whom.add_argument("--oidc", metavar="ISSUER", help="trust this plain OpenID issuer")
    command.add_argument("--root", metavar="FILE", help="the pinned root of the Sealwright")
    command.add_argument(
        "--audience", required=True, action="append", help="what the service is called in aud"
    )
    command.add_argument("--realm", action="append", default=[], help="a realm that is accepted")
    command.add_argument("--type", action="append", help=f"an accepted typ (default: {ACCESS_TOKEN})")
    command.add_argument("--scope", action="append", default=[], help="a scope that must be granted")
    command.add_argument(
        "--skew", type=float, default=5.0, help="seconds by which clocks may differ (at most 60)"
    )


def _trust(options: argparse.Namespace) -> Trust:
    if options.oidc:
        return Trust.oidc(options.oidc)
    if not options.root:
        raise Misconfigured("--sealwright needs --root: the pinned root document")
    return Trust.sealwright(options.sealwright, root=options.root, push=False)


def _expect(options: argparse.Namespace) -> Expect:
    types = options.type or [ACCESS_TOKEN]
    return Expect(audience=options.audience, realm=options.realm, token_types=types, scopes=options.scope)


def _token(options: argparse.Namespace) -> str:
    return sys.stdin.read().strip() if options.token == "-" else str(options.token)  # noqa: S105 - a dash


def _check(options: argparse.Namespace) -> int:
    from sealwright_validate.validate import Validator

    validator = Validator(trust=_trust(options), skew=options.skew)
    try:
        verified = validator.validate(_token(options), _expect(options))
    except Refused as refusal:
        sys.stdout.write(f"refused: {refusal.reason}: {refusal.public}\n")
        return REFUSED
    finally:
        validator.close()
    sys.stdout.write(f"accepted: {verified.realm} key {verified.kid} digest {verified.digest}\n")
    return 0


def _serve(options: argparse.Namespace) -> int:
    from sealwright_validate.sidecar.serve import run
    from sealwright_validate.sidecar.settings import settings_from_file

    return run(settings_from_file(Path(options.config)))


def _explain(options: argparse.Namespace) -> int:
    from sealwright_validate.explain import Outcome, explain

    trust = _trust(options)
    trust.wait_ready(_WAIT)
    held = trust.held
    trust.close()
    if held is None:
        sys.stderr.write(f"sealwright-validate: no keys: {trust.last_refusal or 'no answer in time'}\n")
        return NO_KEYS
    now = trust.clock.wall()
    fresh = held.is_fresh(now, trust.clock.monotonic())
    status = 0
    lines = explain(
        _token(options), _expect(options), held.snapshot, trust, now=now, skew=options.skew, fresh=fresh
    )
    for line in lines:
        sys.stdout.write(f"{line.outcome:<12} {line.step.replace('_', ' ')}\n")
        if line.outcome is Outcome.REFUSED:
            status = REFUSED
            sys.stdout.write(f"{'':<12} {line.reason}: {line.detail}\n{'':<12} the rule: {line.what}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
