"""Collectors speak the real interfaces, here to recorded and simulated devices, and run beside no key."""

import base64
import ctypes
import errno
import http.server
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

import pytest

from sealwright_signer.evidence import collect, linux, process, tpm
from sealwright_signer.protocol import Misconfigured

NONCE, WIDE, NARROW = bytes(range(32)), bytes(range(64)), bytes(range(32, 64))
REPORT, VCEK = bytes([7]) * 1184, b"the chip's certificate"
SPKI = bytes(44)


def certificate_table(form: str = "bytes_le") -> bytes:
    names = ["c0b406a4-a803-4952-9743-3fb6014cd0ae", "63da758d-e664-4564-adc5-f4b93be8accd"]
    parts, offset, table = [b"not to be believed", VCEK], 24 * 3, b""
    for name, part in zip(names, parts, strict=True):
        table += struct.pack("<16sII", getattr(uuid.UUID(name), form), offset, len(part))
        offset += len(part)
    return table + bytes(24) + b"".join(parts)


def decoded(found: dict[str, Any]) -> bytes:
    return base64.b64decode(found["evidence"])


# --- configfs-tsm


class Configfs:
    """A report directory that answers as the kernel does: pipes are filled when they are opened."""

    def __init__(self, provider: str, *, foreign_writes: int = 0) -> None:
        self.provider, self.foreign, self.inblob, self.removed = provider, foreign_writes, b"", False

    def make(self, place: Path) -> None:
        place.mkdir()
        (place / "provider").write_text(self.provider + "\n")
        for name in ("generation", "outblob", "auxblob"):
            os.mkfifo(place / name)
        self.thread = threading.Thread(target=self._answer, args=(place,), daemon=True)
        self.thread.start()

    def _answer(self, place: Path) -> None:
        (place / "generation").write_text("4\n")
        (place / "outblob").write_bytes(REPORT)
        self.inblob = (place / "inblob").read_bytes()
        if self.provider == "sev_guest":
            (place / "auxblob").write_bytes(certificate_table())
        (place / "generation").write_text(f"{5 + self.foreign}\n")

    def remove(self, place: Path) -> None:
        self.thread.join()
        shutil.rmtree(place)
        self.removed = True


@pytest.mark.parametrize(("provider", "kind"), [("sev_guest", "sev-snp"), ("tdx_guest", "tdx")])
def test_configfs_is_asked_with_our_bytes_and_left_clean(provider: str, kind: str, tmp_path: Path) -> None:
    fake = Configfs(provider)
    found = linux.configfs_tsm(tmp_path, NONCE, WIDE, NARROW, make=fake.make, remove=fake.remove)
    assert (found["kind"], decoded(found), fake.inblob) == (kind, REPORT, WIDE)
    certificates = [base64.b64encode(VCEK).decode()]
    assert found.get("endorsements") == ({"certificates": certificates} if kind == "sev-snp" else None)
    assert list(tmp_path.iterdir()) == []


def test_a_quote_of_tdx_brings_the_log_of_its_registers_where_there_is_one(tmp_path: Path) -> None:
    log = tmp_path / "CCEL"
    for content, sent in ((b"events", True), (b"", False), (bytes(linux.LARGEST_LOG + 1), False)):
        log.write_bytes(content)
        fake = Configfs("tdx_guest")
        found = linux.configfs_tsm(tmp_path, NONCE, WIDE, NARROW, make=fake.make, remove=fake.remove, log=log)
        assert found.get("event_log") == (base64.b64encode(content).decode() if sent else None)


def test_a_report_that_somebody_else_wrote_to_is_not_used(tmp_path: Path) -> None:
    fake = Configfs("sev_guest", foreign_writes=1)
    with pytest.raises(OSError, match="somebody else"):
        linux.configfs_tsm(tmp_path, NONCE, WIDE, NARROW, make=fake.make, remove=fake.remove)
    assert fake.removed


# --- ioctl devices: what the driver would read from and write to our memory


@pytest.fixture
def device(tmp_path: Path) -> Path:
    (tmp_path / "device").touch()
    return tmp_path / "device"


class SevGuest:
    def __init__(self, table: bytes) -> None:
        self.table, self.calls, self.user_data = table, 0, b""

    def ioctl(self, _fd: int, number: int, call: bytearray) -> int:
        assert number == (3 << 30 | 32 << 16 | ord("S") << 8 | 2)
        self.calls += 1
        version, request, answer, _ = struct.unpack("<B7xQQQ", call)
        assert version == 1
        self.user_data, vmpl, address, length = struct.unpack("<64sI28xQI4x", ctypes.string_at(request, 112))
        assert vmpl == 0
        if length < len(self.table):
            ctypes.memmove(request + 104, struct.pack("<I", len(self.table)), 4)
            raise OSError(errno.ENOSPC, "too small")
        ctypes.memmove(address, self.table, len(self.table))
        ctypes.memmove(answer, struct.pack("<II24x", 0, len(REPORT)) + REPORT, 32 + len(REPORT))
        return 0


@pytest.mark.parametrize("form", ["bytes", "bytes_le"])
def test_sev_guest_gives_a_report_and_the_chips_certificate(form: str, device: Path) -> None:
    fake = SevGuest(certificate_table(form))
    found = linux.sev_guest(device, NONCE, WIDE, NARROW, ioctl=fake.ioctl)
    assert (found["kind"], decoded(found), fake.user_data) == ("sev-snp", REPORT, WIDE)
    assert found["endorsements"] == {"certificates": [base64.b64encode(VCEK).decode()]}
    assert fake.calls == 1


def test_sev_guest_is_asked_again_when_the_certificates_need_more_room(device: Path) -> None:
    fake = SevGuest(certificate_table().ljust(20_000, b"\0"))
    assert decoded(linux.sev_guest(device, NONCE, WIDE, NARROW, ioctl=fake.ioctl)) == REPORT
    assert fake.calls == 2


@pytest.mark.parametrize("nonce", [bytes(16), bytes(64)], ids=len)
def test_nsm_is_asked_in_cbor_that_others_read(nonce: bytes, device: Path) -> None:
    cbor2 = pytest.importorskip("cbor2", reason="CBOR2 ABSENT: the request is not read by another reader")
    document = bytes(range(256)) * 18
    seen: list[Any] = []

    def ioctl(_fd: int, number: int, call: bytearray) -> int:
        assert number == (3 << 30 | 32 << 16 | 0x0A << 8)
        request, size, answer, room = struct.unpack("<QQQQ", call)
        seen.append(cbor2.loads(ctypes.string_at(request, size)))
        told = cbor2.dumps({"Attestation": {"document": document}})
        assert len(told) <= room
        ctypes.memmove(answer, told, len(told))
        return 0

    found = linux.nsm(device, nonce, WIDE, NARROW, ioctl=ioctl)
    assert (found["kind"], decoded(found)) == ("nitro", document)
    assert seen == [{"Attestation": {"user_data": WIDE, "nonce": nonce, "public_key": None}}]


def test_an_error_of_the_nsm_is_no_document(device: Path) -> None:
    with pytest.raises(OSError, match="refuses"):
        linux.nsm(device, NONCE, WIDE, NARROW, ioctl=lambda *_: 0)


# --- the process of its own


def test_evidence_carries_the_key_and_both_bindings() -> None:
    asked: list[tuple[bytes, ...]] = []

    def ask(*parts: bytes) -> dict[str, Any]:
        asked.append(parts)
        return {"kind": "tpm2", "evidence": "AAAA"}

    found = collect(SPKI, NONCE.hex(), ask)
    bound = b"sealwright-identity-v1\0" + NONCE + sha256(SPKI).digest()
    assert asked == [(NONCE, sha512(bound).digest(), sha256(bound).digest())]
    assert found["binding"] == sha512(bound).hexdigest()
    bundle = json.loads(found["evidence"])
    assert base64.b64decode(bundle["binding"]["identity_key"]) == SPKI


def from_its_own_process(collector: str) -> tuple[dict[str, Any], list[str]]:
    """What a signer's process gets, and which collectors were loaded into it."""
    code = """import json, sys
from sealwright_signer.evidence import collect, process
found = collect(bytes(44), "00" * 32, process.start(sys.argv[1]))
import sealwright_signer.__main__
loaded = [name for name in sys.modules if name.startswith("sealwright_signer.evidence.")]
sys.stdout.write(json.dumps([found, loaded]))"""
    argv = [sys.executable, "-c", code, collector]
    ran = subprocess.run(argv, check=True, capture_output=True, timeout=60)
    found, loaded = json.loads(ran.stdout)
    return found, loaded


def test_the_collector_answers_from_a_process_without_a_key() -> None:
    found, loaded = from_its_own_process("simulated")
    assert (found["kind"], loaded) == ("simulated", ["sealwright_signer.evidence.process"])
    body = json.loads(base64.b64decode(json.loads(found["evidence"])["evidence"]))
    assert (body["report_data"], body["notice"][:9]) == (found["binding"], "simulated")


def test_a_collector_that_cannot_read_its_device_claims_nothing_and_says_why() -> None:
    found, _ = from_its_own_process("tpm:/nowhere/at-all")
    assert (found["kind"], found["evidence"]) == ("none", "")
    assert "/nowhere/at-all" in found["note"]


def test_an_unknown_collector_is_refused() -> None:
    with pytest.raises(Misconfigured):
        process.start("crystal-ball")


# --- TPM


@pytest.fixture
def software_tpm(tmp_path: Path) -> Iterator[Path]:
    program = shutil.which("swtpm")
    if program is None:
        pytest.skip("SWTPM ABSENT: the TPM collector is not tested (apt-get install swtpm)")
    place, state = tmp_path / "s", tmp_path / "state"
    state.mkdir()
    argv = [
        program,
        "socket",
        "--tpm2",
        "--tpmstate",
        f"dir={state}",
        "--server",
        f"type=unixio,path={place}",
    ]
    running = subprocess.Popen([*argv, "--flags", "not-need-init,startup-clear"])
    try:
        while not listens(place) and running.poll() is None:
            threading.Event().wait(0.02)
        yield place
    finally:
        running.terminate()
        running.wait()


def listens(place: Path) -> bool:
    """Whether it answers: the name of a socket is there before anybody listens."""
    with socket.socket(socket.AF_UNIX) as link:
        return link.connect_ex(str(place)) == 0


def tpm_command(place: Path, command: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(place))
        link.send(command)
        return link.recv(4096)


@pytest.mark.slow
@pytest.mark.enable_socket
def test_a_software_tpm_quotes_its_pcrs_with_the_same_key_every_time(software_tpm: Path) -> None:
    first, second = (tpm.quote(software_tpm, NONCE, WIDE, NARROW) for _ in range(2))
    one, two = json.loads(decoded(first)), json.loads(decoded(second))
    assert one["ak_public"] == two["ak_public"]
    assert one["pcrs"] == two["pcrs"] == {str(index): "00" * 32 for index in range(16)}
    assert NARROW in base64.b64decode(one["message"])
    extend = struct.pack(">HIIIIIHBHIH", 0x8002, 65, 0x182, 7, 9, 0x40000009, 0, 0, 0, 1, 0x0B) + bytes(32)
    assert struct.unpack_from(">I", tpm_command(software_tpm, extend), 6) == (0,)
    third = json.loads(decoded(tpm.quote(software_tpm, NONCE, WIDE, NARROW)))
    assert third["pcrs"]["7"] == sha256(bytes(64)).hexdigest()


@pytest.mark.slow
@pytest.mark.enable_socket
def test_a_tpm_without_azures_report_is_not_taken_for_azures(software_tpm: Path) -> None:
    with pytest.raises(OSError, match="TPM command 0x169"):
        tpm.azure(software_tpm, NONCE, WIDE, NARROW)


class Metadata(http.server.BaseHTTPRequestHandler):
    """What Azure's metadata service answers."""

    def do_GET(self) -> None:
        right = self.path == "/metadata/THIM/amd/certification" and self.headers["Metadata"] == "true"
        self.send_response(200 if right else 400)
        self.end_headers()
        self.wfile.write(json.dumps({"vcekCert": "a PEM", "certificateChain": "not to be believed"}).encode())

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = base64.urlsafe_b64decode(asked["report"] + "==")
        right = self.path == "/acc/tdquote" and len(told) == 1024
        self.send_response(200 if right else 400)
        self.end_headers()
        quote = base64.urlsafe_b64encode(b"a quote of " + told[:4]).decode()
        self.wfile.write(json.dumps({"quote": quote}).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def tpm_owner(place: Path, code: int, body: bytes, *handles: int) -> bytes:
    """A command with the owner's (empty) password; what follows the header of the answer."""
    whole = struct.pack(f">I{len(handles)}I", 0x40000001, *handles)
    whole += struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0) + body
    answer = tpm_command(place, struct.pack(">HII", 0x8002, 10 + len(whole), code) + whole)
    assert struct.unpack_from(">I", answer, 6) == (0,), hex(code)
    return answer[10:]


@pytest.mark.slow
@pytest.mark.enable_socket
@pytest.mark.parametrize(("kind", "added"), [(2, {"vcek": b"a PEM"}), (4, {"td_quote": b"a quote of TDRE"})])
def test_azures_report_is_read_in_pieces_and_quoted_beside(
    software_tpm: Path, metadata: str, kind: int, added: dict[str, bytes]
) -> None:
    report, index = (
        b"HCLA".ljust(32, b"\0") + b"TDRE" + os.urandom(1188) + struct.pack("<I", kind),
        0x01400001,
    )
    report += os.urandom(72)
    public = struct.pack(">IHIHH", index, 0x0B, 0x02060006, 0, len(report))
    tpm_owner(software_tpm, 0x12A, sized(b"") + sized(public))
    for at in (0, 650):
        tpm_owner(software_tpm, 0x137, sized(report[at : at + 650]) + struct.pack(">H", at), index)
    template = struct.pack(">HHIHHHHHHHH", 0x23, 0x0B, 0x00050472, 0, 0x10, 0x18, 0x0B, 3, 0x10, 0, 0)
    made = tpm_owner(software_tpm, 0x131, sized(bytes(4)) + sized(template) + bytes(6))
    (key,) = struct.unpack_from(">I", made)
    tpm_owner(software_tpm, 0x120, struct.pack(">I", 0x81000003), key)
    found = tpm.azure(software_tpm, NONCE, WIDE, NARROW, metadata=metadata)
    body = json.loads(decoded(found))
    assert base64.urlsafe_b64decode(body["hcl_report"] + "==") == report
    told = {
        name: base64.urlsafe_b64decode(body[name] + "==") for name in ("vcek", "td_quote") if name in body
    }
    assert told == added
    assert NARROW in bytes.fromhex(body["quote"]["message"])
    assert set(body["quote"]["pcrs"]) == {str(index) for index in range(16)}


@pytest.mark.slow
@pytest.mark.enable_socket
def test_a_device_that_never_answers_does_not_hold_the_signer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen()
        found, _ = from_its_own_process(f"tpm:{tmp_path / 'silent'}")
    assert (found["kind"], "does not answer" in found["note"]) == ("none", True)
