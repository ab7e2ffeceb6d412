"""What is in force is the newest row; an image is revoked once; a store that is away says so."""

from pathlib import Path

import pytest

from sealwright.admission.model import RevokedImage, StandingPolicy
from sealwright.errors import Refused, Unavailable
from sealwright.store.db import make_tables, open_engine, open_state
from sealwright.store.standing import SqlStandingStore, policies


def test_the_newest_policy_is_in_force_and_a_number_is_given_once(tmp_path: Path) -> None:
    store = SqlStandingStore(open_state(tmp_path))
    assert store.latest() is None
    for number in (1, 2):
        store.add(StandingPolicy(number, f"document {number}", number, "file"))
    with pytest.raises(Refused, match="policy_moved"):
        store.add(StandingPolicy(2, "another", 3, "file"))
    assert SqlStandingStore(open_state(tmp_path)).latest() == StandingPolicy(2, "document 2", 2, "file")


def test_revoked_images_are_kept_in_order_and_once() -> None:
    engine = open_engine("sqlite://")
    make_tables(engine)
    store = SqlStandingStore(engine)
    images = [RevokedImage(one * 48, "a hole", at, 0, "alice") for one, at in (("22", 1), ("11", 2))]
    for image in images:
        store.revoke(image)
    with pytest.raises(Refused, match="already_revoked"):
        store.revoke(images[0])
    assert store.revoked() == images


def test_a_store_that_is_away_is_unavailable() -> None:
    engine = open_engine("sqlite://")
    make_tables(engine)
    store = SqlStandingStore(engine)
    policies.drop(engine)
    with pytest.raises(Unavailable):
        store.latest()
    with pytest.raises(Unavailable):
        store.add(StandingPolicy(1, "document", 1, "file"))
