"""Takes SETs in, whichever way they came: verified, acted on, on disk, and only then acknowledged.

A SET that comes twice has the same effect once more, which is none. May never acknowledge what is not kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sealwright_validate.algorithms import Verifier
from sealwright_validate.clock import Clock
from sealwright_validate.errors import Unavailable
from sealwright_validate.signals.effects import effect_of
from sealwright_validate.signals.ended import Ended
from sealwright_validate.signals.sets import SetRefusedError, key_id_of, open_set

AHEAD: Final = 60.0  # seconds by which a transmitter's clock may be ahead of ours
Keys = Callable[[str], Mapping[str, Verifier]]
"""Verifiers that include the named key where there is one. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of SETs so far. `ignored`: events about something that tokens do not show."""

    taken: int = 0
    acted: int = 0
    ignored: int = 0
    refused: int = 0


class Receiver:
    """For one transmitter.

    Args:
        issuer: the transmitter's.
        audience: what this receiver is called in `aud`.
        ended: where effects go.
        keys: finds the transmitter's keys.
        clock: the time.
    """

    def __init__(self, issuer: str, audience: str, ended: Ended, keys: Keys, *, clock: Clock) -> None:
        self._issuer = issuer
        self._audience = audience
        self._ended = ended
        self._keys = keys
        self._clock = clock
        self.counts = Counts()

    def take(self, unverified_set: bytes) -> str:
        """Act on a SET; returns its `jti`, to be acknowledged.

        Raises:
            SetRefusedError: it will never be taken.
            Unavailable: it may be taken later.
        """
        try:
            kid = key_id_of(unverified_set)
            verifier = self._keys(kid).get(kid)
            if verifier is None:
                # A key that was published moments ago: ask again rather than lose the event.
                raise Unavailable(f"the transmitter does not publish the key {kid:.60}")
            event = open_set(unverified_set, verifier, self._issuer, self._audience)
        except SetRefusedError:
            self._count(refused=1)
            raise
        at = min(event.at, self._clock.wall() + AHEAD)
        acted = 0
        for kind, content in event.events.items():
            effect = effect_of(kind, content, event.subject, at)
            if effect is not None:
                self._ended.end(effect)
                acted += 1
        self._count(taken=1, acted=acted, ignored=len(event.events) - acted)
        return event.jti

    def _count(self, *, taken: int = 0, acted: int = 0, ignored: int = 0, refused: int = 0) -> None:
        now = self.counts
        self.counts = Counts(
            now.taken + taken, now.acted + acted, now.ignored + ignored, now.refused + refused
        )
