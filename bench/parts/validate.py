"""Validating in-process, ours uncached and cached beside what a relying party would take otherwise.

Every library gets the same tokens and its key parsed beforehand. Ours checks more (realm, window, status,
freshness of the manifest, duplicate members and so on) and is given no way to check less.
"""

import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from harness.footprint import NOTES as FOOTPRINT_NOTES
from harness.footprint import measured_footprint
from harness.hostile import measured_hostile
from harness.model import Floor, NotMeasured, Outcome, Part, Setting, Table, WrongAnswer, median
from harness.rounds import interleave, paired_ratio
from harness.validators import LIBRARIES, Expected, Validate, rate, raw_verify, require_checks

ALGORITHMS = ("ES256", "EdDSA", "RS256", "PS256", "ML-DSA-44")
REFERENCE = "PyJWT"
UNCACHED, CACHED = "sealwright-validate, uncached", "sealwright-validate, cached"
RAW = "raw cryptography verify"
TOKENS = 64
UNCACHED_FLOOR, CACHED_FLOOR, RAW_AIM = 1.0, 20.0, 0.9
MANIFEST_LIFE = 600  # seconds: the longest that a validator allows


class Ours:
    """One throw-away realm with a key of one algorithm, its tokens, and validators that trust it."""

    def __init__(self, algorithm: str) -> None:
        from sealwright_validate import Expect, Trust, Validator
        from sealwright_validate.conformance.authority import ThrowawayAuthority

        self._authority = ThrowawayAuthority(time.time())
        self._key = self._authority.make_key(algorithm=algorithm)
        self._trust = Trust.fed(root=self._authority.roots[0])
        self._trust.feed(self._authority.served(life=MANIFEST_LIFE))
        realm = self._authority.realms["enterprise"]
        self.expected = Expected(algorithm, self._key.key.jwk, realm.issuer, realm.audiences[0])
        self.tokens = [self._authority.token(self._key) for _ in range(TOKENS)]
        expect = Expect(audience=realm.audiences[0], realm="enterprise")
        small, whole = Validator(trust=self._trust, cache_size=1), Validator(trust=self._trust)
        self.uncached: Validate = lambda token: small.validate(token, expect)
        self.cached: Validate = lambda token: whole.validate(token, expect)

    def bad(self) -> dict[str, str]:
        """Tokens with one flaw each that every validator must refuse."""
        head, _, signature = self.tokens[0].rpartition(".")
        other = "A" if signature[10] != "A" else "B"
        past = self._authority.now - 900
        return {
            "a wrong signature": f"{head}.{signature[:10]}{other}{signature[11:]}",
            "another audience": self._authority.token(self._key, aud="https://other.example"),
            "another issuer": self._authority.token(self._key, iss="https://other.example"),
            "a time that is over": self._authority.token(self._key, iat=past, exp=past + 300),
        }

    def require_revocable(self) -> None:
        """Once the key is revoked, the cached validator refuses what it accepted before."""
        from sealwright_validate import Refused

        self.cached(self.tokens[0])
        self._authority.revoke(self._key)
        self._trust.feed(self._authority.publish(life=MANIFEST_LIFE))
        try:
            self.cached(self.tokens[0])
        except Refused:
            return
        raise WrongAnswer("the cached validator accepts a token of a revoked key")


def measure(algorithm: str, setting: Setting) -> dict[str, list[float]]:
    """Rates of every library for one algorithm, one figure per round."""
    rounds, seconds = (1, 0.02) if setting.quick else (5, 0.2)
    ours = Ours(algorithm)
    validators = {
        name: make(ours.expected) for name, (make, known) in LIBRARIES.items() if algorithm in known
    }
    validators |= {UNCACHED: ours.uncached, CACHED: ours.cached}
    for name, validate in validators.items():
        require_checks(name, validate, ours.tokens[0], ours.bad())
    validators[RAW] = raw_verify(ours.expected, ours.tokens)
    for validate in validators.values():
        rate(validate, ours.tokens, seconds / 4)
    cases: dict[str, Callable[[], float]] = {
        name: partial(rate, validate, ours.tokens, seconds) for name, validate in validators.items()
    }
    found = interleave(cases, rounds, lambda text: setting.say(f"{algorithm}, {text}"))
    ours.require_revocable()
    return found


def row(name: str, found: dict[str, dict[str, list[float]]]) -> tuple[str | float | None, ...]:
    """One library's line: rate and ratio for each algorithm."""
    cells: list[str | float | None] = [name]
    for algorithm in ALGORITHMS:
        rates, reference = found[algorithm].get(name), found[algorithm].get(REFERENCE)
        cells.append(median(rates) if rates else None)
        cells.append(paired_ratio(rates, reference) if rates and reference else None)
    return tuple(cells)


def microseconds(raw: list[float], ours: list[float]) -> tuple[float, float, float]:
    """A bare check, ours, and the median over the rounds of the difference."""
    beside = median([1e6 / mine - 1e6 / bare for mine, bare in zip(ours, raw, strict=True)])
    return 1e6 / median(raw), 1e6 / median(ours), beside


def run(setting: Setting) -> Outcome:
    """Measure every algorithm."""
    if find_spec("sealwright_validate.validate") is None:
        raise NotMeasured("sealwright_validate cannot validate yet")
    found = {algorithm: measure(algorithm, setting) for algorithm in ALGORITHMS}
    columns = [heading for algorithm in ALGORITHMS for heading in (f"{algorithm}/s", f"by {REFERENCE}")]
    names = [RAW, *LIBRARIES, UNCACHED, CACHED]
    floors = [
        Floor(
            f"validating {algorithm} {kind} by {REFERENCE}",
            wanted,
            paired_ratio(rates[case], rates[REFERENCE]),
        )
        for algorithm, rates in found.items()
        if algorithm in {"ES256", "RS256"}
        for case, kind, wanted in ((UNCACHED, "uncached", UNCACHED_FLOOR), (CACHED, "cached", CACHED_FLOOR))
    ]
    floors += [
        Floor(
            f"aim: validating {algorithm} uncached by raw verify",
            RAW_AIM,
            paired_ratio(rates[UNCACHED], rates[RAW]),
        )
        for algorithm, rates in found.items()
    ]
    overhead = Table(
        "What validating costs beside the signature check, µs",
        ("algorithm", RAW, UNCACHED, "beside it"),
        tuple((algorithm, *microseconds(rates[RAW], rates[UNCACHED])) for algorithm, rates in found.items()),
    )
    hostile, costliest = measured_hostile(setting)
    notes = (
        f"Tokens of {len(Ours('ES256').tokens[0])} characters, {TOKENS} in turn, one thread.",
        "Every library checks signature, expiry, issuer and audience, and refused what fails one.",
        "Ours checks realm, key window and status, manifest freshness and more on top.",
        "Uncached: a cache with room for one token while the tokens take turns.",
        "Cached: expiry and freshness are looked at on every call; a revocation was shown to end it.",
        f"{RAW} checks the signature only, of tokens taken apart beforehand.",
    )
    rates_table = Table(
        "Validations per second", ("library", *columns), tuple(row(name, found) for name in names)
    )
    footprint, small = measured_footprint(setting)
    return Outcome(
        (rates_table, overhead, hostile, footprint), (*floors, costliest, *small), (*notes, *FOOTPRINT_NOTES)
    )


PART = Part("validate", "Validating in-process", run)
