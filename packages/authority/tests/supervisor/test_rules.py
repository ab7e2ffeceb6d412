"""Restarts come quickly at first, then ever more slowly, and a part that stays up is forgiven."""

from hypothesis import given
from hypothesis import strategies as st

from sealwright.supervisor.rules import FIRST_DELAY, LONGEST_DELAY, SETTLED, History


@given(st.integers(min_value=1, max_value=10_000))
def test_delays_double_up_to_a_bound(failures: int) -> None:
    history = History(failures)
    following = History(failures + 1)
    assert FIRST_DELAY <= history.delay <= LONGEST_DELAY
    assert following.delay in {2 * history.delay, LONGEST_DELAY}


@given(st.lists(st.floats(0, 200), max_size=30))
def test_a_part_that_stays_up_is_forgiven_and_no_other(lives: list[float]) -> None:
    history, now, expected = History(), 0.0, 0
    for life in lives:
        history = history.came_up(now)
        now += life
        history = history.died(now)
        expected = 1 if life >= SETTLED else expected + 1
        # Sums of floats: a life that ends on the bound may fall on either side of it.
        if abs(life - SETTLED) > 1e-6:
            assert history.failures == expected
        expected = history.failures


def test_what_never_came_up_keeps_failing_more_slowly() -> None:
    history = History()
    delays = []
    for _ in range(8):
        history = history.died(0.0)
        delays.append(history.delay)
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY
