"""Which of the tokens that live belong together."""

from __future__ import annotations

import pytest

from sealwright.wiring.living import Live, of_family

LOG = "abcdefghijklmnop"


def live(index: int, parent: str | None = None, family: str | None = None) -> Live:
    return Live(f"{LOG}.{index}", "kid", "app", None, family, parent)


def jti(index: int) -> str:
    return f"{LOG}.{index}.abcdefghijkl"


TREE = [
    live(0),
    live(1, parent=jti(0)),
    live(2, parent=jti(1)),
    live(3, parent="refresh-1"),
    live(4, parent=jti(3)),
    live(5, family="family-1"),
    live(6, parent=jti(5), family="family-1"),
    live(7, parent=jti(99)),
    live(8, parent=jti(9)),
    live(9, parent=jti(8)),
]


@pytest.mark.parametrize(
    ("subject", "places"),
    [
        (jti(0), [0, 1, 2]),
        (f"{LOG}.0", [0, 1, 2]),
        (jti(1), [1, 2]),
        ("refresh-1", [3, 4]),
        ("family-1", [5, 6]),
        (jti(99), [7]),
        (jti(8), [8, 9]),
        ("nobody", []),
    ],
)
def test_a_family_is_its_root_and_all_that_comes_from_it(subject: str, places: list[int]) -> None:
    assert [int(one.place.rpartition(".")[2]) for one in of_family(TREE, subject)] == places
