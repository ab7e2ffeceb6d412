"""Puts a token endpoint under load with wrk, and looks at real answers while it is under load.

A figure is only handed back when every answer was a 200 and every sampled token was valid: a server that
answers fast and wrongly measures nothing.
"""

import base64
import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt

from harness import procfs
from harness.model import WrongAnswer
from harness.wrk import run_wrk

CONNECTIONS = 32
SAMPLE_EVERY = 0.25  # seconds


@dataclass(frozen=True, slots=True)
class Target:
    """A token endpoint on 127.0.0.1, its client, what its tokens must say, and the process at the root of its
    tree.
    """

    port: int
    path: str
    jwks_path: str
    client_id: str
    client_secret: str
    form: dict[str, str]
    algorithm: str
    issuer: str
    audience: str
    root: int
    role: Callable[[int], str]
    vary: bool = False
    """No request to it is the same as one before."""

    @property
    def authorization(self) -> str:
        """The header of client_secret_basic (RFC 6749 section 2.3.1; nothing in our credentials needs
        encoding).
        """
        pair = f"{self.client_id}:{self.client_secret}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    @property
    def body(self) -> str:
        """The form of the token request."""
        return urllib.parse.urlencode(self.form)


@dataclass(frozen=True, slots=True)
class Load:
    """One stretch of load: rates per second, latencies in milliseconds, CPU in cores and RAM at the end
    per role.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    cores: dict[str, float]
    samples: int
    memory: dict[str, procfs.Memory]

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Requests per second of CPU that all processes of the server used."""
        return self.rate / sum(self.cores.values())


def drive(target: Target, seconds: int) -> dict[str, int]:
    """Run wrk for this long; raises WrongAnswer on any failed request."""
    url = f"http://127.0.0.1:{target.port}{target.path}"
    sent = {"BENCH_BODY": target.body, "BENCH_AUTHORIZATION": target.authorization}
    sent |= {"BENCH_VARY": "1"} if target.vary else {}
    return run_wrk(url, CONNECTIONS, seconds, **sent)


def call(target: Target, method: str, path: str, body: str | None = None) -> Any:
    """The JSON of one answer; raises WrongAnswer on anything but 200."""
    headers = {"Authorization": target.authorization, "Content-Type": "application/x-www-form-urlencoded"}
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=10)
    try:
        connection.request(method, path, body, headers if body else {})
        answer = connection.getresponse()
        read = answer.read()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise WrongAnswer(f"{method} {path}: {answer.status} {read[:300]!r}")
    return json.loads(read)


def require_valid(target: Target, tokens: list[str]) -> None:
    """Every token is an RFC 9068 access token of this server, signed with the algorithm under test, and no
    two alike.
    """
    keys = call(target, "GET", target.jwks_path)["keys"]
    seen = set()
    for token in tokens:
        header = jwt.get_unverified_header(token)
        found = [key for key in keys if header.get("kid") in {key.get("kid"), None}]
        if header["alg"] != target.algorithm or header.get("typ") != "at+jwt" or len(found) != 1:
            raise WrongAnswer(f"header {header}, {len(found)} keys")
        claims = jwt.decode(
            token,
            jwt.PyJWK(found[0], target.algorithm),
            algorithms=[target.algorithm],
            audience=target.audience,
            issuer=target.issuer,
            options={"require": ["iss", "sub", "aud", "client_id", "iat", "exp", "jti"]},
        )
        seen.add(claims["jti"])
    if len(seen) != len(tokens):
        raise WrongAnswer(f"{len(tokens)} tokens, {len(seen)} different jti")


def memory(target: Target) -> dict[str, procfs.Memory]:
    """What the server's processes hold in RAM now, by role."""
    held: dict[str, procfs.Memory] = {}
    for pid in procfs.family(target.root):
        if (found := procfs.memory(pid)) is not None:
            before = held.get(target.role(pid), procfs.Memory(0, 0))
            pss = None if found.pss is None or before.pss is None else before.pss + found.pss
            held[target.role(pid)] = procfs.Memory(before.rss + found.rss, pss)
    return held


def measure(target: Target, seconds: int) -> Load:
    """Load the server for this long; sampled answers are fetched meanwhile and checked afterwards."""
    ended = threading.Event()
    tokens: list[str] = []
    failures: list[Exception] = []

    def sample() -> None:
        try:
            while not ended.wait(SAMPLE_EVERY):
                tokens.append(call(target, "POST", target.path, target.body)["access_token"])
        except (OSError, WrongAnswer, KeyError, ValueError) as failure:
            failures.append(failure)

    sampler = threading.Thread(target=sample, daemon=True)
    family = procfs.family(target.root)
    before, started = procfs.cpu_seconds(family), time.monotonic()
    sampler.start()
    found = drive(target, seconds)
    after, wall = procfs.cpu_seconds(family), time.monotonic() - started
    held = memory(target)
    ended.set()
    sampler.join()
    if failures:
        raise WrongAnswer(f"{target.issuer}: a sampled request failed: {failures[0]!r}")
    require_valid(target, tokens)
    cores = procfs.by_role(
        (target.role(pid), (after[pid] - before[pid]) / wall) for pid in after if pid in before
    )
    return Load(
        found["requests"],
        found["microseconds"] / 1e6,
        found["p50"] / 1e3,
        found["p99"] / 1e3,
        cores,
        len(tokens),
        held,
    )
