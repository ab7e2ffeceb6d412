"""Times that are over, not yet, missing, or no times. Edges stand two minutes off, beyond any allowed
skew.

May never depend on how much skew a relying party allows.
"""

from typing import Any

from sealwright_validate.conformance.authority import DAY, HOUR
from sealwright_validate.conformance.case import Collector, Force
from sealwright_validate.conformance.scene import Scene
from sealwright_validate.errors import Reason

_BEYOND_SKEW = 120  # seconds


def cases(scene: Scene) -> Collector:
    """Every token here carries a good signature of the right key: what is wrong is a time."""
    found = Collector("time", "RFC 7519 §4.1.4 to §4.1.6; RFC 9068 §4")
    _edges(scene, found)
    _lifetimes(scene, found)
    _no_times(scene, found)
    return found


def _edges(scene: Scene, found: Collector) -> None:
    now = scene.now
    for name, changed, reason, force in (
        (
            "exp_two_minutes_ago",
            {"iat": now - HOUR // 2, "exp": now - _BEYOND_SKEW},
            Reason.TOKEN_EXPIRED,
            Force.MUST,
        ),
        ("exp_a_day_ago", {"iat": now - 1800, "exp": now - DAY}, Reason.TOKEN_EXPIRED, Force.MUST),
        ("exp_zero", {"exp": 0}, Reason.TOKEN_EXPIRED, Force.MUST),
        ("nbf_in_two_minutes", {"nbf": now + _BEYOND_SKEW}, Reason.TOKEN_NOT_YET_VALID, Force.MUST),
        ("nbf_in_a_day", {"nbf": now + DAY}, Reason.TOKEN_NOT_YET_VALID, Force.MUST),
        (
            "iat_in_two_minutes",
            {"iat": now + _BEYOND_SKEW, "exp": now + 600},
            Reason.ISSUED_IN_FUTURE,
            Force.SHOULD,
        ),
    ):
        found.bad(
            name,
            f"{changed!r}, now being {now}",
            scene.sign(claims=scene.claims(**changed)).token,
            reason,
            force=force,
        )


def _lifetimes(scene: Scene, found: Collector) -> None:
    now = scene.now
    too_long, outside = Reason.LIFETIME_NOT_ALLOWED, Reason.KEY_OUTSIDE_WINDOW
    for name, changed, reasons, force in (
        ("lifetime_of_2_hours", {"exp": now + 2 * HOUR}, (too_long,), Force.MANIFEST),
        ("lifetime_of_25_hours", {"exp": now + 25 * HOUR}, (outside,), Force.MANIFEST),
        ("lifetime_of_100_years", {"exp": now + 36_500 * DAY}, (outside,), Force.SHOULD),
        (  # far enough ahead that it has not expired when the last of many targets sees it
            "lifetime_negative",
            {"iat": now + 900, "exp": now + 600},
            (too_long, Reason.ISSUED_IN_FUTURE),
            Force.SHOULD,
        ),
        ("exp_in_milliseconds", {"exp": (now + 300) * 1000}, (Reason.CLAIM_MALFORMED,), Force.SHOULD),
    ):
        token = scene.sign(claims=scene.claims(**changed)).token
        found.bad(name, f"{changed!r}, now being {now}", token, *reasons, force=force)


def _no_times(scene: Scene, found: Collector) -> None:
    now = scene.now
    odd: dict[str, Any] = {
        "text": str(now + 300),
        "text_date": "2099-01-01T00:00:00Z",
        "array": [now + 300],
        "object": {"$gt": 0},
        "true": True,
        "null": None,
        "negative": -1,
        "huge": 10**30,
        "exponent": 1e300,
    }
    for claim, missing_is in (("exp", Force.MUST), ("iat", Force.SHOULD), ("nbf", None)):
        for name, value in odd.items():
            claims = scene.claims()
            claims[claim] = value
            must = claim == "exp" and name not in ("huge", "exponent", "text", "true", "negative")
            if (claim, name) == ("nbf", "negative"):
                continue
            found.bad(
                f"{claim}_{name}",
                f"{claim} is {value!r}",
                scene.sign(claims=claims).token,
                Reason.CLAIM_MISSING,
                Reason.CLAIM_MALFORMED,
                force=Force.MUST if must else Force.SHOULD,
            )
        if missing_is is not None:
            token = scene.sign(claims=scene.claims(**{claim: None})).token
            found.bad(f"{claim}_missing", f"no {claim}", token, Reason.CLAIM_MISSING, force=missing_is)
