"""What was planted just now is known within half a second, and the store is not asked for every report."""

from sealwright.detection.memory import SteppedClock
from sealwright.detection.model import Planted
from sealwright.response.model import Canary
from sealwright.wiring.canaries import LIFE, Canaries


class Store:
    """`CanaryStore` in a list."""

    def __init__(self) -> None:
        self.kept: list[Canary] = []
        self.asked = 0

    def plant(self, canary: Canary) -> None:
        self.kept.append(canary)

    def planted(self) -> list[Canary]:
        self.asked += 1
        return list(self.kept)


def test_a_new_canary_is_known_after_half_a_second_and_the_store_is_asked_twice() -> None:
    store, clock = Store(), SteppedClock()
    canaries = Canaries(store, clock)
    assert canaries.planted() == Planted()
    store.plant(Canary(kind="token", value="d", planted_at=1.0))
    store.plant(Canary(kind="key", value="k", planted_at=1.0))
    assert canaries.planted() == Planted()
    clock.time += LIFE
    assert canaries.planted() == Planted(frozenset({"d"}), frozenset({"k"}))
    assert canaries.planted().tokens == {"d"}
    assert store.asked == 2


def test_a_clock_that_was_set_back_does_not_hide_what_was_planted() -> None:
    store, clock = Store(), SteppedClock()
    canaries = Canaries(store, clock)
    assert canaries.planted() == Planted()
    store.plant(Canary(kind="key", value="k", planted_at=1.0))
    clock.time -= 3_600
    assert canaries.planted().keys == {"k"}
