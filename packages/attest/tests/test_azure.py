"""Azure under synthetic roots: the vTPM quote and the hardware report must be of one machine, and fresh."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime

import pytest

from sealwright_attest import (
    BUILT_IN,
    Code,
    Endorsements,
    Evidence,
    EvidenceLevel,
    Kind,
    Known,
    Policy,
    extra_data,
)
from sealwright_attest.keys import Algorithm
from sealwright_attest.policy.document import Measurements
from sealwright_attest.synthetic.snp import DEBUG, PLAIN_POLICY, Guest
from sealwright_attest.synthetic.tdx import Td
from sealwright_attest.synthetic.tpm import (
    PCRS,
    AttestationKey,
    Quote,
    azure_body,
    new_attestation_key,
    runtime_document,
)
from sealwright_attest.synthetic.world import World


@dataclass(frozen=True)
class Machine:
    world: World
    ak: AttestationKey
    now: datetime
    nonce: bytes
    identity: bytes

    @property
    def quote(self) -> Quote:
        return Quote(extra_data(self.nonce, self.identity))

    def hashed(self, runtime: bytes) -> bytes:
        return hashlib.sha256(runtime).digest().ljust(64, b"\0")

    def snp(
        self, guest: Guest, runtime: bytes, quote: Quote | None = None, ak: AttestationKey | None = None
    ) -> Evidence:
        platform = self.world.amd["Milan"]
        made = guest if any(guest.report_data) else replace(guest, report_data=self.hashed(runtime))
        body = azure_body(
            platform.report(made),
            runtime,
            ak or self.ak,
            quote or self.quote,
            certificate=platform.certificate(),
        )
        return Evidence(Kind.AZURE, body, unverified_identity_key=self.identity)

    def tdx(self, td: Td, runtime: bytes, inner: bytes | None = None) -> Evidence:
        made = replace(td, report_data=self.hashed(runtime)) if not any(td.report_data) else td
        report = bytes(128) + (made.report_data if inner is None else inner) + bytes(1024 - 192)
        body = azure_body(report, runtime, self.ak, self.quote, td_quote=self.world.intel.quote(made))
        endorsements = Endorsements(collateral=self.world.intel.collateral(self.now))
        return Evidence(Kind.AZURE, body, endorsements, unverified_identity_key=self.identity)

    def codes(
        self, evidence: Evidence, policy: Policy = BUILT_IN, known: Known | None = None
    ) -> tuple[Code, ...]:
        return self.world.appraise(
            evidence, nonce=self.nonce, now=self.now, policy=policy, known=known or Known()
        ).codes


@pytest.fixture(scope="session")
def ak() -> AttestationKey:
    return new_attestation_key(Algorithm.RSA_SHA256)


@pytest.fixture
def machine(world: World, ak: AttestationKey, now: datetime, nonce: bytes, identity: bytes) -> Machine:
    return Machine(world, ak, now, nonce, identity)


def test_fresh_bound_machines_of_both_kinds_are_accepted_as_hardware(
    machine: Machine, ak: AttestationKey
) -> None:
    runtime = runtime_document(ak)
    for evidence in (machine.snp(Guest(), runtime), machine.tdx(Td(), runtime)):
        result = machine.world.appraise(evidence, nonce=machine.nonce, now=machine.now)
        assert result.codes == ()
        assert result.level is EvidenceLevel.HARDWARE
        assert result.identity_key == machine.identity
        assert result.claims.instance["vm_id"].endswith("1")


def test_runtime_document_must_be_the_one_in_the_report(machine: Machine, ak: AttestationKey) -> None:
    runtime = runtime_document(ak)
    other = Guest(report_data=machine.hashed(runtime + b" "))
    assert machine.codes(machine.snp(other, runtime)) == (Code.HASH_MISMATCH,)


def test_half_of_report_data_behind_the_hash_must_be_zero(machine: Machine, ak: AttestationKey) -> None:
    runtime = runtime_document(ak)
    dirty = Guest(report_data=machine.hashed(runtime)[:63] + b"\x01")
    assert machine.codes(machine.snp(dirty, runtime)) == (Code.HASH_MISMATCH,)


def test_quote_by_another_key_than_the_paravisors_is_refused(machine: Machine, ak: AttestationKey) -> None:
    stranger = new_attestation_key(Algorithm.RSA_SHA256)
    evidence = machine.snp(Guest(), runtime_document(ak), ak=stranger)
    assert machine.codes(evidence) == (Code.SIGNATURE_INVALID,)


def test_old_quote_is_refused_although_the_report_is_genuine(machine: Machine, ak: AttestationKey) -> None:
    evidence = machine.snp(Guest(), runtime_document(ak), Quote(b"an older nonce"))
    assert machine.codes(evidence) == (Code.BINDING_MISMATCH,)


def test_debuggable_or_unprivileged_paravisor_is_refused(machine: Machine, ak: AttestationKey) -> None:
    runtime = runtime_document(ak)
    assert machine.codes(machine.snp(Guest(policy=PLAIN_POLICY | DEBUG), runtime)) == (Code.DEBUG,)
    assert machine.codes(machine.snp(Guest(vmpl=2), runtime)) == (Code.VMPL,)


def test_td_report_of_another_td_is_refused(machine: Machine, ak: AttestationKey) -> None:
    evidence = machine.tdx(Td(), runtime_document(ak), inner=b"\x01" * 64)
    assert machine.codes(evidence) == (Code.HASH_MISMATCH,)


def test_two_attestation_keys_in_the_runtime_document_are_refused(
    machine: Machine, ak: AttestationKey
) -> None:
    table = json.loads(runtime_document(ak))
    none_at_all: list[object] = []
    for keys in (none_at_all, table["keys"] * 2):
        runtime = json.dumps({**table, "keys": keys}).encode()
        assert machine.codes(machine.snp(Guest(), runtime)) == (Code.AK_UNTRUSTED,)


def test_secure_boot_and_machine_can_be_asked_for(machine: Machine, ak: AttestationKey) -> None:
    evidence = machine.snp(Guest(), runtime_document(ak, secure_boot=False))
    rules = replace(BUILT_IN.azure, configuration={"secure-boot": True})
    assert machine.codes(evidence, replace(BUILT_IN, azure=rules)) == (Code.CONFIGURATION,)
    assert machine.codes(evidence) == ()
    elsewhere = replace(BUILT_IN.azure, vm_ids=("FFFFFFFF-0000-0000-0000-000000000001",))
    assert machine.codes(evidence, replace(BUILT_IN, azure=elsewhere)) == (Code.INSTANCE_REFUSED,)


def test_guest_is_judged_by_its_pcrs_and_the_paravisor_alone_is_not_enough(
    machine: Machine, ak: AttestationKey
) -> None:
    evidence = machine.snp(Guest(id_key_digest=b"\x77" * 48), runtime_document(ak))
    signed = Measurements(signers=("77" * 48,))
    assert machine.codes(evidence, replace(BUILT_IN, measurements=signed)) == (Code.MEASUREMENT_UNKNOWN,)
    right = replace(BUILT_IN.azure, pcrs={"pcr11": (PCRS[11].hex(),)})
    assert machine.codes(evidence, replace(BUILT_IN, measurements=signed, azure=right)) == ()
    wrong = replace(BUILT_IN.azure, pcrs={"pcr11": ("00" * 32,)})
    assert machine.codes(evidence, replace(BUILT_IN, measurements=signed, azure=wrong)) == (Code.PCR_VALUE,)


def test_reboot_since_admission_is_noticed(machine: Machine, ak: AttestationKey) -> None:
    evidence = machine.snp(Guest(), runtime_document(ak))
    assert machine.codes(evidence, known=Known(reset_count=7, restart_count=0)) == ()
    assert machine.codes(evidence, known=Known(reset_count=6)) == (Code.REBOOTED,)


@pytest.mark.parametrize(
    ("at", "value", "code"),
    [
        (0, b"HCLB", Code.MALFORMED),
        (4, b"\x03", Code.VERSION_UNKNOWN),
        (12, b"\x01", Code.MALFORMED),
        (16, b"\x01", Code.MALFORMED),
        (8, b"\x00", Code.MALFORMED),
        (1216 + 12, b"\x02", Code.VERSION_UNKNOWN),
        (1216 + 8, b"\x03", Code.VERSION_UNKNOWN),
        (1216 + 16, b"\xff", Code.MALFORMED),
        (2599, b"\x01", Code.MALFORMED),
    ],
)
def test_hcl_report_of_another_form_is_refused(
    machine: Machine, ak: AttestationKey, at: int, value: bytes, code: Code
) -> None:
    evidence = machine.snp(Guest(), runtime_document(ak))
    table = json.loads(evidence.unverified_body)
    from sealwright_attest.octets import b64url

    hcl = bytearray(b64url(table["hcl_report"], "hcl"))
    hcl[at : at + len(value)] = value
    table["hcl_report"] = list(hcl)
    broken = replace(evidence, unverified_body=json.dumps(table).encode())
    assert machine.codes(broken) == (code,)
