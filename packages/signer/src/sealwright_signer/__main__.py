"""Starts the signer: policy in, isolation on, then serve until told to stop or the parent ends.

May never read its environment, open a socket of its own, or write a key or a traceback anywhere.
"""

import argparse
import json
import os
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from types import TracebackType

from sealwright_signer import isolation
from sealwright_signer.clock import wall
from sealwright_signer.custody import Custody, CustodyLost, for_policy
from sealwright_signer.custody.memory import MemoryCustody
from sealwright_signer.evidence import Ask
from sealwright_signer.evidence import process as collector
from sealwright_signer.policy import Policy, parse_policy
from sealwright_signer.protocol import Misconfigured, Refused
from sealwright_signer.server import Server
from sealwright_signer.signer import Signer

EX_CONFIG, EX_ORPHAN, EX_LOST = 78, 75, 69  # sysexits.h


def _say_where_only(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
    """A fault's name and place, never its values."""
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    sys.stderr.write(f"signer ends: {kind.__name__} at {where}\n")


def _rehearse(policy: Policy, custody: Custody) -> None:
    """One life of a throwaway key per algorithm: whatever is imported late, or fails late, does so now."""
    signer = Signer(policy, custody, wall)
    lanes = {alg: realm for realm in policy.realms.values() for alg in realm.algorithms}
    for alg, realm in lanes.items():  # on a slow machine each may take longer than a window's tolerance
        until = (start := int(wall())) + policy.key_use_max
        window = {"use_from": start, "use_until": until, "verify_until": until + realm.max_lifetime}
        kid = json.loads(signer.make_key(realm=realm.name, alg=alg, **window))["kid"]
        signer.activate(kid=kid)
        aud, typ = list(realm.audiences)[:1], realm.token_types[0]
        signer.sign(requests=[[realm.name, kid, typ, "c", "c", aud, "", 1, "00" * 32, None]])
        signer.destroy(kid=kid, reason="rehearsal")


def _custody(policy: Policy) -> Custody:
    return for_policy(policy.custody, sorted({a for r in policy.realms.values() for a in r.algorithms}))


def main(argv: Sequence[str] | None = None, *, custody: Callable[[Policy], Custody] = _custody) -> int:
    """Run one incarnation; `custody` is for programs of their own that bring another one."""
    parser = argparse.ArgumentParser("sealwright-signer", description=__doc__)
    parser.add_argument("--listen-fd", type=int, required=True, help="inherited listening Unix socket")
    parser.add_argument("--policy-fd", type=int, required=True, help="descriptor to read the policy from")
    parser.add_argument("--collector", default="none", help="how evidence is collected: name or name:/path")
    options = parser.parse_args(argv)
    sys.excepthook = _say_where_only
    with os.fdopen(options.policy_fd, "rb") as source:
        unverified_policy = source.read()
    try:
        policy = parse_policy(unverified_policy)
        keys = custody(policy)
        ask = collector.start(options.collector)
    except Misconfigured as error:
        sys.stderr.write(f"signer does not start: {error}\n")
        return EX_CONFIG
    listener = socket.socket(fileno=options.listen_fd)
    try:
        return _live(listener, policy, keys, ask)
    except Refused as refusal:
        sys.stderr.write(f"signer does not start: {refusal.message}\n")
        return EX_CONFIG
    except CustodyLost as lost:
        sys.stderr.write(f"signer ends: {lost}\n")
        return EX_LOST


def _live(listener: socket.socket, policy: Policy, keys: Custody, ask: Ask) -> int:
    launcher, _, _ = struct.unpack("3i", listener.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    measures = isolation.take(isolation.BEFORE_KEYS)
    _rehearse(policy, MemoryCustody())
    if further := getattr(keys, "measures", None):  # of a custody outside this process
        if not getattr(keys, "release_key", b""):  # else it cannot be used yet
            _rehearse(policy, keys)
        measures += further
    measures += isolation.take(isolation.WITH_KEYS)
    if launcher not in (os.getppid(), 0):  # 0: it is in a process namespace that we cannot see into
        return EX_ORPHAN
    Server(listener, Signer(policy, keys, wall, measures, ask)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
