"""What importing a validator costs: time, and memory that it adds to a bare interpreter and to a service.

Each figure comes from interpreters of their own. A service is an interpreter that holds what an HTTP service
in Python holds (asyncio, ssl with its trust store, HTTP, JSON); nothing of it is counted.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from harness.model import Cell, Floor, Setting, Table, median

BARE, SERVICE = "", "import asyncio, hashlib, http.client, json, logging, ssl; ssl.create_default_context()"
STATEMENTS = {
    "sealwright_validate": "import sealwright_validate",
    "the same, one token validated": "validate()",
    "cryptography alone": "from cryptography.hazmat.primitives.asymmetric import ec",
    "PyJWT": "import jwt; from jwt import PyJWK; from cryptography.hazmat.primitives.asymmetric import ec",
    "joserfc": "from joserfc import jwt, jwk",
    "jwcrypto": "from jwcrypto import jwt, jwk",
    "python-jose": "from jose import jwt, jwk",
}
OURS, VALIDATED = list(STATEMENTS)[:2]
IMPORT_MOST, MEMORY_MOST = 60.0, 15.0  # milliseconds, MiB
PROGRAM = """
import sys, time
def resident():
    with open("/proc/self/statm") as held:
        return int(held.read().split()[1]) * 4096
def validate():
    from sealwright_validate import Expect, Trust, Validator
    root, served, token = sys.stdin.read().splitlines()
    trust = Trust.fed(root=root.encode())
    trust.feed(served.encode())
    expect = Expect(audience="https://mail.example", realm="enterprise")
    Validator(trust=trust).validate(token, expect)
exec({before!r})
held, cpu, wall = resident(), time.process_time(), time.perf_counter()
exec({statement!r})
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(wall * 1e3, cpu * 1e3, (resident() - held) / 2**20)
"""
NOTES = (
    "Import: the median of several fresh interpreters; bytecode is compiled beforehand.",
    "A service holds asyncio, ssl with its trust store, HTTP and JSON before; nothing of it is counted.",
)


def once(statement: str, before: str, given: str) -> tuple[float, float, float]:
    """Wall ms, CPU ms and MiB added by a statement in a fresh interpreter."""
    program = PROGRAM.format(before=before, statement=statement)
    ran = subprocess.run(
        [sys.executable, "-I", "-c", program], input=given, capture_output=True, text=True, check=True
    )
    wall, cpu, memory = map(float, ran.stdout.split())
    return wall, cpu, memory


def given() -> str:
    """A root, a manifest and a token in three lines."""
    import time

    from sealwright_validate.conformance.authority import ThrowawayAuthority

    authority = ThrowawayAuthority(time.time())
    token = authority.token(authority.make_key())
    lines = [json.dumps(json.loads(text)) for text in (authority.roots[0], authority.served(life=600))]
    return "\n".join([*lines, token])


def measured_footprint(setting: Setting) -> tuple[Table, Sequence[Floor]]:
    """Import time and memory of ours and of others."""
    times, lines = (2 if setting.quick else 9), given()
    rows: list[tuple[Cell, ...]] = []
    found: dict[str, list[float]] = {}
    for name, statement in STATEMENTS.items():
        setting.say(f"footprint of {name}")
        bare = [once(statement, BARE, lines) for _ in range(times)]
        service = [once(statement, SERVICE, lines) for _ in range(times)]
        figures = [median([each[at] for each in bare]) for at in range(3)]
        figures.append(median([each[2] for each in service]))
        found[name] = figures
        rows.append((name, *figures))
    columns = ("statement", "ms", "CPU ms", "MiB on a bare interpreter", "MiB on a service")
    floors = (
        Floor("60 ms by importing sealwright_validate (CPU)", 1.0, IMPORT_MOST / found[OURS][1]),
        Floor("15 MiB by memory added to a service", 1.0, MEMORY_MOST / found[VALIDATED][3]),
        Floor("15 MiB by memory added to a bare interpreter", 1.0, MEMORY_MOST / found[OURS][2]),
    )
    return Table("Import time and memory added", columns, tuple(rows)), floors
