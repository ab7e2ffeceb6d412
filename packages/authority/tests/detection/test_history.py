"""A key's facts come from its announcement and its state, and never vanish."""

import base64
import json

import pytest

from sealwright.detection.history import KeyHistory
from sealwright.detection.model import KeyStatus
from sealwright.keys.model import Key, KeyState

ANNOUNCED = {
    "issuer": "https://a.example/enterprise",
    "audiences": ["https://mail.example"],
    "max_lifetime": 3_600,
}


def key(state: KeyState, issued_before: int | None = None) -> Key:
    payload = base64.urlsafe_b64encode(json.dumps(ANNOUNCED).encode()).decode().rstrip("=")
    return Key(
        kid="K" * 43,
        realm="enterprise",
        algorithm="ES256",
        log_id="abcdefghijklmnop",
        announcement=f"e30.{payload}.c2ln",
        ledger_index=1,
        jwk={},
        use_from=100,
        use_until=200,
        verify_until=3_800,
        state=state,
        changed_at=150,
        issued_before=issued_before,
    )


class Rows:
    def __init__(self, *keys: Key) -> None:
        self._keys = {one.kid: one for one in keys}

    def get(self, kid: str) -> Key | None:
        return self._keys.get(kid)


@pytest.mark.parametrize("state", list(KeyState))
def test_a_key_of_any_state_is_known_with_its_scope(state: KeyState) -> None:
    facts = KeyHistory(Rows(key(state))).get("K" * 43)
    assert facts is not None
    assert facts.status is KeyStatus(state.value)
    assert (facts.issuer, facts.audiences) == ("https://a.example/enterprise", ("https://mail.example",))
    assert (facts.use_from, facts.use_until, facts.verify_until, facts.max_lifetime) == (
        100,
        200,
        3_800,
        3_600,
    )


def test_only_the_end_of_a_key_dates_its_end() -> None:
    revoked = KeyHistory(Rows(key(KeyState.REVOKED, issued_before=140))).get("K" * 43)
    retired = KeyHistory(Rows(key(KeyState.RETIRED))).get("K" * 43)
    active = KeyHistory(Rows(key(KeyState.ACTIVE))).get("K" * 43)
    assert revoked is not None
    assert retired is not None
    assert active is not None
    assert (revoked.revoked_at, revoked.issued_before, revoked.retired_at) == (150, 140, None)
    assert (retired.revoked_at, retired.retired_at) == (None, 150)
    assert (active.revoked_at, active.retired_at) == (None, None)


def test_a_key_that_was_never_ours_is_unknown() -> None:
    assert KeyHistory(Rows()).get("K" * 43) is None
