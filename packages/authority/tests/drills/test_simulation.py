"""The simulated year, in short: rules hold under faults, and a broken rule is noticed."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from sealwright.drills.simulation import run as simulation
from sealwright.drills.simulation.picture import COLOURS, draw
from sealwright.drills.simulation.run import simulate
from sealwright.keys import rules
from sealwright.keys.model import KeyState
from sealwright_validate.steps import TRUST_STEPS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_weeks_with_faults_break_no_rule(seed: int) -> None:
    outcome = simulate(10, seed)
    assert (outcome.failures, outcome.wrongly_accepted) == (0, 0), outcome.details
    assert outcome.held
    assert outcome.rotations > 10 * 2 * 3
    assert outcome.attacks > 100
    assert sum(outcome.events.values()) > 5
    assert outcome.oldest_trusted_hours < 6 + 1 + 0.5


def test_a_signer_that_lists_a_key_too_long_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault that the first run of this simulation found: manifests could not be renewed for a minute."""
    monkeypatch.setattr(rules, "EARLY", -86_400)
    assert simulate(3, 1).failures > 0


def test_a_successor_that_is_not_published_first_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the refetch on an unknown key, a cold start is a failure: the check can fail."""
    monkeypatch.setattr("sealwright.drills.simulation.world.RelyingParty.refetch", lambda _self: False)
    assert simulate(2, 1).failures > 0


def test_a_validator_that_skips_the_window_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    without = {"require_key_window", "require_active_key"}
    kept = tuple(step for step in TRUST_STEPS if step.__name__ not in without)
    monkeypatch.setattr("sealwright_validate.validate.TRUST_STEPS", kept)
    assert simulate(1, 1).wrongly_accepted > 0


def test_the_picture_has_a_bar_for_every_key_and_is_well_formed() -> None:
    outcome = simulate(2, 1)
    tree = ET.fromstring(draw(outcome, 2))  # noqa: S314 - our own text
    fills = [element.get("fill") for element in tree.iter() if element.tag.endswith("rect")]
    assert set(COLOURS.values()) - {COLOURS[KeyState.REVOKED]} <= set(fills)
    labels = [element.text or "" for element in tree.iter() if element.tag.endswith("text")]
    assert sum(label.startswith(("consumer", "enterprise")) for label in labels) == len(outcome.states)


def test_the_same_seed_gives_the_same_faults() -> None:
    first, second = simulate(2, 5), simulate(2, 5)
    assert json.dumps(first.events) == json.dumps(second.events)
    assert simulation.FAULTS.keys() >= {"signer killed", "clock back", "store outage"}
