"""From a forged token's observation to its alarm, beside issuance; from a revocation to fifty receivers.

A whole site of its own runs (signer, authority, SQLite with full sync). Genuine observations arrive at the
stated rate, and an alarm about any of them makes the run worthless: it says so.
"""

import hashlib
import http.server
import json
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt

from harness import procfs
from harness.model import Outcome, Part, Setting, Table, WrongAnswer
from sealwright.drills.sandbox import REPORTER, Sandbox
from sealwright.ids import secret_digest
from sealwright.issuer.model import Client, ClientKind

RATE, SECONDS, QUICK_RATE, QUICK_SECONDS = 5_000, 10, 500, 2
REPORT = 250  # observations in a report
FORGED_EVERY = 0.1  # seconds between forged tokens
GENUINE = 200  # tokens that the genuine observations are of
STREAMS, QUICK_STREAMS, PER_RECEIVER = 50, 5, 10
REVOCATIONS, QUICK_REVOCATIONS = 8, 2
PATIENCE = 60.0
AIM = 1.0
ACCEPTED, CREATED, OK = 202, 201, 200


def run(setting: Setting) -> Outcome:
    """Both measurements, on one site."""
    rate, seconds = (QUICK_RATE, QUICK_SECONDS) if setting.quick else (RATE, SECONDS)
    streams = QUICK_STREAMS if setting.quick else STREAMS
    revocations = QUICK_REVOCATIONS if setting.quick else REVOCATIONS
    with _site() as site, _receivers(site, streams) as arrivals:
        setting.say(f"observations at {rate}/s for {seconds} s")
        alarms, issued, reached = _observed(site, rate, seconds)
        setting.say(f"{revocations} revocations to {streams} streams")
        rounds, seconds_of_cpu = _rounds(site, arrivals, streams, revocations)
    firsts = [at for events in rounds for at in _firsts(events)]
    every = [at for events in rounds for _, at in events]
    columns = ("what", "times", "p50 s", "p99 s", "most s")
    rows = (
        (f"observation to alarm at {reached:,.0f}/s", *_spread(alarms)),
        (f"revocation to receiver, {streams} streams, first event", *_spread(firsts)),
        (f"revocation to receiver, {streams} streams, all events", *_spread(every)),
    )
    each = seconds_of_cpu / revocations
    notes = (
        f"tokens issued meanwhile: {issued / seconds:,.0f}/s; aim for each p99: {AIM:.0f} s",
        f"the authority's CPU for a revocation and its {3 * streams} deliveries: {each:.2f} s",
    )
    return Outcome((Table("Detect and tell", columns, rows),), notes=notes)


@contextmanager
def _site() -> Iterator[Sandbox]:
    # A Unix socket's name is short, so this is not the scratch directory.
    site = Sandbox(Path(tempfile.mkdtemp(prefix="sealwright-bench-")), leaky=False)
    try:
        for number in range(STREAMS // PER_RECEIVER):
            digest = secret_digest(site.secret)
            site.stores.clients.add(
                Client(f"receiver-{number}", "consumer", digest, (), (), kind=ClientKind.REPORTER)
            )
        site.start()
        yield site
    finally:
        site.stop()
        site.remove()


def _observed(site: Sandbox, rate: int, seconds: int) -> tuple[list[float], int, float]:
    """Seconds from sending to alarm for each forged token, tokens issued meanwhile, observations a second."""
    known = [_entry(site.token()) for _ in range(GENUINE)]
    sent: dict[str, float] = {}
    stop, issued = threading.Event(), [0]

    def issue() -> None:
        while not stop.is_set():
            site.token()
            issued[0] += 1

    with httpx.Client(base_url=site.url, auth=(REPORTER, site.secret), timeout=PATIENCE) as client:
        issuing = threading.Thread(target=issue)
        issuing.start()
        began, count, forged = time.perf_counter(), 0, 0
        with ThreadPoolExecutor(4) as senders:
            pending = []
            while (now := time.perf_counter() - began) < seconds:
                if count / rate > now:
                    time.sleep(min(count / rate - now, 0.01))
                    continue
                at = time.time()
                entries = [
                    known[(count + n) % GENUINE] | {"id": secrets.token_hex(16), "at": at}
                    for n in range(REPORT)
                ]
                if now >= forged * FORGED_EVERY:
                    forged += 1
                    entries.append(_forged(entries[0], sent))
                pending.append(senders.submit(_send, client, entries))
                count += len(entries)
        taken = time.perf_counter() - began
        for one in pending:
            one.result()
        stop.set()
        issuing.join()
    return _waited(site, sent), issued[0], count / taken


def _send(client: httpx.Client, entries: list[dict[str, Any]]) -> None:
    body = {"validator": {"name": "bench", "instance": "b"}, "observations": entries}
    while True:  # a full queue answers 429 or 503: a reporter sends the same again
        answer = client.post("/observations", json=body)
        if answer.status_code == ACCEPTED:
            return
        if answer.status_code not in {429, 503}:
            raise WrongAnswer(f"a report was answered with {answer.status_code}")
        time.sleep(0.05)


def _entry(token: str) -> dict[str, Any]:
    claims = jwt.decode(token, options={"verify_signature": False})
    return {
        "verdict": "accepted",
        "signature": "valid",
        "digest": hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest(),
        "kid": jwt.get_unverified_header(token)["kid"],
        "aud": [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"],
        **{name: claims[name] for name in ("jti", "iss", "iat", "exp", "client_id")},
    }


def _forged(genuine: dict[str, Any], sent: dict[str, float]) -> dict[str, Any]:
    digest = secrets.token_hex(32)
    sent[digest] = time.time()
    return genuine | {"id": secrets.token_hex(16), "digest": digest, "jti": None}


def _waited(site: Sandbox, sent: dict[str, float]) -> list[float]:
    until = time.monotonic() + PATIENCE
    while True:
        alarms = [stored.alarm for stored in site.stores.alarms.page(0, 1_000)]
        found = {alarm.digest: alarm for alarm in alarms if alarm.code == "never_issued"}
        if found.keys() >= sent.keys():
            break
        if time.monotonic() > until:
            raise WrongAnswer(f"{len(sent.keys() - found.keys())} forged tokens raised no alarm")
        time.sleep(0.05)
    false = [alarm for alarm in alarms if alarm.digest not in sent]
    if false:
        raise WrongAnswer(f"{len(false)} false alarms, such as {false[0].code}")
    return [found[digest].raised_at - at for digest, at in sent.items()]


class _Server(http.server.ThreadingHTTPServer):
    """Takes fifty connections at once: a full backlog would cost each a second of TCP's."""

    daemon_threads = True
    request_queue_size = 128


@contextmanager
def _receivers(site: Sandbox, streams: int) -> Iterator[list[tuple[str, float]]]:
    """Push receivers behind one server: when which stream got an event (name, seconds of a steady clock)."""
    arrivals: list[tuple[str, float]] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Take an event."""
            self.rfile.read(int(self.headers["content-length"]))
            arrivals.append((self.path, time.perf_counter()))
            self.send_response(ACCEPTED)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_said: object) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Receiver)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        for number in range(streams):
            who = (f"receiver-{number // PER_RECEIVER}", site.secret)
            place = f"http://127.0.0.1:{server.server_port}/{number}"
            delivery = {"method": "urn:ietf:rfc:8935", "endpoint_url": place}
            answer = httpx.post(
                site.url + "/ssf/stream", json={"delivery": delivery}, auth=who, timeout=PATIENCE
            )
            if answer.status_code != CREATED:
                raise WrongAnswer(f"a stream was answered with {answer.status_code}")
        yield arrivals
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def _rounds(
    site: Sandbox, arrivals: list[tuple[str, float]], streams: int, count: int
) -> tuple[list[list[tuple[str, float]]], float]:
    """What each revocation brought, and the CPU seconds of the authority for all of them; every stream is
    there.
    """
    if site.authority is None:
        raise WrongAnswer("there is no authority")
    pid, rounds, used = site.authority.pid, [], 0.0
    for _ in range(count):
        site.wait_ready()  # the next key signs
        time.sleep(2.0)  # every stream has its task by now, and nothing of the round before is under way
        before = procfs.cpu_seconds([pid])[pid]
        rounds.append(_revoked(site, arrivals, streams))
        used += procfs.cpu_seconds([pid])[pid] - before
    return rounds, used


def _revoked(site: Sandbox, arrivals: list[tuple[str, float]], streams: int) -> list[tuple[str, float]]:
    """For each event that arrived: its stream, and seconds since the revocation was asked for."""
    kid = jwt.get_unverified_header(site.token())["kid"]
    transport = httpx.HTTPTransport(uds=str(site.state / "run" / "admin.sock"))
    with httpx.Client(transport=transport, base_url="http://admin", timeout=PATIENCE) as admin:
        arrivals.clear()
        began = time.perf_counter()
        body = json.dumps({"reason": "key_compromise"})
        answer = admin.post(f"/admin/keys/{kid}/revoke", content=body)
        if answer.status_code != OK:
            raise WrongAnswer(f"the revocation was answered with {answer.status_code}")
        until, events = time.monotonic() + PATIENCE, 3 * streams
        while len(arrivals) < events:
            if time.monotonic() > until:
                raise WrongAnswer(f"{len(arrivals)} of {events} events arrived")
            time.sleep(0.01)
    return [(path, at - began) for path, at in arrivals]


def _firsts(events: Sequence[tuple[str, float]]) -> list[float]:
    first: dict[str, float] = {}
    for path, at in events:
        first[path] = min(at, first.get(path, at))
    return list(first.values())


def _spread(values: Sequence[float]) -> tuple[int, float, float, float]:
    ordered = sorted(values)
    last = len(ordered) - 1
    return len(ordered), ordered[last // 2], ordered[min(last, -(-last * 99 // 100))], ordered[-1]


PART = Part("alarms", "From observation to alarm, from revocation to receiver", run)
