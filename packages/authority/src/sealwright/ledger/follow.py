"""Follows one Sealwright from outside with nothing but a pinned root: root versions, log list, key manifest.

For the witness and the monitor, which run on other machines. All of it is verified by `sealwright_validate`;
this only fetches and remembers. May never take a document whose signature chain does not end in the pinned
root.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sealwright.errors import Unavailable
from sealwright_validate.clock import SYSTEM_CLOCK, Clock
from sealwright_validate.errors import Unavailable as NoAnswer
from sealwright_validate.fetch import Answer, Origin
from sealwright_validate.keyset import KeySnapshot
from sealwright_validate.log_list import LogList, open_log_list
from sealwright_validate.manifest import served_root_version
from sealwright_validate.root import MAX_ROTATIONS, Role
from sealwright_validate.trust import ROOT_SKEW
from sealwright_validate.trust_state import TrustState

OK, NOT_FOUND = 200, 404
TIMEOUT = 10.0
"""Seconds for one answer."""


class Fetch(Protocol):
    """Something that answers `GET` below one address."""

    def __call__(self, path: str) -> Answer:
        """A complete answer, whatever its status; raises sealwright_validate's Unavailable."""
        ...


def fetch_from(url: str, timeout: float = TIMEOUT) -> Fetch:
    """`GET` below a base URL, with bounded answers and no redirects."""
    return Origin(url, timeout=timeout).get


def finder(fetch: Fetch) -> Callable[[str], bytes | None]:
    """Answers with a file's body, or None where there is none (404); raises our Unavailable otherwise."""

    def find(path: str) -> bytes | None:
        try:
            answer = fetch(path)
        except NoAnswer as error:
            raise Unavailable("no_answer", "no answer", str(error)) from error
        if answer.status == NOT_FOUND:
            return None
        if answer.status != OK:
            raise Unavailable("no_answer", f"{path} was answered with {answer.status}")
        return answer.body

    return find


class Follower:
    """What is known of one Sealwright. Not for use by two threads at once."""

    def __init__(
        self, fetch: Fetch, root: bytes, *, clock: Clock = SYSTEM_CLOCK, state_file: Path | None = None
    ) -> None:
        self.find = finder(fetch)
        self._clock = clock
        self.trust = TrustState(root, clock=clock, skew=ROOT_SKEW, state_file=state_file)
        self._former: list[Role] = []
        self.logs: LogList | None = None

    def get(self, path: str) -> bytes:
        """The body of a file that must be there.

        Raises:
            Unavailable: `no_answer` or, with any other status than 200, `not_served`.
        """
        body = self.find(path)
        if body is None:
            raise Unavailable("not_served", f"{path} is not served")
        return body

    def pull_logs(self) -> LogList:
        """The log list in force (docs/formats/log-list.md).

        Raises:
            Unavailable: it is not there.
            sealwright_validate's Refused: it is not to be trusted; what was accepted before stays.
        """
        served = self.get("/ledger/log-list.json")
        self._follow_root(served)
        now = self._clock.wall()
        self.logs = open_log_list(self.trust.root, served, self.logs, now=now, former=self._former)
        return self.logs

    def pull_manifest(self) -> tuple[bytes, KeySnapshot]:
        """The served manifest document, and what it says.

        Raises:
            As `pull_logs`.
        """
        served = self.get("/manifest")
        self._follow_root(served)
        return served, self.trust.feed(served)

    def _follow_root(self, served: bytes) -> None:
        current = self.trust.root.version
        for version in range(current + 1, min(served_root_version(served), current + MAX_ROTATIONS) + 1):
            former = self.trust.root.admission
            self.trust.advance_root(self.get(f"/root/{version}"))
            self._former.append(former)
