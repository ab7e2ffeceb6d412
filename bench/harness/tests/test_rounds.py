from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import spread
from harness.rounds import interleave, paired_ratio


def test_every_round_measures_every_case_once_and_starts_elsewhere() -> None:
    order: list[str] = []

    def case(name: str) -> Callable[[], int]:
        def measure() -> int:
            order.append(name)
            return len(order)

        return measure

    found = interleave({name: case(name) for name in "abc"}, 3, lambda text: None)
    assert order == list("abcbcacab")
    assert found == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_a_ratio_pairs_figures_of_one_round() -> None:
    assert paired_ratio([10, 30, 200], [5, 10, 100]) == pytest.approx(2.0)


def test_unpaired_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_ratio([1.0], [1.0, 2.0])


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_the_median_lies_between_the_ends(values: list[float]) -> None:
    found = spread(values)
    assert found.low <= found.median <= found.high
    assert sum(value < found.median for value in values) <= len(values) / 2
    assert sum(value > found.median for value in values) <= len(values) / 2
