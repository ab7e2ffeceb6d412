"""Kill -9 of either side at random moments under load loses no leaf of a token that left."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import threading
import time
from http.client import HTTPException
from typing import Self

import pytest

from authority_support.site import running
from sealwright.drills.sandbox import Sandbox
from sealwright.errors import Unavailable
from sealwright.wiring.inspect import inspect

KILLS = 200
SIGNER_SHARE = 0.3
LOADERS = 4


class Load:
    """Asks for tokens from several threads until told to stop, and keeps every token that it was given."""

    def __init__(self, site: Sandbox) -> None:
        self._site = site
        self._stop = threading.Event()
        self.tokens: list[str] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(LOADERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.tokens.append(self._site.token())
            except (Unavailable, OSError, ValueError, HTTPException):
                time.sleep(0.01)


def require_in_ledger(site: Sandbox, tokens: list[str]) -> None:
    """Every token that left is in the ledger, at its own place, and no place is used twice."""
    places = set()
    for token in tokens:
        signing_input, _, _ = token.rpartition(".")
        payload = signing_input.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        kid = json.loads(base64.urlsafe_b64decode(signing_input.split(".")[0] + "=="))["kid"]
        log_id, index, _ = claims["jti"].split(".")
        leaf = site.stores.ledger.leaf(log_id, int(index))
        assert leaf is not None
        assert leaf[2:34] == hashlib.sha256(signing_input.encode()).digest()
        assert leaf[34:66] == base64.urlsafe_b64decode(kid + "=")
        places.add((log_id, index))
    assert len(places) == len(tokens)


@pytest.mark.slow
@pytest.mark.enable_socket
@pytest.mark.timeout(900)
def test_two_hundred_kills_under_load_lose_no_leaf_of_a_token_that_left() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    with running() as site:
        with Load(site) as load:
            for _ in range(KILLS):
                time.sleep(dice.random() * 0.25)
                kill_and_replace(site, signer=dice.random() < SIGNER_SHARE)
                wait_for_tokens(load, 5)
        require_nothing_lost(site, load)
    assert len(load.tokens) >= KILLS * 5


@pytest.mark.enable_socket
def test_a_killed_authority_takes_up_what_its_signer_still_holds() -> None:
    with running() as site:
        with Load(site) as load:
            for signer in (False, False, True):
                time.sleep(0.2)
                kill_and_replace(site, signer=signer)
                wait_for_tokens(load, 5)
        require_nothing_lost(site, load)
        assert len(site.stores.ledger.logs()) == 2


def kill_and_replace(site: Sandbox, *, signer: bool) -> None:
    if signer:
        site.kill_signer()
        site.start_signer()
    else:
        site.kill_authority()
        site.start_authority()


def wait_for_tokens(load: Load, count: int) -> None:
    before, until = len(load.tokens), time.monotonic() + 60
    while len(load.tokens) < before + count:
        assert time.monotonic() < until, "no tokens after a kill"
        time.sleep(0.02)


def require_nothing_lost(site: Sandbox, load: Load) -> None:
    site.stop()
    report = inspect(site.config).fsck()
    assert report.sound, report.damages
    require_in_ledger(site, load.tokens)
