"""Starts the signer: policy in, isolation on, then serve until told to stop or the parent ends.

May never read its environment, open a socket of its own, or write a key or a traceback anywhere.
"""

import argparse
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from sealwright_signer.clock import wall
from sealwright_signer.custody import Custody, for_policy
from sealwright_signer.policy import parse_policy
from sealwright_signer.protocol import Misconfigured
from sealwright_signer.server import Server
from sealwright_signer.signer import Signer

EX_CONFIG = 78  # sysexits.h


def _say_where_only(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
    """A fault's name and place, never its values."""
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    sys.stderr.write(f"signer ends: {kind.__name__} at {where}\n")


def main(
    argv: Sequence[str] | None = None, *, custody: Callable[[Mapping[str, Any]], Custody] = for_policy
) -> int:
    """Run one incarnation; `custody` is for programs of their own that bring another one."""
    parser = argparse.ArgumentParser("sealwright-signer", description=__doc__)
    parser.add_argument("--listen-fd", type=int, required=True, help="inherited listening Unix socket")
    parser.add_argument("--policy-fd", type=int, required=True, help="descriptor to read the policy from")
    options = parser.parse_args(argv)
    sys.excepthook = _say_where_only
    with os.fdopen(options.policy_fd, "rb") as source:
        unverified_policy = source.read()
    try:
        policy = parse_policy(unverified_policy)
        keys = custody(policy.custody)
    except Misconfigured as error:
        sys.stderr.write(f"signer does not start: {error}\n")
        return EX_CONFIG
    listener = socket.socket(fileno=options.listen_fd)
    Server(listener, Signer(policy, keys, wall)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
