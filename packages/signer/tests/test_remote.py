"""A signer on another host, reached through the channel: used, attacked and cut, on loopback."""

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from sealwright_signer import clock
from sealwright_signer.client import Batch, Connection, Process, SignerGone, launch, reach_command
from sealwright_signer.remote.channel import calling, open_key, parsed_key, serving
from signer_support.channel import START, Far, between, key_of, require_vsock_loopback, start_far

pytestmark = pytest.mark.enable_socket
Launch = Callable[..., Process]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sw-") as name:
        yield Path(name)


@pytest.fixture
def far(folder: Path) -> Iterator[Far]:
    started = start_far(folder / "far", [key_of(folder / "near"), key_of(folder / "other")])
    yield started
    started.stop()


@pytest.fixture
def reached(folder: Path, far: Far, policy: dict[str, Any]) -> Iterator[Launch]:
    """Starts near ends; what they say goes to `log` in the folder."""
    running = list[Process]()

    def start(
        *, port: int = far.port, peer: str = far.key, key: str = "near", patience: float = 60
    ) -> Process:
        program = reach_command(f"tls://127.0.0.1:{port}", peer, folder / key / "channel.pem")
        program += ["--patience", str(patience)]
        with (folder / "log").open("ab") as log:
            running.append(launch(policy, folder / f"signer-{len(running)}.sock", log=log, program=program))
        return running[-1]

    yield start
    for process in running:
        process.terminate()


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, START))


@contextlib.asynccontextmanager
async def signing(process: Process) -> AsyncIterator[tuple[Connection, list[Any], str]]:
    """A connection that holds the authority role, a request, and the log id."""
    connection = await Connection.open(process.socket_path)
    hello = await connection.hello()
    now = int(clock.wall())
    made = await connection.make_key("enterprise", "ES256", now, now + 3_600, now + 7_200)
    await connection.activate(made.kid)
    request = [
        "enterprise",
        made.kid,
        "at+jwt",
        "c1",
        "c1",
        ["https://mail.example"],
        "",
        300,
        "ab" * 32,
        None,
    ]
    yield connection, request, hello.log_id
    await connection.close()


async def _ended(process: Process) -> int:
    return await asyncio.to_thread(process.wait, START)


def test_it_signs_as_a_signer_here_would_and_ends_when_it_is_told_to(reached: Launch, far: Far) -> None:
    near = reached()

    async def main() -> None:
        async with signing(near) as (connection, request, _):
            tokens, batch = await connection.sign([request] * 512)
            assert batch
            assert len(tokens) == len(batch.leaves) == 512

    run(main())
    assert near.terminate() == 0
    assert not (far.folder / "signer.sock").exists()


def refused(near: Process, folder: Path, far: Far) -> str:
    assert near.wait(START) == 69
    assert not (far.folder / "signer.sock").exists()
    return (folder / "log").read_text()


def test_a_far_end_with_another_key_than_the_pinned_one_is_refused(
    reached: Launch, folder: Path, far: Far
) -> None:
    assert "is not the host with the key" in refused(reached(peer=key_of(folder / "nobody")), folder, far)


def test_a_near_end_whose_key_is_not_allowed_is_refused(reached: Launch, folder: Path, far: Far) -> None:
    stranger = key_of(folder / "stranger")
    assert stranger in refused(reached(key="stranger"), folder, far)


def test_a_man_in_the_middle_proves_neither_side_its_key(reached: Launch, folder: Path, far: Far) -> None:
    middle = open_key(folder / "middle" / "channel.pem")

    async def main() -> None:
        told = list[str]()

        async def hear(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            told.append("a connection")
            writer.close()

        context = serving(middle, [parsed_key(key_of(folder / "near"))])
        server = await asyncio.start_server(hear, "127.0.0.1", 0, ssl=context)
        near = reached(port=server.sockets[0].getsockname()[1])
        assert await _ended(near) == 69
        with pytest.raises((OSError, EOFError)):  # nor does the far end take it for the authority
            await _spoken_to(far, calling(middle, parsed_key(far.key)))
        server.close()
        assert not told

    run(main())
    assert "is not the host with the key" in (folder / "log").read_text()
    assert not (far.folder / "signer.sock").exists()


async def _spoken_to(far: Far, context: ssl.SSLContext) -> bytes:
    """What the far end answers to a launch by somebody with this context."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", far.port, ssl=context, server_hostname="sealwright"
    )
    try:
        writer.write(bytes((0, 0, 0, 15)) + b'{"op":"launch"}')
        return await reader.readexactly(1)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("flaw", ["no_certificate", "tls_1_2", "plain"])
def test_nobody_gets_an_answer_without_tls_1_3_and_a_key(far: Far, folder: Path, flaw: str) -> None:
    async def main() -> None:
        context = calling(open_key(folder / "near" / "channel.pem"), parsed_key(far.key))
        if flaw == "no_certificate":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif flaw == "tls_1_2":
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        if flaw == "plain":
            reader, writer = await asyncio.open_connection("127.0.0.1", far.port)
            writer.write(bytes((0, 0, 0, 15)) + b'{"op":"launch"}')
            assert not (await reader.read(4_096)).startswith(b"\0")  # an alert of TLS, or nothing
            writer.close()
        else:
            with pytest.raises((OSError, EOFError)):
                await _spoken_to(far, context)

    run(main())


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\1{",
        b"\0\0\0\2[]",
        b"\0\0\0\2{}",
        b'\0\0\0\x0f{"op":"launch"}',
        b'\0\0\0\x10{"op":"connect"}',
        b'\0\0\0\x26{"op":"launch","policy":{"custody":1}}',
    ],
    ids=["too_long", "no_json", "no_object", "no_op", "no_policy", "no_signer", "no_custody"],
)
def test_nonsense_of_an_allowed_key_is_refused_and_the_far_end_goes_on(
    far: Far, folder: Path, junk: bytes
) -> None:
    context = calling(open_key(folder / "near" / "channel.pem"), parsed_key(far.key))

    async def main() -> None:
        for _ in range(2):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", far.port, ssl=context, server_hostname="sealwright"
            )
            writer.write(junk)
            answer = await reader.read()
            assert b'"error"' in answer
            writer.close()

    run(main())
    assert far.process.poll() is None
    assert children(far.process.pid) == []


def test_a_policy_from_elsewhere_names_no_library_that_the_host_does_not_allow(
    reached: Launch, folder: Path, far: Far, policy: dict[str, Any]
) -> None:
    policy["custody"] = {"kind": "pkcs11", "module": "/usr/lib/anything.so"}
    assert "does not let its signer load that module" in refused(reached(), folder, far)


def test_a_recorded_conversation_played_again_does_nothing(reached: Launch, far: Far) -> None:
    async def main() -> None:
        async with between(far.port) as wire:
            near = reached(port=wire.port)
            async with signing(near) as (connection, request, log_id):
                await connection.sign([request])
                size = (await connection.stats())["size"]
                recorded = list(wire.sent)
                assert len(recorded) >= 2  # the launch, and this connection
                for conversation in recorded:
                    reader, writer = await asyncio.open_connection("127.0.0.1", far.port)
                    writer.write(conversation)
                    await reader.read()  # its handshake, an alert, and the end
                    writer.close()
                assert (await connection.stats())["size"] == size
            again = await Connection.open(near.socket_path)
            assert (await again.hello("observer")).log_id == log_id
            await again.close()

    run(main())


def test_bytes_changed_on_the_way_end_the_connection_and_are_never_read(reached: Launch, far: Far) -> None:
    async def main() -> None:
        async with between(far.port) as wire, signing(reached(port=wire.port)) as (connection, request, _):
            wire.flip_next = True
            with pytest.raises(SignerGone):
                await _sign_on(connection, request)

    run(main())


def test_a_connection_lost_mid_batch_leaves_no_hole_and_the_same_signer_goes_on(
    reached: Launch, far: Far
) -> None:
    async def main() -> None:
        async with between(far.port) as wire:
            near = reached(port=wire.port)
            async with signing(near) as (connection, request, log_id):
                signed_before = (await connection.stats())["size"]
                wire.answers_left = 2_000  # of some 400,000 bytes
                with pytest.raises(SignerGone):
                    await connection.sign([request] * 256)
                wire.answers_left, wire.refusing = None, False
                pending, again = await _pending(near, log_id)
                assert sum(len(batch.leaves) for batch in pending) == signed_before + 256
                assert pending[0].first == 0
                tokens, batch = await again.sign([request])
                assert batch
                assert batch.first == signed_before + 256
                assert isinstance(tokens[0], str)
                await again.close()

    run(main())


async def _sign_on(connection: Connection, request: list[Any]) -> None:
    while True:  # a ping's answer may be hit before one of ours; the channel is cut either way
        await connection.sign([request])


async def _pending(near: Process, log_id: str) -> tuple[list[Batch], Connection]:
    """What the signer still holds, once it can be reached again."""
    while True:
        again = await Connection.open(near.socket_path)
        try:
            hello = await again.hello()
        except SignerGone:
            await asyncio.sleep(0.05)
            continue
        assert hello.log_id == log_id
        return hello.pending, again


def test_a_far_end_that_stays_away_ends_the_near_end_with_the_reason(
    reached: Launch, folder: Path, far: Far
) -> None:
    async def main() -> None:
        async with between(far.port) as wire:
            near = reached(port=wire.port, patience=0.1)
            async with signing(near):
                wire.cut()
                assert await _ended(near) == 69

    run(main())
    assert "out of reach" in (folder / "log").read_text()


def test_a_signer_that_dies_over_there_is_told_here(reached: Launch, folder: Path, far: Far) -> None:
    async def main() -> None:
        near = reached()
        async with signing(near):
            (child,) = children(far.process.pid)
            os.kill(child, signal.SIGKILL)
            assert await _ended(near) == 69

    run(main())
    assert "it ended over there (-9)" in (folder / "log").read_text()


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def test_a_signer_that_cannot_start_over_there_says_why_here(
    reached: Launch, folder: Path, policy: dict[str, Any]
) -> None:
    policy["custody"] = {"kind": "paper"}
    assert reached().wait(START) == 69
    assert "custody 'paper' is not known" in (folder / "log").read_text()


def test_another_authority_gets_neither_the_place_nor_a_word(reached: Launch, folder: Path, far: Far) -> None:
    async def main() -> None:
        async with signing(reached()) as (connection, request, _):
            assert await _ended(reached(key="other")) == 69
            assert len((await connection.sign([request]))[0]) == 1

    run(main())
    assert "a signer of another authority runs here" in (folder / "log").read_text()


def test_a_supervisor_that_starts_again_replaces_its_signer(reached: Launch, far: Far) -> None:
    async def main() -> None:
        first, second = reached(), None
        async with signing(first) as (_, _, log_id):
            second = reached()
            async with signing(second) as (_, _, other):
                assert other != log_id
                assert await _ended(first) == 69
        assert len(children(far.process.pid)) == 1

    run(main())


def test_a_signer_that_nobody_holds_ends_after_the_grace(folder: Path, policy: dict[str, Any]) -> None:
    far = start_far(folder / "far", [key_of(folder / "near")], grace=0.1)
    program = reach_command(f"tls://127.0.0.1:{far.port}", far.key, folder / "near" / "channel.pem")
    near = launch(policy, folder / "signer.sock", log=subprocess.DEVNULL, program=program)

    async def main() -> None:
        async with signing(near):
            (child,) = children(far.process.pid)
            watched = os.pidfd_open(child)
            os.kill(near.pid, signal.SIGKILL)
            ended, loop = asyncio.Event(), asyncio.get_running_loop()
            loop.add_reader(watched, ended.set)
            await ended.wait()
            loop.remove_reader(watched)
            os.close(watched)

    try:
        run(main())
    finally:
        near.terminate()
        far.stop()


def test_vsock_carries_it_as_well(folder: Path, policy: dict[str, Any]) -> None:
    require_vsock_loopback()
    far = start_far(folder / "far", [key_of(folder / "near")], listen="vsock://any")
    program = reach_command(f"vsock://1:{far.port}", far.key, folder / "near" / "channel.pem")
    near = launch(policy, folder / "signer.sock", log=sys.stderr.fileno(), program=program)

    async def main() -> None:
        async with signing(near) as (connection, request, _):
            assert len((await connection.sign([request] * 16))[0]) == 16

    try:
        run(main())
    finally:
        near.terminate()
        far.stop()
