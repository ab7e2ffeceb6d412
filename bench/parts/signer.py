"""The signer alone, fed batches over its socket: what isolation, policy, tree and checkpoint leave of bare
signing.

Its own CPU time is what counts; the program that feeds it runs on another core and is not counted.
"""

from collections.abc import Callable
from functools import partial

from harness import machine, procfs
from harness.model import Floor, Outcome, Part, Setting, Table, median
from harness.rounds import interleave, paired_ratio
from harness.signing import Session, Stretch, signer

SIZES = (1, 8, 16, 32, 128, 256, 512)
AIM = 0.6
ELLIPTIC = "ES256"
LIMITS = {"ES256": "ecdsap256", "EdDSA": "ed25519", "RS256": "rsa2048"}
MEBIBYTE = 1024**2


def named(algorithm: str, size: int) -> str:
    """The name of one case."""
    return f"{algorithm} by {size}"


def memory_row(session: Session, when: str) -> tuple[str, float | None, float | None]:
    """What the signer holds in RAM now."""
    found = procfs.memory(session.process.pid)
    if found is None:
        return (when, None, None)
    return (when, found.rss / MEBIBYTE, found.pss / MEBIBYTE if found.pss is not None else None)


def measure(
    session: Session, setting: Setting
) -> tuple[dict[str, list[Stretch]], dict[str, list[tuple[float, float]]]]:
    """Stretches of every case and the limits, one of each per round."""
    rounds, seconds = (1, 0.2) if setting.quick else (3, 1.0)
    cases: dict[str, Callable[[], Stretch | tuple[float, float]]] = {
        named(ELLIPTIC, size): partial(session.stretch, ELLIPTIC, size, seconds) for size in SIZES
    }
    cases |= {
        named(algorithm, SIZES[-2]): partial(session.stretch, algorithm, SIZES[-2], seconds)
        for algorithm in LIMITS
    }
    stretched = list(cases)
    cases |= {algorithm: partial(machine.openssl_speed, name, 1) for algorithm, name in LIMITS.items()}
    found = interleave(cases, rounds, setting.say)
    stretches = {name: [each for each in found[name] if isinstance(each, Stretch)] for name in stretched}
    bare = {name: [each for each in found[name] if isinstance(each, tuple)] for name in LIMITS}
    return stretches, bare


def run(setting: Setting) -> Outcome:
    """Measure every batch size with ES256, and the other algorithms with one size."""
    with signer(setting.scratch, list(LIMITS)) as session:
        rest = memory_row(session, "at rest")
        stretches, bare = measure(session, setting)
        memory = (
            rest,
            memory_row(session, f"after {session.runner.run(session.connection.stats())['signed']:,} tokens"),
        )
    rows, ratios = [], {}
    for name, found in stretches.items():
        algorithm, _, size = name.split()
        signs = [limit[0] for limit in bare[algorithm]]
        ratios[name] = paired_ratio([each.per_core for each in found], signs)
        wall, core = (
            median([each.tokens / each.seconds for each in found]),
            median([each.per_core for each in found]),
        )
        rows.append((algorithm, int(size), wall, core, 1e6 / core, median(signs), ratios[name]))
    best = max((name for name in ratios if name.startswith(ELLIPTIC)), key=lambda name: ratios[name])
    columns = (
        "algorithm",
        "batch",
        "tokens/s",
        "tokens per CPU second",
        "CPU µs per token",
        "openssl signs/s",
        "of the limit",
    )
    return Outcome(
        (
            Table("Signed and ledgered tokens", columns, tuple(rows)),
            Table("Memory of the signer, MiB", ("when", "RSS", "PSS"), memory),
        ),
        (Floor(f"aim: the signer alone, {best}, by the limit on one core", AIM, ratios[best]),),
        (
            "Every token has its leaf in the tree, every batch a signed checkpoint and an acknowledgement.",
            "Two batches are under way at a time.",
            "It checks its own signatures: all RSA, all of a batch of 8 or fewer, otherwise one in sixteen.",
        ),
    )


PART = Part("signer", "The signer alone", run)
