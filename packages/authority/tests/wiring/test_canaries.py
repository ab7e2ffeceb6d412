"""What was planted just now is known at once."""

from sealwright.detection.model import Planted
from sealwright.response.model import Canary
from sealwright.wiring.canaries import Canaries


class Store:
    """`CanaryStore` in a list."""

    def __init__(self) -> None:
        self.kept: list[Canary] = []

    def plant(self, canary: Canary) -> None:
        self.kept.append(canary)

    def planted(self) -> list[Canary]:
        return list(self.kept)


def test_a_new_canary_is_known_at_once() -> None:
    store = Store()
    canaries = Canaries(store)
    assert canaries.planted() == Planted()
    store.plant(Canary(kind="token", value="d", planted_at=1.0))
    store.plant(Canary(kind="key", value="k", planted_at=1.0))
    assert canaries.planted() == Planted(frozenset({"d"}), frozenset({"k"}))
