"""The server answers what is well formed, ends what is not, and is held up by nobody."""

import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sealwright_signer import server
from sealwright_signer.server import Server
from sealwright_signer.signer import OPERATIONS

pytestmark = pytest.mark.enable_socket
Connect = Callable[[], "Caller"]


class Caller:
    """A client that says exactly what it is told to say."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))
        self.sock.settimeout(30)

    def raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send(self, body: bytes) -> None:
        self.raw(len(body).to_bytes(4, "big") + body)

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def receive(self) -> Any:
        return json.loads(self.exactly(int.from_bytes(self.exactly(4), "big")))

    def ask(self, op: str, **members: Any) -> Any:
        self.send(json.dumps({"id": 7, "op": op, **members}).encode())
        return self.receive()

    def hello(self, role: str = "authority") -> Any:
        return self.ask("hello", protocol=1, role=role)["ok"]

    def require_ended(self) -> None:
        with pytest.raises((EOFError, ConnectionError)):
            self.exactly(1)


@pytest.fixture
def connect(rig: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    monkeypatch.setattr(server, "TICK", 0.05)
    listener, callers = socket.socket(socket.AF_UNIX), list[Caller]()
    listener.bind(str(tmp_path / "signer"))
    listener.listen(64)
    serving = Server(listener, rig.signer)
    thread = threading.Thread(target=serving.run)
    thread.start()

    def connected() -> Caller:
        callers.append(Caller(tmp_path / "signer"))
        return callers[-1]

    yield connected
    alive = thread.is_alive()
    serving.running = False
    thread.join()
    listener.close()
    for caller in callers:
        caller.sock.close()
    assert alive, "the server ended"


MALFORMED = {
    "empty": b"",
    "no_json": b"hello",
    "no_utf8": b"\xff\xfe",
    "list": b"[]",
    "no_id": b'{"op":"stats"}',
    "text_id": b'{"id":"1","op":"stats"}',
    "bool_id": b'{"id":true,"op":"stats"}',
    "two_ids": b'{"id":1,"id":2,"op":"stats"}',
    "no_op": b'{"id":1}',
    "unknown_op": b'{"id":1,"op":"export_key"}',
    "private_op": b'{"id":1,"op":"_now"}',
    "op_of_another_type": b'{"id":1,"op":["stats"]}',
    "more_members": b'{"id":1,"op":"stats","all":true}',
    "deep": b'{"id":1,"op":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_answered_and_the_connection_goes_on(connect: Connect, name: str) -> None:
    caller = connect()
    caller.send(MALFORMED[name])
    answer = caller.receive()
    assert answer["error"]["code"] == "bad_request"
    assert answer["id"] in (None, 1)
    assert caller.hello()["size"] == 1


def test_pieces_of_frames_and_several_frames_at_once_are_put_together(connect: Connect) -> None:
    caller, body = connect(), b'{"id":1,"op":"stats"}'
    framed = len(body).to_bytes(4, "big") + body
    for byte in framed:
        caller.raw(bytes([byte]))
    caller.raw(framed * 50)
    assert all(caller.receive()["id"] == 1 for _ in range(51))


@pytest.mark.parametrize("length", [server.MAX_SMALL_FRAME, 2**32 - 1])
def test_a_frame_that_is_too_long_ends_the_connection_only(connect: Connect, length: int) -> None:
    other, caller = connect(), connect()
    other.hello()
    caller.raw(length.to_bytes(4, "big"))
    caller.require_ended()
    assert other.ask("stats")["ok"]


def test_the_authority_may_send_long_frames_up_to_the_limit(connect: Connect) -> None:
    caller = connect()
    caller.hello()
    body = b'{"id":1,"op":"stats"' + b" " * (server.MAX_FRAME - 4 - 21) + b"}"
    caller.send(body)
    assert "ok" in caller.receive()
    caller.raw((server.MAX_FRAME - 3).to_bytes(4, "big"))
    caller.require_ended()


def test_the_newest_authority_holds_the_role_alone(connect: Connect, rig: Any) -> None:
    first, second, observer = connect(), connect(), connect()
    first.hello()
    observer.hello("observer")
    assert second.ask("statement", type="audit", digest="00" * 32)["error"]["code"] == "not_authority"
    second.hello()
    first.require_ended()
    assert second.ask("statement", type="audit", digest="00" * 32)["ok"]["batch"]["first"] == 1
    assert observer.ask("statement", type="audit", digest="00" * 32)["error"]["code"] == "not_authority"
    second.hello("observer")  # it may be given back
    assert second.ask("ack", size=1)["error"]["code"] == "not_authority"


@pytest.mark.parametrize("op", ["make_key", "activate", "destroy", "sign", "statement", "manifest", "ack"])
def test_whatever_appends_or_forgets_needs_the_role(connect: Connect, op: str) -> None:
    values = {int: 1, str: "x", list: [], dict: {}}
    members = {name: values[kind] for name, kind in OPERATIONS[op][0].items()}
    assert connect().ask(op, **members)["error"]["code"] == "not_authority"


def test_a_caller_that_is_killed_half_way_leaves_the_leaves_behind(connect: Connect, rig: Any) -> None:
    kid, caller = rig.key(), connect()
    caller.hello()
    for _ in range(5):
        caller.send(json.dumps({"id": 1, "op": "sign", "requests": [rig.request(kid)] * 100}).encode())
    caller.raw(b"\0\0\1\0{")
    caller.receive()
    caller.sock.close()
    pending = connect().hello()["pending"]
    assert pending[0]["first"] == 0
    assert len(pending[0]["leaves"]) == rig.signer.journal.size >= 103


def test_a_reader_that_does_not_read_holds_nobody_up_and_is_bounded(connect: Connect, rig: Any) -> None:
    kid, deaf, other = rig.key(), connect(), connect()
    deaf.hello()
    body = json.dumps({"id": 1, "op": "hello", "protocol": 1, "role": "authority"}).encode()
    signing = json.dumps({"id": 1, "op": "sign", "requests": [rig.request(kid)] * 512}).encode()
    deaf.sock.setblocking(False)
    data = b"".join(len(part).to_bytes(4, "big") + part for part in [signing] * 7 + [body] * 4_000)
    sent, until = 0, time.monotonic() + 20
    (peer,) = [p for p in rig_peers(connect) if p.authority]
    while len(peer.unsent) <= server.HIGH_WATER:
        assert time.monotonic() < until
        with suppress(BlockingIOError):
            sent += deaf.sock.send(data[sent : sent + 65_536])
        assert other.ask("stats")["ok"]
    for _ in range(20):
        assert other.ask("stats")["ok"]
        assert server.HIGH_WATER < len(peer.unsent) < server.HIGH_WATER + server.MAX_FRAME
        assert len(peer.unread) <= server.MAX_FRAME + (1 << 18)


def rig_peers(connect: Connect) -> list[Any]:
    (serving,) = [o for o in gc.get_objects() if isinstance(o, Server) and o.running]
    return serving._peers


def test_a_flood_of_connections_never_costs_the_authority_its_own(connect: Connect) -> None:
    authority = connect()
    authority.hello()
    flood = [connect() for _ in range(100)]
    assert authority.ask("stats")["ok"]
    assert flood[-1].ask("stats")["ok"]
    assert len(rig_peers(connect)) <= server.MAX_CONNECTIONS


def test_a_window_ends_though_nobody_asks_for_anything(connect: Connect, rig: Any) -> None:
    kid, observer = rig.key(use=60), connect()
    rig.now[0] += 60
    until = time.monotonic() + 20
    while rig.signer.keyring.keys[kid].live:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert observer.hello("observer")["keys"][0]["state"] == "destroyed"
