"""Playbooks: what an incident commander does, in which order, and why. Values only; nothing here acts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `changes`: it takes something away, and is done only when asked for."""

    name: str
    title: str
    why: str
    command: str
    changes: bool = False


STORM_0558 = (
    Step(
        "detect",
        "Look at the incident",
        "A never_issued or mismatch alarm is a contradiction, not a guess: a key is in other hands.",
        "sealwright incidents show {incident}",
    ),
    Step(
        "contain",
        "Have validators of the realm ask the ledger first",
        "Forged tokens are refused from then on, whatever key they are signed with; genuine ones are not.",
        "sealwright respond act require_strict {realm} --apply",
        changes=True,
    ),
    Step(
        "scope",
        "List who was touched, and who could have been",
        "Before the revocation, so that nobody waits for it; again after it, for what came in meanwhile.",
        "sealwright respond scope --key {key} --format html --out scope.html",
    ),
    Step(
        "revoke",
        "Revoke the key",
        "Its private half is destroyed, every connected validator learns of it, a successor signs.",
        "sealwright respond act revoke_key {key} --reason key_compromise --apply",
        changes=True,
    ),
    Step(
        "verify",
        "See that validators have learnt of it",
        "A silent validator fails closed when its manifest expires; one that is lax shows as key_revoked.",
        "sealwright adoption",
    ),
    Step(
        "notify",
        "Tell each affected tenant its own part",
        "What is known, what is not, what to do. Two operators agree to the exact words.",
        "sealwright respond notify --key {key} --incident {incident} --out notices --operator NAME --apply",
        changes=True,
    ),
    Step(
        "recover",
        "Clients get tokens again; take the strict mode back",
        "The successor was staged before. Strict mode may stay as long as it is affordable.",
        "sealwright respond relax {realm} --apply",
        changes=True,
    ),
)
PLAYBOOKS = {"storm-0558": STORM_0558}
