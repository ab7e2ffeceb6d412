"""A signer that nobody admitted signs tokens all the same: a relying party's validator must not believe it.

The validator is the one that relying parties install, fed by hand. Two real signer processes: one on the
genuine (synthetic) chip, one on an ordinary machine.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sealwright.admission.documents import (
    ADMISSION_TYPE,
    ROOT_TYPE,
    DocumentSigner,
    from_b64u,
    new_private_key,
    read_signer,
)
from sealwright.admission.model import Candidate
from sealwright.config import signer_policy
from sealwright.drills.model import Finding
from sealwright.drills.rogue_signer.gate import CONFIG, IMAGE, NONCE_BYTES, Control, Gate
from sealwright.supervisor.signer_process import ClientSignerLauncher, ClientSignerProcess
from sealwright_attest.synthetic import snp
from sealwright_signer.client import Connection
from sealwright_validate import Expect, Refused, Trust, Validator

REALM, HOUR = "enterprise", 3_600
AUDIENCE = CONFIG.realms[REALM].audiences[0]
ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signer made: a token, and a served manifest that names its key."""

    token: str
    manifest: bytes


def run(gate: Gate) -> Iterator[Finding]:
    """The admitted one's token passes where hardware is demanded; the other's passes nowhere."""
    thief = read_signer(ADMISSION_TYPE, new_private_key(), "the thief's key")
    believed = [gate.key.jwk, *([thief.jwk] if Control.ADMITTED_ONLY in gate.flaws else [])]
    root = _root(believed, gate)
    processes = [_launch(gate, place, thief) for place in (0, 1)]
    try:
        who, other = (process.introduce(secrets.token_bytes(NONCE_BYTES))[0] for process in processes)
        evidence = gate.report(who, gate.nonce(), snp.Guest(measurement=IMAGE))
        admission = gate.admit(who, evidence, processes[0].policy_digest)
        genuine = _used(processes[0], admission.statement, gate, 1)
        forged = _used(processes[1], thief.compact(_statement(other, gate, "hardware")), gate, 2)
        weak = _used(processes[1], gate.key.compact(_statement(other, gate, "none")), gate, 3)
    finally:
        for process in processes:
            process.stop()
    observed = _verdict(root, genuine.token, genuine.manifest)
    attack = "the admitted signer's token, where a relying party demands hardware"
    yield Finding("9-admitted", attack, None, ACCEPTED, observed, held=observed == ACCEPTED)
    observed = _verdict(root, forged.token, genuine.manifest, forged.manifest)
    attack = "an unadmitted signer publishes its own manifest and shows its token"
    expected, held = "refused", observed.startswith("refused")
    yield Finding("9-unadmitted-token", attack, Control.ADMITTED_ONLY, expected, observed, held)
    level = "none" if Control.EVIDENCE_DEMANDED in gate.flaws else "hardware"
    observed = _verdict(root, weak.token, weak.manifest, level=level)
    attack = "a signer that showed no evidence signs for a relying party that demands hardware"
    expected = "refused: evidence_too_low"
    held = observed == expected
    yield Finding("9-weak-evidence", attack, Control.EVIDENCE_DEMANDED, expected, observed, held)


def _launch(gate: Gate, place: int, thief: DocumentSigner) -> ClientSignerProcess:
    """The second one is the thief's: it believes admissions of the thief's own as well."""
    keys = [gate.key.jwk, *([thief.jwk] if place else [])]
    return ClientSignerLauncher(gate.directory, gate.directory).launch(place, signer_policy(CONFIG, keys, 0))


def _root(admission_keys: list[dict[str, str]], gate: Gate) -> bytes:
    key = read_signer(ROOT_TYPE, new_private_key(), "the drill's root")
    now = int(gate.clock.now())
    roles = {"root": [key.jwk], "admission": admission_keys}
    named = {name: {"keys": keys, "threshold": 1} for name, keys in roles.items()}
    return key.general({"version": 1, "issued_at": now, "expires_at": now + HOUR, "roles": named})


def _statement(who: Candidate, gate: Gate, level: str) -> dict[str, Any]:
    now = int(gate.clock.now())
    named = {"incarnation": who.log_id, "origin": who.origin, "jwk": who.jwk, "evidence": level}
    digests = {"result": "00" * 32, "policy": "00" * 32}
    return {**named, **digests, "admitted_at": now, "expires_at": now + 24 * HOUR}


def _used(process: ClientSignerProcess, admission: str, gate: Gate, version: int) -> Signed:
    return asyncio.run(_use(process, admission, int(gate.clock.now()), version))


async def _use(process: ClientSignerProcess, admission: str, now: int, version: int) -> Signed:
    connection = await Connection.open(process.socket)
    try:
        hello = await connection.hello()
        await connection.ack(hello.size)
        until = now + CONFIG.keys.use
        window = (now, until, until + CONFIG.realms[REALM].max_lifetime + 60)
        if hello.keys:  # its key of before is active still
            made = hello.keys[-1]
        else:
            key = await connection.make_key(REALM, "ES256", *window)
            await connection.activate(key.kid)
            made = {"announcement": key.announcement, "ledger_index": key.ledger_index}
        listed = {"announcement": made["announcement"], "ledger_index": made["ledger_index"]}
        listed |= {"admission": admission, "status": "active"}
        fields: dict[str, Any] = {"version": version, "life": 60, "keys": [listed], "admissions": [admission]}
        document, _ = await connection.manifest(**fields, revocations=[], tombstones=[], strict_realms=[])
        kid = json.loads(from_b64u(made["announcement"].split(".")[1]))["kid"]
        request = (REALM, kid, "at+jwt", "c", "c", [AUDIENCE], "", 300, "00" * 32, None)
        (token,), _ = await connection.sign([request])
    finally:
        await connection.close()
    served = {"root_version": 1, "admission": admission, "manifest": document}
    return Signed(str(token), json.dumps(served).encode())


def _verdict(root: bytes, token: str, *manifests: bytes, level: str = "hardware") -> str:
    """What a validator says that pinned the root and was given these manifests, one after the other."""
    trust = Trust.fed(root=root)
    refusals = []
    for manifest in manifests:
        try:
            trust.feed(manifest)
        except Refused as refusal:
            refusals.append(refusal.reason.value)
    try:
        Validator(trust=trust).validate(token, Expect(audience=AUDIENCE, realm=REALM, evidence=level))
    except Refused as refusal:
        return f"refused: {', '.join([*refusals, refusal.reason.value])}"
    return ACCEPTED
