"""The demo mail APIs are served with the same bounds as the authority."""

import asyncio
import socket
from threading import Thread

import pytest
import uvicorn
from starlette.applications import Starlette

from sealwright.bounded_http import MAX_HEAD
from sealwright.demo.serve import mail_settings


@pytest.mark.enable_socket
def test_a_head_without_end_is_refused_by_a_demo_api() -> None:
    server = uvicorn.Server(mail_settings(Starlette(), 0))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        running = Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
        running.start()
        with socket.create_connection(address, timeout=60) as connection:
            answer, sent = b"", 0
            try:
                connection.sendall(b"GET /messages HTTP/1.1\r\nhost: x\r\nx-a: ")
                while sent < 256 * MAX_HEAD:
                    sent += connection.send(b"a" * 65_536)
                answer = connection.recv(100)
            except (BrokenPipeError, ConnectionResetError):
                sent = 0  # closed before all of it was sent
        assert sent == 0 or answer.startswith(b"HTTP/1.1 431") or answer == b""
        server.should_exit = True
        running.join(60)
        assert not running.is_alive()
