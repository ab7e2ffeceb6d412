"""How fast a monitor reads a log: hashing, judging each entry, and both with the files read from a disk.

The log is made here: one announced key, tokens of distinct digests, a head signed by the log's own key. The
monitor's reader must arrive at the signed root, or nothing was measured. No network: over one, bundles of
256 entries (30 kB) are fetched 32 at a time.
"""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from harness.model import Floor, Outcome, Part, Setting, Table, WrongAnswer, median
from sealwright.ledger.tiles import WIDTH, encode_bundle, tile_path
from sealwright.monitor.leaves import LeafAudit
from sealwright.monitor.model import Tally
from sealwright.monitor.reading import Position, Reader
from sealwright.monitor.tree import ReadTree
from sealwright_signer import jws
from sealwright_signer.identity import Identity
from sealwright_signer.journal import KEY_EVENT, STATEMENT, json_leaf, token_leaf
from sealwright_validate.keyset import LogKey
from sealwright_validate.note import Checkpoint

LEAVES, QUICK = 1_048_576, 65_536
ROUNDS = 3
WANTED = 200_000
NOW = 1_800_000_000
DAY = 86_400


class MadeLog:
    """A log of one incarnation, in bundles on disk."""

    def __init__(self, size: int, folder: Path) -> None:
        self.identity = Identity()
        self.key = LogKey(f"bench.example/{self.identity.log_id}", self.identity.public)
        self.folder, self.size = folder, size
        tree, digest = ReadTree(), hashlib.sha256
        jwk = jws.public_jwk(generate_private_key(SECP256R1()).public_key())
        kid = jws.thumbprint(jwk)
        raw, record = jws.unb64u(kid), bytes(32)
        begin = self._begin(kid, jwk)
        for number in range(size // WIDTH):
            first = number * WIDTH
            bundle = [
                token_leaf(
                    digest(b"%d" % index).digest(), raw, NOW + index % DAY, NOW + index % DAY + 600, record
                )
                for index in range(first, first + WIDTH)
            ]
            if number == 0:
                bundle[: len(begin)] = begin
            tree.extend(bundle)
            file = folder / "tile" / "entries" / tile_path(number)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode_bundle(bundle))
        self.head = Checkpoint(self.key.origin, size, tree.root())

    def _begin(self, kid: str, jwk: dict[str, str]) -> list[bytes]:
        log_id = self.identity.log_id
        told = {
            "kid": kid,
            "jwk": jwk,
            "realm": "bench",
            "use_from": NOW,
            "use_until": NOW + 2 * DAY,
            "verify_until": NOW + 3 * DAY,
            "max_lifetime": 3_600,
            "incarnation": log_id,
        }
        announcement = self.identity.document("sealwright-key+jwt", told)
        common = {"kid": kid, "realm": "bench", "at": NOW}
        return [
            json_leaf(STATEMENT, type="incarnation", digest="00" * 32, at=NOW),
            json_leaf(KEY_EVENT, event="announced", announcement=announcement, **common),
            json_leaf(KEY_EVENT, event="activated", **common),
        ]

    def find(self, path: str) -> bytes | None:
        """A file of the log."""
        return (self.folder / path).read_bytes()


def rate(size: int, do: Callable[[], None]) -> tuple[float, float]:
    """Leaves per second by the clock and by CPU time, the middle of several rounds."""
    wall, cpu = [], []
    for _ in range(ROUNDS):
        started, before = time.perf_counter(), time.process_time()
        do()
        wall.append(size / (time.perf_counter() - started))
        cpu.append(size / (time.process_time() - before))
    return median(wall), median(cpu)


def run(setting: Setting) -> Outcome:
    """Hash alone, then read as the monitor does."""
    size = QUICK if setting.quick else LEAVES
    setting.say(f"making a log of {size:,} leaves")
    log = MadeLog(size, setting.scratch)
    pool = ThreadPoolExecutor(8)
    reader = Reader(log.find, pool, Tally())
    bundles = [reader.entries(number, WIDTH) for number in range(size // WIDTH)]

    def hash_only() -> None:
        tree = ReadTree()
        for bundle in bundles:
            tree.extend(bundle)
        if tree.root() != log.head.root:
            raise WrongAnswer("the tree is not the signed one")

    def judge_only() -> None:
        audit = LeafAudit(log.identity.log_id, log.key)
        for number, bundle in enumerate(bundles):
            audit.read(number * WIDTH, bundle)
        if audit.findings or audit.tokens != size - 3:
            raise WrongAnswer(f"an honest log is complained of: {audit.findings}")

    def read_all() -> None:
        empty = Position(ReadTree(), LeafAudit(log.identity.log_id, log.key))
        done = reader.advance(empty, log.head, {}, lambda _done: None)
        if done.audit.findings or done.tree.size != size:
            raise WrongAnswer("an honest log is complained of, or not read to its end")

    rows = []
    for title, do in (
        ("hashing the tree", hash_only),
        ("judging each entry", judge_only),
        ("reading files, hashing, judging", read_all),
    ):
        setting.say(title)
        rows.append((title, *rate(size, do)))
    pool.shutdown()
    floors = (
        Floor("hashing, leaves/s of one core, by 200,000", 1.0, rows[0][2] / WANTED),
        Floor("everything, leaves/s of one core, by 200,000", 1.0, rows[2][2] / WANTED),
    )
    notes = (
        f"{size:,} leaves of 114 bytes in bundles on disk (warm), {ROUNDS} rounds; one process, no network.",
    )
    table = Table("A monitor reading a log", ("work", "leaves/s", "leaves per CPU second"), tuple(rows))
    return Outcome((table,), floors, notes)


PART = Part("monitor", "Reading the whole ledger from outside", run)
