"""Asks for tokens over connections that are kept and notes how long each answer took, until told to stop.

A failed request is counted, never tried again: whoever replaces a server must not be helped by its clients.
"""

import http.client
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from harness.load import Target

CONNECTIONS = 8
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Span:
    """What was answered between two moments: milliseconds of each request that began in them."""

    milliseconds: tuple[float, ...]
    failures: int

    def percentile(self, share: float) -> float:
        """The latency below which this share of the requests lies."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class Clients:
    """So many clients of one endpoint, each asking as soon as it is answered."""

    target: Target
    connections: int = CONNECTIONS
    done: list[tuple[float, float]] = field(default_factory=list)
    failed: list[tuple[float, str]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin."""
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self.connections)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _run(self) -> None:
        target = self.target
        headers = {
            "Authorization": target.authorization,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=PATIENCE)
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                connection.request("POST", target.path, target.body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append((began, repr(error)))
                connection.close()
                continue
            if answer.status == http.HTTPStatus.OK:
                self.done.append((began, (time.monotonic() - began) * 1_000))
            else:
                self.failed.append((began, f"{answer.status} {content[:120].decode(errors='replace')}"))
        connection.close()

    def reasons(self) -> list[str]:
        """Why requests failed, each once."""
        return sorted({why for _, why in list(self.failed)})

    def span(self, start: float, end: float) -> Span:
        """What began between two moments of `time.monotonic`."""
        taken = tuple(each for began, each in list(self.done) if start <= began < end)
        return Span(taken, sum(start <= began < end for began, _ in list(self.failed)))
