"""A real signer process whose keys are in a SoftHSM2 token, behind its real client."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sealwright_signer import clock, jws
from sealwright_signer.client import Connection, Hello, Process, SignerGone, launch
from signer_support.softhsm import SoftHsm, make_token

pytestmark = pytest.mark.enable_socket
LIMIT = 90  # seconds; far beyond what any step takes


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    return make_token(tmp_path / "hsm")


@pytest.fixture
def started(policy: dict[str, Any], hsm: SoftHsm, tmp_path: Path) -> Iterator[Process]:
    policy["custody"] = hsm.custody(objects="token")
    policy["realms"]["enterprise"]["algorithms"] = ["ES256", "RS256"]
    with (tmp_path / "log").open("wb") as log:
        process = launch(policy, tmp_path / "run" / "signer", log=log)
    yield process
    process.terminate()


def keeper_of(hello: Hello) -> int:
    (measure,) = (m for m in hello.isolation if m["measure"] == "custody_apart")
    found = re.match(r"process (\d+) ", measure["reason"])
    assert found
    return int(found[1])


async def active(connection: Connection, alg: str, use_from: int) -> str:
    made = await connection.make_key("enterprise", alg, use_from, use_from + 3_600, use_from + 7_200)
    await connection.activate(made.kid)
    return made.kid


def request(kid: str) -> tuple[Any, ...]:
    return "enterprise", kid, "at+jwt", "c1", "c1", ["https://mail.example"], "read", 300, "ab" * 32, None


def test_tokens_are_signed_by_keys_that_never_left_the_token_and_end_in_it(
    started: Process, hsm: SoftHsm
) -> None:
    async def main() -> None:
        connection = await Connection.open(started.socket_path)
        hello = await connection.hello()
        assert hello.custody == "pkcs11"
        states = {m["measure"]: m["state"] for m in hello.isolation}
        assert states["seccomp"] == states["custody_seccomp"] == states["custody_apart"] == "on"
        now = int(clock.wall())
        made = await connection.make_key("enterprise", "ES256", now, now + 3_600, now + 7_200)
        assert hsm.objects() == 1
        await connection.activate(made.kid)
        tokens, batch = await connection.sign([request(made.kid)] * 100)
        assert batch
        assert len(batch.leaves) == 100
        announced = json.loads(jws.unb64u(made.announcement.split(".")[1]))
        verify = jws.verifier(announced["jwk"], "ES256")
        for token in tokens:
            assert isinstance(token, str)
            signing_input, _, signature = token.rpartition(".")
            verify(jws.unb64u(signature), signing_input.encode())
        await connection.destroy(made.kid, "superseded")
        assert hsm.objects() == 0
        await connection.close()

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_a_token_gone_mid_batch_ends_the_signer_with_a_clear_error_and_half_a_batch_never_leaves(
    started: Process, tmp_path: Path
) -> None:
    async def main() -> None:
        connection = await Connection.open(started.socket_path)
        keeper = keeper_of(await connection.hello())
        kid = await active(connection, "RS256", int(clock.wall()))
        os.kill(keeper, signal.SIGSTOP)
        signing = asyncio.create_task(connection.sign([request(kid)] * 256))
        await asyncio.sleep(
            0
        )  # the request is on its way; whether it arrives before or after, it finds no keeper
        os.kill(keeper, signal.SIGKILL)
        with pytest.raises(SignerGone):
            await signing

    asyncio.run(asyncio.wait_for(main(), LIMIT))
    assert started.wait(LIMIT) == 69
    assert (tmp_path / "log").read_text() == "signer ends: the keeper of the token has ended\n"


def test_the_keeper_ends_with_its_signer_and_takes_the_keys_out_of_the_token(
    started: Process, hsm: SoftHsm
) -> None:
    async def main() -> int:
        connection = await Connection.open(started.socket_path)
        keeper = keeper_of(await connection.hello())
        await active(connection, "ES256", int(clock.wall()))
        assert hsm.objects() == 1
        await connection.close()
        return keeper

    keeper = asyncio.run(asyncio.wait_for(main(), LIMIT))
    watched = os.pidfd_open(keeper)
    os.kill(started.pid, signal.SIGKILL)
    asyncio.run(asyncio.wait_for(_readable(watched), LIMIT))
    os.close(watched)
    assert hsm.objects() == 0


async def _readable(descriptor: int) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    await ended.wait()
    loop.remove_reader(descriptor)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda hsm: (hsm.folder / "pin").write_text("9999"), "the PIN is wrong"),
        (
            lambda hsm: (hsm.folder / "softhsm2.conf").write_text("directories.tokendir = /nowhere\n"),
            "custody.reach",
        ),
    ],
    ids=["wrong_pin", "no_token"],
)
def test_a_signer_that_cannot_use_its_token_does_not_start_and_says_why(
    policy: dict[str, Any], hsm: SoftHsm, tmp_path: Path, spoil: Any, said: str
) -> None:
    spoil(hsm)
    policy["custody"] = hsm.custody()
    with (tmp_path / "log").open("wb") as log:
        process = launch(policy, tmp_path / "run" / "signer", log=log)
    assert process.wait(LIMIT) == 78
    told = (tmp_path / "log").read_text()
    assert told.startswith("signer does not start: custody: ")
    assert said in told
    assert "9999" not in told


def test_the_signer_itself_loads_no_module_and_no_keeper(policy: dict[str, Any], started: Process) -> None:
    async def main() -> int:
        connection = await Connection.open(started.socket_path)
        keeper = keeper_of(await connection.hello())
        await connection.close()
        return keeper

    keeper = asyncio.run(asyncio.wait_for(main(), LIMIT))
    loaded = Path(f"/proc/{started.pid}/maps")
    if not os.access(loaded, os.R_OK) or os.geteuid() != 0:
        pytest.skip("NEEDS ROOT: maps of a process that is not dumpable")
    assert "softhsm" in Path(f"/proc/{keeper}/maps").read_text()
    signer = loaded.read_text()
    assert "cryptography" in signer
    assert "softhsm" not in signer
    assert "pkcs11" not in signer
