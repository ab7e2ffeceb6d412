"""A real signer process behind its real client."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sealwright_signer import clock
from sealwright_signer.client import Connection, Process, SignerGone, SignerRefused, command, launch

pytestmark = pytest.mark.enable_socket


@pytest.fixture
def process(policy: dict[str, Any], tmp_path: Path) -> Iterator[Process]:
    running = launch(policy, tmp_path / "run" / "signer", log=sys.stderr.fileno())
    yield running
    running.terminate()


async def active_key(connection: Connection) -> str:
    now = int(clock.wall())
    made = await connection.make_key("enterprise", "ES256", now, now + 3_600, now + 7_200)
    await connection.activate(made.kid)
    return made.kid


def request(kid: str) -> tuple[Any, ...]:
    return "enterprise", kid, "at+jwt", "c1", "c1", ["https://mail.example"], "read", 300, "ab" * 32, None


def test_overlapping_requests_get_their_own_answers(process: Process) -> None:
    async def main() -> None:
        connection = await Connection.open(process.socket_path)
        await connection.hello()
        kid = await active_key(connection)
        answers = await asyncio.gather(*(connection.sign([request(kid)] * (n + 1)) for n in range(20)))
        assert [len(tokens) for tokens, _ in answers] == list(range(1, 21))
        firsts = [batch.first for _, batch in answers if batch]
        assert firsts == [3 + n * (n + 1) // 2 for n in range(20)]
        await connection.close()
        with pytest.raises(SignerGone):
            await connection.stats()

    asyncio.run(main())


def test_leaves_without_acknowledgement_are_offered_again_on_a_new_connection(process: Process) -> None:
    async def main() -> None:
        first = await Connection.open(process.socket_path)
        hello = await first.hello()
        kid = await active_key(first)
        _, batch = await first.sign([request(kid)] * 3)
        assert batch
        assert batch.first == 3
        await first.ack(4)
        second = await Connection.open(process.socket_path)
        again = await second.hello()
        await first.wait_gone()  # one holds the authority role
        assert [(b.first, len(b.leaves)) for b in again.pending] == [(4, 2)]
        assert again.pending[0].leaves == batch.leaves[1:]
        assert again.pending[0].checkpoint == batch.checkpoint
        assert (again.log_id, again.acked, again.size) == (hello.log_id, 4, 6)
        await second.ack(6)
        assert (await second.hello()).pending == []
        await second.close()

    asyncio.run(main())


def test_a_request_that_needs_too_much_memory_is_refused_and_signing_goes_on(process: Process) -> None:
    async def main() -> None:
        connection = await Connection.open(process.socket_path)
        await connection.hello()
        kid = await active_key(connection)
        for _ in range(2):
            with pytest.raises(SignerRefused) as caught:
                await connection.request("sign", requests=[[]] * 2_000_000)
            assert caught.value.code == "bad_request"
            tokens, _ = await connection.sign([request(kid)])
            assert isinstance(tokens[0], str)
        await connection.close()

    asyncio.run(main())


def test_an_observer_appends_nothing(process: Process) -> None:
    async def main() -> None:
        connection = await Connection.open(process.socket_path)
        assert (await connection.hello("observer")).pending == []
        with pytest.raises(SignerRefused) as caught:
            await connection.statement("audit", "00" * 32)
        assert caught.value.code == "not_authority"
        assert (await connection.stats())["refused"] == {"not_authority": 1}
        await connection.close()

    asyncio.run(main())


def test_a_policy_that_is_too_wide_does_not_start(policy: dict[str, Any], tmp_path: Path) -> None:
    policy["realms"]["enterprise"]["max_lifetime"] = 3_601
    log = tmp_path / "log"
    with log.open("wb") as stream:
        running = launch(policy, tmp_path / "run" / "signer", log=stream)
        assert running.wait(10) == 78
    assert "max_lifetime" in log.read_text()
    assert json.dumps(policy) not in log.read_text()


def test_the_signer_process_does_not_load_the_client() -> None:
    code = "import sys; sys.path = sys.argv[1:]; import sealwright_signer.__main__; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *sys.path], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "sealwright_signer.server" in loaded
    assert "sealwright_signer.client" not in loaded
    assert not {
        name for name in loaded if name.split(".")[0] in ("asyncio", "subprocess", "site", "sealwright")
    }


def test_a_signer_whose_launcher_is_not_its_parent_ends(policy: dict[str, Any], tmp_path: Path) -> None:
    between = ["sh", "-c", '"$@"; exit $?', "sh", *command()]
    running = launch(policy, tmp_path / "run" / "signer", log=sys.stderr.fileno(), program=between)
    assert running.wait(30) == 75


CARELESS = """import sys
i = sys.argv.index("--listen-fd")
sys.path += sys.argv[1:i]
from sealwright_signer.__main__ import main
from sealwright_signer.custody.memory import MemoryCustody

class Careless(MemoryCustody):
    def generate(self, alg):
        key = "the private half"
        raise RuntimeError(key)

sys.exit(main(sys.argv[i:], custody=lambda policy: Careless()))"""


def test_a_fault_is_told_by_name_and_place_and_ends_the_process(
    policy: dict[str, Any], tmp_path: Path
) -> None:
    program = [*command()[:4], CARELESS, *command()[5:]]
    with (tmp_path / "log").open("wb") as log:
        running = launch(policy, tmp_path / "run" / "signer", log=log, program=program)

    async def main() -> None:
        connection = await Connection.open(running.socket_path)
        await connection.hello()
        with pytest.raises(SignerGone):
            await active_key(connection)

    asyncio.run(main())
    assert running.wait(30) == 1
    assert (tmp_path / "log").read_text() == "signer ends: RuntimeError at <string>:10\n"
