"""What a start refuses, with the rule and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealwright.config import load
from sealwright.errors import Misconfigured
from sealwright.wiring.startcheck import BEHIND, require_plausible_clock

NOW = 1_800_000_000
DECADE = 10 * 365 * 86_400


@pytest.mark.parametrize("off", [-DECADE, DECADE])
def test_a_clock_ten_years_off_is_refused(off: int) -> None:
    with pytest.raises(Misconfigured, match="Set the clock") as caught:
        require_plausible_clock(NOW + off, 0)
    assert caught.value.code == "clock_implausible"


def test_a_clock_behind_what_was_signed_is_refused() -> None:
    require_plausible_clock(NOW - BEHIND, NOW)
    with pytest.raises(Misconfigured, match="Set the clock") as caught:
        require_plausible_clock(NOW - BEHIND - 1, NOW)
    assert caught.value.code == "clock_behind_state"


def test_two_realms_with_one_issuer_cannot_be_written(tmp_path: Path) -> None:
    """The issuer is made of the realm's name, and no file can name a realm twice."""
    file = tmp_path / "sealwright.toml"
    realm = '[realms.staff]\naudiences = ["https://mail.example"]\n'
    file.write_text(f"[demo]\nenabled = false\n{realm}")
    assert load(file, {})[0].issuer("staff").endswith("/staff")
    file.write_text(f"[demo]\nenabled = false\n{realm}{realm}")
    with pytest.raises(Misconfigured) as caught:
        load(file, {})
    assert caught.value.code == "bad_toml"
