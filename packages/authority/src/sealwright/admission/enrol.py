"""What an operator enrols of a plain TPM: the name of its attestation key, and the registers as they are now.

The key proves itself first: the evidence must be a fresh quote by a restricted key, bound to the signer that
asked. Without an endorser what is enrolled is the operator's word that this TPM is theirs; with one the TPM
itself proves, by credential activation, that the key is in the TPM that its maker certified. May never write
a policy that the evidence at hand would not pass.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import sealwright_attest as attest
import sealwright_attest.x509 as attest_x509
from sealwright.admission.model import Evidence
from sealwright.errors import Misconfigured, Refused
from sealwright_attest.policy.parse import RESETTABLE
from sealwright_attest.verifiers.tpm_structures import parse_public


class EndorsedTpm(Protocol):
    """The TPM that made the evidence, as its machine can ask it."""

    def certificate(self) -> bytes:
        """The certificate (DER) of its endorsement key. `Refused` (`nothing_to_enrol`) when it has none."""
        ...

    def activate(self, credential: bytes, secret: bytes) -> bytes:
        """The answer to a challenge. `Refused` (`not_activated`) when it cannot be solved."""
        ...


@dataclass(frozen=True, slots=True)
class Endorser:
    """How an attestation key is activated: by which TPM, to which roots, over which intermediates (DER)."""

    tpm: EndorsedTpm
    roots: tuple[bytes, ...]
    intermediates: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, tpm: EndorsedTpm, pem: bytes) -> Endorser:
        """From the certificates of the TPM's maker: those by themselves are roots.

        Raises:
            Misconfigured: `bad_endorsements`: there is no root among them.
        """
        try:
            found = [attest_x509.parse_certificate(der) for der in attest_x509.split_pem(pem)]
        except attest.Refused as error:
            raise Misconfigured("bad_endorsements", f"not certificates in PEM: {error}") from error
        roots = tuple(one.raw for one in found if one.issuer == one.subject)
        if not roots:
            raise Misconfigured("bad_endorsements", "no root (a certificate by itself) is among them")
        return cls(tpm, roots, tuple(one.raw for one in found if one.issuer != one.subject))


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A TPM's attestation key (name in hex), the values of the chosen registers, and a policy of both."""

    name: str
    pcrs: dict[str, str]
    policy: str


def enrolment(
    evidence: Evidence, registers: Sequence[int], now: float, endorser: Endorser | None = None
) -> Enrolment:
    """The enrolment of the TPM that made this evidence: on the operator's word, or activated against its
    endorsement key where there is an endorser.

    Raises:
        Refused: `nothing_to_enrol`: it is not a plain TPM's; `resettable_register`; `not_activated`: its
            endorsement key is not certified, or the attestation key is not in the same TPM;
            `evidence_refused`: it does not pass the policy that would come of it.
    """
    if resettable := sorted(RESETTABLE & set(registers)):
        text = f"anyone can reset PCR {resettable[0]}, so its value proves nothing; choose another"
        raise Refused("resettable_register", text)
    try:
        bundle = attest.parse_bundle(evidence.evidence.encode())
    except attest.Refused as error:
        raise Refused("nothing_to_enrol", "there is no evidence to enrol", error.public) from error
    if bundle.kind is not attest.Kind.TPM2:
        text = f"{bundle.kind} evidence rests on its maker's word; only the key of a plain TPM is enrolled"
        raise Refused("nothing_to_enrol", text)
    try:
        body = json.loads(bundle.unverified_body)
        public = base64.b64decode(body["ak_public"])
        name = parse_public(public).name.hex()
        pcrs = {f"pcr{index}": str(body["pcrs"][str(index)]) for index in registers}
    except (attest.Refused, ValueError, KeyError, TypeError) as error:
        raise Refused("nothing_to_enrol", "the evidence has no such key or register", str(error)) from error
    at, nonce = datetime.fromtimestamp(now, UTC), bytes.fromhex(evidence.nonce)
    chain = _activated(public, endorser, at) if endorser is not None else ()
    made = Enrolment(name, pcrs, policy_text(name, pcrs, endorser, chain))
    result = attest.appraise(bundle, nonce=nonce, policy=attest.parse_policy(made.policy.encode()), now=at)
    if not result.accepted:
        raise Refused("evidence_refused", f"the evidence is refused: {' '.join(result.codes)}")
    return made


def _activated(public: bytes, endorser: Endorser, at: datetime) -> tuple[bytes, ...]:
    """The certificates from the endorsement key up, once its TPM has solved a challenge for this key."""
    certificate = endorser.tpm.certificate()
    try:
        rules = attest.parse_policy(policy_text("00" * 34, {}, endorser).encode())
        challenge = attest.open_challenge(
            certificate, public, policy=rules, now=at, unverified_intermediates=endorser.intermediates
        )
        answer = endorser.tpm.activate(challenge.credential, challenge.encrypted_secret)
        challenge.require_answer(answer)
    except (attest.Refused, attest.Misconfigured) as error:
        raise Refused("not_activated", f"the attestation key is not activated: {error}") from error
    return certificate, *endorser.intermediates


def policy_text(
    name: str, pcrs: dict[str, str], endorser: Endorser | None = None, chain: Sequence[bytes] = ()
) -> str:
    """A policy document (docs/formats/attestation-policy.md) for this key and these values."""
    lines = ["schema = 1", 'name = "enrolled"', 'revision = "1"', 'platforms = ["tpm2"]']
    lines += ['level = "virtual-tpm"', "", "[tpm2]"]
    if endorser is None:
        lines += ['ak = ["enrolled"]', f'enrolled = ["{name}"]']
    else:
        pems = ", ".join(f"'''\n{to_pem(der)}\n'''" for der in endorser.roots)
        lines += ['ak = ["activated"]', f"roots = [{pems}]"]
    if chain:
        text = "\n".join(to_pem(der) for der in chain)
        lines += ["[[tpm2.activated]]", f'ak = "{name}"', f"certificates = '''\n{text}\n'''"]
    return "\n".join(
        [*lines, "", "[tpm2.pcrs]", *(f'{pcr} = ["{value}"]' for pcr, value in pcrs.items()), ""]
    )


def to_pem(certificate: bytes) -> str:
    """A certificate (DER) in PEM, without a line end (RFC 7468)."""
    body = base64.b64encode(certificate).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----"])
