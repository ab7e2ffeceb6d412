"""Our logs, verified end to end by a client that we did not write: Go's x/mod/sumdb `note` and `tlog`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from authority_support.ledgers import SignedLedger
from authority_support.logs import Scribe, tokens
from authority_support.witnesses import submission, witness_of
from sealwright.ledger.tiles import TileWriter
from sealwright.witness.book import FollowedLogs
from sealwright.witness.model import KnownLog
from sealwright_validate.keyset import LogKey

SOURCES = Path("/usr/share/gocode")  # of Debian's golang-golang-x-mod-dev
ADAPTER = Path(__file__).parents[1] / "go" / "logcheck.go"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_500), pytest.mark.xdist_group("go-client")]
Verify = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def verify(tmp_path_factory: pytest.TempPathFactory) -> Verify:
    """Runs the Go client over a log directory."""
    if shutil.which("go") is None:
        pytest.skip("NOT CHECKED by the Go client: no Go toolchain (Debian: golang-go)")
    if not (SOURCES / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("NOT CHECKED by the Go client: no x/mod sources (Debian: golang-golang-x-mod-dev)")
    program = tmp_path_factory.mktemp("go") / "logcheck"
    # GOPATH mode and Debian's sources: nothing is fetched. GOTOOLCHAIN: nor is another compiler.
    settings = ["GO111MODULE=off", f"GOPATH={SOURCES}", "GOFLAGS=", "GOTOOLCHAIN=local", "CGO_ENABLED=0"]
    cache = f"GOCACHE={tmp_path_factory.mktemp('go-cache')}"
    subprocess.run(
        ["env", *settings, cache, "go", "build", "-o", str(program), str(ADAPTER)], check=True, timeout=900
    )

    def run(log: Path, vkey: str, heads: Path, *cosigners: str) -> subprocess.CompletedProcess[str]:
        arguments = [str(program), str(log), vkey, str(heads), *cosigners]
        return subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=500)

    return run


def kept(heads: list[str], directory: Path) -> Path:
    directory.mkdir()
    for number, head in enumerate(heads):
        (directory / f"{number:06}").write_text(head)
    return directory


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> SignedLedger:
    """A log of the real signer: events, statements and 1,500 tokens, published in between."""
    made = SignedLedger(tmp_path_factory.mktemp("site"))
    for count in (1, 7, 250, 512, 3, 512, 90):
        made.issue(count)
        made.do(made.signer.statement, type="audit", digest="ab" * 32)
        made.publish()
    made.issue(125)
    made.publish()
    return made


def test_every_entry_proof_and_checkpoint_of_a_real_log_verifies(
    ledger: SignedLedger, verify: Verify, tmp_path: Path
) -> None:
    done = verify(ledger.directory, ledger.vkey, kept(ledger.heads, tmp_path / "heads"))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    size = ledger.signer.journal.size
    assert size > 1_500
    assert (said["entries"], said["inclusion"], said["heads"]) == (size, size, len(ledger.heads))
    assert said["consistency"] == 2 * len(ledger.heads) - 1


def test_a_log_with_a_tile_of_the_third_level_verifies(verify: Verify, tmp_path: Path) -> None:
    scribe, log = Scribe(), tmp_path / "log"
    writer, heads = TileWriter(log), []
    for start, end in ((0, 255), (255, 256), (256, 65_536), (65_536, 65_900)):
        leaves, _ = tokens(end - start, start)
        heads.append(scribe.batch(leaves).checkpoint)
        for leaf in leaves:
            writer.append(leaf)
        writer.publish(heads[-1])
    done = verify(log, scribe.vkey, kept(heads, tmp_path / "heads"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["inclusion"] == 65_900
    assert (log / "tile/2/000.p/1").is_file()


def flip_entry(log: Path) -> None:
    flip(log / "tile/entries/001", 40)


def flip_tile(log: Path) -> None:
    flip(log / "tile/0/002", 9)


def flip_upper_tile(log: Path) -> None:
    newest = max((log / "tile/1/000.p").iterdir(), key=lambda file: int(file.name))
    flip(newest, 70)


def flip_checkpoint(log: Path) -> None:
    text = (log / "checkpoint").read_text()
    lines = text.split("\n")
    (log / "checkpoint").write_text("\n".join([lines[0], str(int(lines[1]) - 1), *lines[2:]]))


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [flip_entry, flip_tile, flip_upper_tile, flip_checkpoint])
def test_the_go_client_refuses_a_damaged_log(
    damage: Callable[[Path], None], ledger: SignedLedger, verify: Verify, tmp_path: Path
) -> None:
    copy = tmp_path / "log"
    shutil.copytree(ledger.directory, copy)
    damage(copy)
    done = verify(copy, ledger.vkey, kept(ledger.heads, tmp_path / "heads"))
    assert done.returncode == 1, done.stdout


def test_the_go_client_refuses_a_head_of_a_fork(ledger: SignedLedger, verify: Verify, tmp_path: Path) -> None:
    forked = Scribe()
    forked.key, forked.origin, forked.key_id = (
        ledger.signer.identity._key,  # the identity key itself signs another history
        ledger.signer.journal.origin,
        bytes.fromhex(ledger.vkey.split("+")[1]),
    )
    other = forked.batch(tokens(40)[0]).checkpoint
    done = verify(ledger.directory, ledger.vkey, kept([*ledger.heads, other], tmp_path / "heads"))
    assert done.returncode == 1
    assert "the root at 40 leaves is another" in done.stderr


def test_the_go_client_verifies_our_witness_and_refuses_another(
    ledger: SignedLedger, verify: Verify, tmp_path: Path
) -> None:
    witness, stranger = (witness_of(tmp_path / name, name="w.example/1") for name in ("one", "two"))
    assert isinstance(witness._logs, FollowedLogs)
    origin = ledger.signer.journal.origin
    witness._logs._logs[origin] = KnownLog(LogKey(origin, ledger.signer.identity.public))
    copy = tmp_path / "log"
    shutil.copytree(ledger.directory, copy)
    note = (copy / "checkpoint").read_text()
    (copy / "checkpoint").write_text(note + witness.add_checkpoint(submission(note, 0, ())))
    heads = kept(ledger.heads, tmp_path / "heads")
    done = verify(copy, ledger.vkey, heads, witness.vkeys[0])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cosigners"] == 1
    assert verify(copy, ledger.vkey, heads, stranger.vkeys[0]).returncode == 1
