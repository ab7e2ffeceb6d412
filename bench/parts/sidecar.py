"""The sidecar behind a real NGINX: requests per second, and their latency while keys change or are away.

Every token of the load is good, so every answer must be a 200; a forged token was seen to be refused before.
"""

import threading
from collections.abc import Callable
from functools import partial

from harness.model import Outcome, Part, Setting, Table, median
from harness.rounds import interleave
from harness.sidecar import Front, Issuer, Stretch, front, issuer, load

REMEMBERED, FORGETFUL = 4096, 1
EVERY = 0.1  # seconds between manifests
OPEN, CACHED, UNCACHED = (
    "NGINX alone",
    "with the sidecar, tokens seen before",
    "with the sidecar, each token anew",
)
QUIET = "nothing happens"
REFRESHED = "a new manifest ten times a second"
DOWN = "the authority is down"


def while_publishing(found: Front, made: Issuer, seconds: int) -> Stretch:
    """Load while manifests are pushed."""
    ended = threading.Event()

    def publish() -> None:
        while not ended.wait(EVERY):
            made.publish()

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    try:
        return load(found, made, "/guarded", seconds)
    finally:
        ended.set()
        publisher.join()


def while_down(found: Front, made: Issuer, seconds: int) -> Stretch:
    """Load while the authority answers nothing; it comes back afterwards."""
    made.server.served.down = True
    try:
        return load(found, made, "/guarded", seconds)
    finally:
        made.server.served.down = False


def rows(found: dict[str, list[Stretch]], names: tuple[str, ...]) -> tuple[tuple[str | float, ...], ...]:
    """One line a case: medians over the rounds."""
    return tuple(
        (
            name,
            *(
                median([getattr(each, figure) for each in found[name]])
                for figure in ("rate", "p50", "p99", "cpu")
            ),
        )
        for name in names
    )


def run(setting: Setting) -> Outcome:
    """Measure every case."""
    rounds, seconds = (1, 1) if setting.quick else (3, 3)
    with (
        issuer(setting.scratch) as made,
        front(made, REMEMBERED) as remembering,
        front(made, FORGETFUL) as forgetful,
    ):
        cases: dict[str, Callable[[], Stretch]] = {
            OPEN: partial(load, remembering, made, "/open", seconds),
            CACHED: partial(load, remembering, made, "/guarded", seconds),
            UNCACHED: partial(load, forgetful, made, "/guarded", seconds),
            QUIET: partial(load, remembering, made, "/guarded", seconds),
            REFRESHED: partial(while_publishing, remembering, made, seconds),
            DOWN: partial(while_down, remembering, made, seconds),
        }
        found = interleave(cases, rounds, setting.say)
    figures = ("requests/s", "p50 ms", "p99 ms", "CPU µs of the sidecar each")
    return Outcome(
        (
            Table("Requests behind NGINX", ("what", *figures), rows(found, (OPEN, CACHED, UNCACHED))),
            Table("Requests meanwhile", ("while", *figures), rows(found, (QUIET, REFRESHED, DOWN))),
        ),
        notes=(
            "ES256 tokens, 64 in turn, 16 connections; one NGINX worker, one sidecar process.",
            "NGINX asks the sidecar about each request (auth_request), then passes it on to one of its own.",
            "A new manifest runs every step but the signature again for every token that is remembered.",
            "The load generator, NGINX and the sidecar share the cores.",
        ),
    )


PART = Part("sidecar", "The sidecar behind NGINX", run)
