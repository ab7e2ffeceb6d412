"""Keeps the keys of one Sealwright fresh: pulls at half life and listens for pushes.

May never decide what is trusted: that is trust_state.py.
"""

import logging
import os
import weakref
from collections.abc import Iterable, Iterator
from threading import Event
from typing import Final

from sealwright_validate.announced import require_announced
from sealwright_validate.clock import Clock
from sealwright_validate.errors import Refused, Unavailable
from sealwright_validate.fetch import MAX_ANSWER_BYTES, Origin
from sealwright_validate.keyset import Held
from sealwright_validate.manifest import served_root_version
from sealwright_validate.refresh import JITTER, RETRY_FIRST, RETRY_LAST, Refresher
from sealwright_validate.root import MAX_ROTATIONS
from sealwright_validate.trust_state import TrustState

_LOG: Final = logging.getLogger("sealwright_validate")
_SILENCE: Final = (
    25.0  # seconds without a heartbeat (they come every 10) before the push channel counts as dead
)
_POLL_WAIT: Final = 4  # seconds; less than a request may take
_POLLS: Final = 8  # long polls between two attempts at a stream
_EAGER_INTERVAL: Final = 1.0  # seconds between pulls that unknown key ids may cause
_OK: Final = 200
_NOT_MODIFIED: Final = 304


class SealwrightSource:
    """Fetches for one TrustState."""

    def __init__(
        self, state: TrustState, url: str, *, clock: Clock, push: bool, announced: bool = False
    ) -> None:
        """`announced`: take in no manifest before the ledger has proven each key of it."""
        self.state: Final = state
        self.origin: Final = Origin(url, clock=clock)
        self._clock = clock
        self._etag: str | None = None
        self._announced = announced
        self._proven: set[str] = set()
        self.refresher: Final = Refresher(
            self.pull,
            self._pause,
            self._knows,
            clock=clock,
            eager_interval=_EAGER_INTERVAL,
            beside=self._listen if push else None,
        )
        reference = weakref.ref(self.origin)
        os.register_at_fork(after_in_child=lambda: _after_fork(reference))

    @property
    def held(self) -> Held | None:
        """What is trusted now."""
        return self.state.held

    @property
    def last_refusal(self) -> Refused | None:
        """Why the latest document was refused, None if it was taken in."""
        return self.state.last_refusal

    def close(self) -> None:
        """Stop the threads."""
        self.refresher.close()
        self.origin.close()

    def pull(self) -> None:
        """Fetch and feed once; raises Unavailable or Refused, and what was trusted stays."""
        headers = {"Accept": "application/json"}
        etag, self._etag = self._etag, None
        if etag is not None and self._is_fresh():
            headers["If-None-Match"] = etag
        answer = self.origin.get("/manifest", headers)
        if answer.status == _NOT_MODIFIED and "If-None-Match" in headers:
            self._etag = etag
            return
        if answer.status != _OK:
            raise Unavailable(f"{self.origin.url}/manifest answered {answer.status}")
        self._take_in(answer.body)
        self._etag = answer.headers.get("etag")

    def _take_in(self, served: bytes) -> None:
        wanted = min(served_root_version(served), self.state.root.version + MAX_ROTATIONS)
        for version in range(self.state.root.version + 1, wanted + 1):
            answer = self.origin.get(f"/root/{version}")
            if answer.status != _OK:
                raise Unavailable(f"{self.origin.url}/root/{version} answered {answer.status}")
            self.state.advance_root(answer.body)
        if self._announced:
            self._require_announced(served)
        self.state.feed(served)

    def _require_announced(self, served: bytes) -> None:
        snapshot = self.state.preview(served)
        for kid, key in snapshot.keys.items():
            if kid in self._proven:
                continue
            answer = self.origin.get(f"/ledger/proof?kid={kid}")
            if answer.status != _OK:  # 503 for a moment after a key was made, and then it is asked again
                raise Unavailable(f"{self.origin.url}/ledger/proof answered {answer.status}")
            try:
                require_announced(key, answer.body.decode("utf-8", "replace"), snapshot.logs)
            except Refused as refusal:
                self.state.refuse(refusal)
                raise
            self._proven.add(kid)
        self._proven &= snapshot.keys.keys()

    def _is_fresh(self) -> bool:
        held = self.state.held
        return held is not None and held.is_fresh(self._clock.wall(), self._clock.monotonic())

    def _knows(self, kid: str) -> bool:
        held = self.state.held
        return held is not None and (kid in held.snapshot.keys or kid in held.snapshot.tombstones)

    def _pause(self) -> float:
        """Half of what is left of the publication's life."""
        held = self.state.held
        if held is None:
            return RETRY_FIRST
        remaining = held.fresh_until - self._clock.monotonic()
        return max(RETRY_FIRST, remaining / 2 * JITTER.uniform(0.8, 1.0))

    def poll(self) -> bool:
        """Wait a few seconds for a newer publication and take it in; whether it was worth waiting there."""
        held, began = self.state.held, self._clock.monotonic()
        headers = {"Accept": "application/json", "Prefer": f"wait={_POLL_WAIT}"}
        if held is not None:
            headers["If-None-Match"] = f'"{held.snapshot.version}"'
        answer = self.origin.get("/manifest", headers)
        if answer.status == _OK:
            self._take_in(answer.body)
            self.refresher.arrived()
            return True
        if answer.status != _NOT_MODIFIED:
            raise Unavailable(f"{self.origin.url}/manifest answered {answer.status}")
        return self._clock.monotonic() - began >= 1  # at once: the other side does not wait

    def _listen(self, stop: Event) -> None:
        retry, silent = RETRY_FIRST, 0
        while not stop.is_set():
            try:
                # Where two streams in a row brought nothing, something between does not let them through.
                rounds = _POLLS if silent > 1 else 0
                while rounds and not stop.is_set() and self.poll():
                    rounds -= 1
                silent += 1
                for served in events(self.origin.stream("/manifest/events", silence=_SILENCE), b"manifest"):
                    if stop.is_set():
                        return
                    retry, silent = RETRY_FIRST, 0
                    self._take_in(served)
                    self.refresher.arrived()
            except (Unavailable, Refused) as error:
                _LOG.info("the push channel ended: %s", error)
            stop.wait(retry * JITTER.uniform(0.5, 1.0))
            retry = min(retry * 2, RETRY_LAST)
            self.refresher.hurry()  # something may have been missed meanwhile


def events(lines: Iterable[bytes], name: bytes) -> Iterator[bytes]:
    """The data of the server-sent events of one name."""
    event = b"message"
    data: list[bytes] = []
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if not line:
            if data and event == name:
                yield b"\n".join(data)
            event, data = b"message", []
        elif line.startswith(b"event:"):
            event = line[6:].strip()
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
            if sum(map(len, data)) > MAX_ANSWER_BYTES:
                raise Unavailable("an event is too long")


def _after_fork(reference: "weakref.ref[Origin]") -> None:
    origin = reference()
    if origin is not None:
        origin.forget()
