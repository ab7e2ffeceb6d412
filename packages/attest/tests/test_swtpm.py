"""A real software TPM, end to end: quotes by it, and what is refused although it is a TPM that says so."""

import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sealwright_attest import (
    BUILT_IN,
    ActivatedKey,
    AttestationResult,
    Code,
    Evidence,
    EvidenceLevel,
    Kind,
    Known,
    Policy,
    Refused,
    appraise,
    extra_data,
    open_challenge,
)
from sealwright_attest.clock import current_time
from sealwright_attest.synthetic.authority import to_pem
from sealwright_attest.synthetic.tpm import Quote, quote_message
from sealwright_attest.verifiers.tpm_structures import parse_public
from sealwright_attest.x509 import split_pem

TOOLS = ("swtpm", "swtpm_setup", "tpm2_createek", "tpm2_createak", "tpm2_quote", "tpm2_pcrread", "tpm2_sign")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.enable_socket,
    pytest.mark.skipif(
        bool(MISSING), reason=f"no software TPM: install swtpm and tpm2-tools (absent: {MISSING})"
    ),
]
ALL = tuple(range(16))
NONCE = b"\x5a" * 32
NOW = datetime(2035, 1, 1, tzinfo=UTC)


@dataclass
class SoftwareTpm:
    folder: Path
    port: int
    keys: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, standard_input: bytes | None = None) -> bytes:
        environment = {
            "PATH": os.defpath,
            "TPM2TOOLS_TCTI": f"swtpm:host=127.0.0.1,port={self.port}",
            "TSS2_LOG": "all+NONE",
        }
        ran = subprocess.run(
            words, cwd=self.folder, env=environment, input=standard_input, capture_output=True, check=False
        )
        assert ran.returncode == 0, f"{words}: {ran.stderr.decode()}"
        return ran.stdout

    def tool(self, name: str, *words: str) -> bytes:
        found = self.run(f"tpm2_{name}", *words)
        self.run("tpm2_flushcontext", "-t")
        return found

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def create_endorsement_key(self) -> None:
        self.tool("createek", "-G", "rsa", "-c", "ek.ctx", "-u", "ek.pub")

    def create_attestation_key(self, name: str) -> None:
        self.tool(
            "createak", "-C", "ek.ctx", "-G", "ecc", "-g", "sha256", "-s", "ecdsa",
            "-c", f"{name}.ctx", "-u", f"{name}.pub", "-f", "tss",
        )  # fmt: skip

    def public(self, name: str) -> bytes:
        """The TPMT_PUBLIC inside the TPM2B_PUBLIC that the tools write."""
        return self.read(f"{name}.pub")[2:]

    def name(self, key: str) -> str:
        return parse_public(self.public(key)).name.hex()

    def extend(self, index: int, data: bytes) -> None:
        self.tool("pcrextend", f"{index}:sha256={hashlib.sha256(data).hexdigest()}")

    def pcrs(self, indices: Sequence[int]) -> dict[int, bytes]:
        self.tool("pcrread", "sha256:" + ",".join(map(str, indices)), "-o", "pcrs.bin")
        raw = self.read("pcrs.bin")
        return {index: raw[32 * place : 32 * place + 32] for place, index in enumerate(indices)}

    def quote(self, key: str, nonce: bytes, indices: Sequence[int] = ALL) -> tuple[bytes, bytes]:
        listed = "sha256:" + ",".join(map(str, indices))
        output = ("-m", "q.msg", "-s", "q.sig", "-g", "sha256")
        self.tool("quote", "-c", f"{key}.ctx", "-l", listed, "-q", nonce.hex(), *output)
        return self.read("q.msg"), self.read("q.sig")

    def evidence(
        self, key: str, nonce: bytes, identity: bytes = b"", indices: Sequence[int] = ALL
    ) -> Evidence:
        message, signature = self.quote(key, extra_data(nonce, identity) if identity else nonce, indices)
        return evidence(message, signature, self.public(key), self.pcrs(indices), identity)

    def activate(self, key: str, credential: bytes, secret: bytes) -> bytes:
        head = (0xBADCC0DE).to_bytes(4, "big") + (1).to_bytes(4, "big")
        (self.folder / "cred.blob").write_bytes(head + credential + secret)
        self.run("tpm2_startauthsession", "--policy-session", "-S", "s.ctx")
        try:
            self.run("tpm2_policysecret", "-S", "s.ctx", "-c", "e")
            self.tool(
                "activatecredential", "-c", f"{key}.ctx", "-C", "ek.ctx", "-i", "cred.blob",
                "-o", "answer.bin", "-P", "session:s.ctx",
            )  # fmt: skip
        finally:
            self.run("tpm2_flushcontext", "s.ctx")
        return self.read("answer.bin")


def evidence(
    message: bytes, signature: bytes, public: bytes, pcrs: dict[int, bytes], identity: bytes = b""
) -> Evidence:
    table = {
        "message": base64.b64encode(message).decode(),
        "signature": base64.b64encode(signature).decode(),
        "ak_public": base64.b64encode(public).decode(),
        "pcrs": {str(index): value.hex() for index, value in pcrs.items()},
    }
    return Evidence(Kind.TPM2, json.dumps(table).encode(), unverified_identity_key=identity)


def free_port_pair() -> int:
    """A port whose neighbour is free too: the tools expect the control channel there."""
    for _ in range(50):
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            try:
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    pytest.fail("no two neighbouring free ports")


def set_up(folder: Path) -> None:
    """A new TPM with an EK certificate by a certificate authority of its own, all inside the folder."""
    state, authority = folder / "state", folder / "ca"
    state.mkdir()
    authority.mkdir()
    (folder / "ca.conf").write_text(
        f"statedir = {authority}\nsigningkey = {authority}/signkey.pem\n"
        f"issuercert = {authority}/issuercert.pem\ncertserial = {authority}/serial\n"
    )
    options = folder / "ca.options"
    options.write_text("--platform-manufacturer Synthetic\n--platform-version 1\n--platform-model Test\n")
    tool = shutil.which("swtpm_localca") or "/usr/share/swtpm/swtpm-localca"
    (folder / "setup.conf").write_text(
        f"create_certs_tool = {tool}\ncreate_certs_tool_config = {folder}/ca.conf\n"
        f"create_certs_tool_options = {options}\n"
    )
    subprocess.run(
        ["swtpm_setup", "--tpm2", "--tpmstate", f"dir://{state}", "--create-ek-cert", "--lock-nvram",
         "--overwrite", "--config", str(folder / "setup.conf")],
        check=True,
        capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftwareTpm]:
    folder = tmp_path_factory.mktemp("swtpm")
    set_up(folder)
    port = free_port_pair()
    process = subprocess.Popen(
        ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder / 'state'}",
         "--server", f"type=tcp,port={port},bindaddr=127.0.0.1",
         "--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1", "--flags", "not-need-init,startup-clear"],
    )  # fmt: skip
    try:
        found = SoftwareTpm(folder, port)
        wait_for(port)
        found.create_endorsement_key()
        for name in ("ak", "other"):
            found.create_attestation_key(name)
        yield found
    finally:
        process.terminate()
        process.wait(timeout=10)


def wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            probe.settimeout(0.05)
            if probe.connect_ex(("127.0.0.1", port + 1)) == 0:
                return
        subprocess.run(["sleep", "0.05"], check=True)
    pytest.fail("the software TPM did not start")


def pinned_policy(pcrs: dict[int, bytes]) -> Policy:
    values = {f"pcr{index}": (value.hex(),) for index, value in pcrs.items()}
    return replace(BUILT_IN, tpm=replace(BUILT_IN.tpm, pcrs=values))


def judge(
    tpm: SoftwareTpm, found: Evidence, policy: Policy = BUILT_IN, key: str = "ak", nonce: bytes = NONCE
) -> AttestationResult:
    known = Known(enrolled=frozenset({tpm.name(key)}))
    return appraise(found, nonce=nonce, policy=policy, now=NOW, known=known)


def test_signer_is_admitted_as_virtual_tpm_and_refused_after_one_extend(
    tpm: SoftwareTpm, identity: bytes
) -> None:
    policy = pinned_policy(tpm.pcrs((0, 7, 14)))
    admitted = judge(tpm, tpm.evidence("ak", NONCE, identity), policy)
    assert admitted.codes == ()
    assert admitted.level is EvidenceLevel.VIRTUAL_TPM
    assert admitted.identity_key == identity
    tpm.extend(14, b"a program that was not there at admission")
    after = judge(tpm, tpm.evidence("ak", NONCE, identity), policy)
    assert after.codes == (Code.PCR_VALUE,)
    assert [check.field for check in after.checks if check.fix] == ["register.pcr14"]


def test_replayed_quote_is_refused(tpm: SoftwareTpm, identity: bytes) -> None:
    old = tpm.evidence("ak", NONCE, identity)
    assert judge(tpm, old).accepted
    assert judge(tpm, old, nonce=b"\xa5" * 32).codes == (Code.BINDING_MISMATCH,)


def test_key_swapped_after_attestation_is_refused(tpm: SoftwareTpm, identity: bytes) -> None:
    swapped = replace(tpm.evidence("ak", NONCE, identity), unverified_identity_key=identity[:-1] + b"\x00")
    assert judge(tpm, swapped).codes == (Code.BINDING_MISMATCH,)


def test_quote_by_another_key_of_the_same_tpm_is_refused(tpm: SoftwareTpm) -> None:
    assert judge(tpm, tpm.evidence("other", NONCE)).codes == (Code.AK_UNTRUSTED,)


def test_quote_of_another_selection_is_refused(tpm: SoftwareTpm) -> None:
    policy = pinned_policy(tpm.pcrs((0, 7)))
    assert judge(tpm, tpm.evidence("ak", NONCE, indices=(0, 1, 2)), policy).codes == (Code.PCR_SELECTION,)


def test_resettable_pcrs_presented_as_boot_pcrs_are_refused(tpm: SoftwareTpm) -> None:
    boot = tpm.pcrs((0, 7))
    golden = {0: b"golden zero", 7: b"golden seven"}
    for target, data in zip((16, 23), golden.values(), strict=True):
        tpm.tool("pcrreset", str(target))
        tpm.extend(target, data)
    reset = tpm.pcrs((16, 23))
    wanted = {0: reset[16], 7: reset[23]}
    assert wanted != boot
    message, signature = tpm.quote("ak", NONCE, (16, 23))
    forged = evidence(message, signature, tpm.public("ak"), wanted)
    result = judge(tpm, forged, pinned_policy(wanted))
    assert Code.PCR_SELECTION in result.codes
    assert not result.genuine


def test_forged_quote_by_an_unrestricted_key_is_refused(tpm: SoftwareTpm) -> None:
    tpm.tool("createprimary", "-C", "o", "-g", "sha256", "-G", "ecc", "-c", "prim.ctx")
    tpm.tool(
        "create", "-C", "prim.ctx", "-G", "ecc256:ecdsa-sha256:null", "-u", "free.pub", "-r", "free.priv",
        "-a", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign",
    )  # fmt: skip
    tpm.tool("load", "-C", "prim.ctx", "-u", "free.pub", "-r", "free.priv", "-c", "free.ctx")
    wanted = {0: b"\x01" * 32, 7: b"\x02" * 32}
    message = quote_message(Quote(NONCE, pcrs=wanted))
    (tpm.folder / "forged.msg").write_bytes(message)
    tpm.tool("sign", "-c", "free.ctx", "-g", "sha256", "-s", "ecdsa", "-o", "forged.sig", "forged.msg")
    forged = evidence(message, tpm.read("forged.sig"), tpm.public("free"), wanted)
    result = judge(tpm, forged, pinned_policy(wanted), key="free")
    assert result.codes == (Code.AK_UNFIT,)


def ek_roots(tpm: SoftwareTpm) -> tuple[bytes, list[bytes], str]:
    """The EK certificate, its issuer's intermediates, and the root, as the TPM's own authority made them."""
    tpm.tool("nvread", "0x01c00002", "-o", "ek.der")
    issuer = split_pem(tpm.read("ca/issuercert.pem"))
    root = split_pem(tpm.read("ca/swtpm-localca-rootca-cert.pem"))
    return tpm.read("ek.der"), issuer, to_pem(*root)


def test_activated_key_is_trusted_and_no_other_one_is(tpm: SoftwareTpm) -> None:
    certificate, issuer, root = ek_roots(tpm)
    policy = replace(BUILT_IN, tpm=replace(BUILT_IN.tpm, ak=("activated",), roots={"local": root}))
    now = current_time() + timedelta(minutes=5)
    challenge = open_challenge(
        certificate, tpm.public("ak"), policy=policy, now=now, unverified_intermediates=issuer
    )
    with pytest.raises(Refused) as refusal:
        challenge.require_answer(b"\x00" * 32)
    assert refusal.value.code is Code.AK_UNTRUSTED
    answer = tpm.activate("ak", challenge.credential, challenge.encrypted_secret)
    name, record = challenge.require_answer(answer)
    known = Known(activated={name: record})
    assert record == ActivatedKey(certificate)
    admitted = appraise(tpm.evidence("ak", NONCE), nonce=NONCE, policy=policy, now=NOW, known=known)
    assert (admitted.codes, admitted.level) == ((), EvidenceLevel.VIRTUAL_TPM)
    other = appraise(tpm.evidence("other", NONCE), nonce=NONCE, policy=policy, now=NOW, known=known)
    assert other.codes == (Code.AK_UNTRUSTED,)


def test_challenge_for_one_key_cannot_be_solved_with_another(tpm: SoftwareTpm) -> None:
    certificate, issuer, root = ek_roots(tpm)
    policy = replace(BUILT_IN, tpm=replace(BUILT_IN.tpm, roots={"local": root}))
    now = current_time() + timedelta(minutes=5)
    challenge = open_challenge(
        certificate, tpm.public("ak"), policy=policy, now=now, unverified_intermediates=issuer
    )
    with pytest.raises(AssertionError, match="tpm2_activatecredential"):
        tpm.activate("other", challenge.credential, challenge.encrypted_secret)
    tpm.run("tpm2_flushcontext", "-t")


def test_endorsement_key_without_a_trusted_root_gets_no_challenge(tpm: SoftwareTpm) -> None:
    certificate, issuer, _ = ek_roots(tpm)
    now = current_time() + timedelta(minutes=5)
    with pytest.raises(Refused) as refusal:
        open_challenge(
            certificate, tpm.public("ak"), policy=BUILT_IN, now=now, unverified_intermediates=issuer
        )
    assert refusal.value.code is Code.CHAIN_UNTRUSTED
