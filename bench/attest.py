"""Appraisals per second on one core, per platform: prints JSON, then a Markdown table.

    python bench/attest.py [--seconds 2] [--vectors DIR] [--json FILE]

Genuine evidence is used where the vectors folder is there, so that keys have their real sizes; synthetic
evidence with a live nonce and a bound key stands beside it. Only CPU time of this process is counted. It may
never report an appraisal that was not accepted: such a row ends the run.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright_attest import BUILT_IN, AttestationResult, Endorsements, Evidence, Kind, Known, appraise
from sealwright_attest.binding import extra_data, report_data
from sealwright_attest.keys import Algorithm
from sealwright_attest.synthetic.nitro import Enclave
from sealwright_attest.synthetic.snp import Guest
from sealwright_attest.synthetic.tdx import Td
from sealwright_attest.synthetic.tpm import Quote, new_attestation_key
from sealwright_attest.synthetic.world import new_world

Run = Callable[[], AttestationResult]
DEFAULT_VECTORS = Path(__file__).resolve().parents[1].parent / "shared" / "vectors"


@dataclass(frozen=True)
class Row:
    """One line of the table: what is appraised, and the aim in CPU milliseconds."""

    platform: str
    evidence: str
    aim_ms: float | None
    run: Run


@dataclass(frozen=True)
class Genuine:
    """Genuine evidence by its file names, with the time and nonce under which it is accepted."""

    platform: str
    kind: Kind
    aim_ms: float | None
    name: str
    now: str
    nonce: bytes | None = None
    certificates: tuple[str, ...] = ()
    collateral: str = ""

    def row(self, folder: Path) -> Row:
        """Read the files and return what to measure."""

        def read(name: str) -> bytes:
            return (folder / name).read_bytes()

        endorsements = Endorsements(
            tuple(read(one) for one in self.certificates),
            (),
            read(self.collateral) if self.collateral else None,
        )
        evidence = Evidence(self.kind, read(self.name), endorsements)
        now = datetime.fromisoformat(self.now).replace(tzinfo=UTC)

        def run() -> AttestationResult:
            return appraise(evidence, nonce=self.nonce, policy=BUILT_IN, now=now)

        return Row(self.platform, f"genuine {self.name}", self.aim_ms, run)


GENUINE = (
    Genuine(
        "SEV-SNP", Kind.SEV_SNP, 2, "snp/milan_v2.report.bin", "2025-01-01", None, ("snp/milan_v2.vcek.der",)
    ),
    Genuine(
        "SEV-SNP", Kind.SEV_SNP, 2, "snp/turin_v5.report.bin", "2026-01-01", None, ("snp/turin_v5.vcek.der",)
    ),
    Genuine(
        "TDX",
        Kind.TDX,
        2,
        "tdx/v5_uptodate.quote.bin",
        "2026-03-25",
        None,
        (),
        "tdx/fmspc90c06f.collateral.json",
    ),
    Genuine("Azure SNP", Kind.AZURE, None, "azure/snp_milan_v2.json", "2024-01-01", b"challenge"),
    Genuine("Nitro", Kind.NITRO, 6, "nitro/production.cbor", "2022-10-13T08:58:02"),
    Genuine(
        "TPM, with event log and chain",
        Kind.TPM2,
        None,
        "tpm/gce_cos85_nonce9009.pb",
        "2025-01-01",
        b"\x90\x09",
    ),
)


def synthetic_rows() -> Iterator[Row]:
    """Yield bound evidence with a live nonce, under roots made on the spot."""
    world, now, nonce = new_world(), datetime(2026, 6, 1, tzinfo=UTC), bytes(32)
    key = Ed25519PrivateKey.generate().public_key()
    identity = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    bound = report_data(nonce, identity)
    ecdsa, rsa = new_attestation_key(), new_attestation_key(Algorithm.RSA_SHA256)
    known = Known(enrolled=frozenset({ecdsa.name(), rsa.name()}))
    quote = Quote(extra_data(nonce, identity))
    cases = [
        (
            "SEV-SNP",
            2,
            "synthetic Genoa, bound, RSA 2048 chain",
            world.amd["Genoa"].evidence(Guest(bound), identity),
        ),
        ("TDX", 2, "synthetic v5, bound", world.intel.evidence(Td(bound), now, None, identity)),
        ("Nitro", 6, "synthetic, bound", world.aws.evidence(Enclave(now, nonce, bound), identity)),
        ("TPM quote", 0.5, "synthetic, bound, ECDSA P-256", ecdsa.evidence(quote, identity)),
        ("TPM quote", 0.5, "synthetic, bound, RSA 2048", rsa.evidence(quote, identity)),
    ]

    def make(evidence: Evidence) -> Run:
        return lambda: world.appraise(evidence, nonce=nonce, now=now, known=known)

    for name, aim, label, evidence in cases:
        yield Row(name, label, aim, make(evidence))


def measure(row: Row, seconds: float) -> dict[str, Any]:
    """Return CPU milliseconds per appraisal: the least of five slices, and the mean over all."""
    for _ in range(5):
        if not row.run().accepted:
            raise SystemExit(f"{row.platform} ({row.evidence}) was not accepted: {row.run().codes}")
    slices, total, count = [], 0.0, 0
    for _ in range(5):
        begin, done = time.process_time(), 0
        while (spent := time.process_time() - begin) < seconds / 5:
            row.run()
            done += 1
        slices.append(spent / done)
        total, count = total + spent, count + done
    return {
        "platform": row.platform,
        "evidence": row.evidence,
        "cpu_ms": round(1000 * total / count, 3),
        "cpu_ms_best_slice": round(1000 * min(slices), 3),
        "appraisals_per_second": round(count / total, 1),
        "appraisals": count,
        "aim_cpu_ms": row.aim_ms,
    }


def main() -> None:
    """Measure every row and print the tables."""
    parser = argparse.ArgumentParser(description="Appraisals per second per platform, on one core.")
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU seconds per row")
    parser.add_argument(
        "--vectors", type=Path, default=DEFAULT_VECTORS, help="folder of the genuine evidence"
    )
    parser.add_argument("--json", type=Path, help="write the JSON here as well")
    options = parser.parse_args()
    folder = options.vectors / "attestation"
    rows = [one.row(folder) for one in GENUINE] if folder.is_dir() else []
    if not rows:
        sys.stderr.write(f"no genuine evidence at {folder}: synthetic rows only\n")
    found = {
        "benchmark": "attest",
        "python": platform.python_version(),
        "cryptography": version("cryptography"),
        "dcap_qvl": version("dcap-qvl"),
        "cpu_seconds_per_row": options.seconds,
        "rows": [measure(row, options.seconds) for row in (*rows, *synthetic_rows())],
    }
    text = json.dumps(found, indent=2) + "\n"
    if options.json:
        options.json.write_text(text)
    print(text)
    print("| platform | evidence | CPU ms | best slice | aim | appraisals/s |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for row in found["rows"]:
        cells = ("platform", "evidence", "cpu_ms", "cpu_ms_best_slice", "aim_cpu_ms", "appraisals_per_second")
        print("| " + " | ".join("" if row[cell] is None else str(row[cell]) for cell in cells) + " |")


if __name__ == "__main__":
    main()
