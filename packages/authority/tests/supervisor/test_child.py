"""What is said about children: ports, ends, logs."""

import signal
import socket
from pathlib import Path

import pytest

from sealwright.errors import Misconfigured
from sealwright.supervisor import child
from sealwright.supervisor.model import Address


@pytest.mark.enable_socket
def test_a_port_in_use_is_named_with_the_setting_that_changes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured) as caught:
            child.require_free("authority", Address("127.0.0.1", port, "server.port"))
    assert caught.value.code == "port_in_use"
    for said in ("authority", f"127.0.0.1:{port}", "server.port", "SEALWRIGHT_SERVER__PORT"):
        assert said in caught.value.public
    child.require_free("authority", Address("127.0.0.1", port, "server.port"))


@pytest.mark.enable_socket
def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(Misconfigured) as caught:
        child.require_free("authority", Address("192.0.2.1", 8420, "server.port"))
    assert caught.value.code == "cannot_listen"


@pytest.mark.parametrize(
    ("status", "said"),
    [(0, "exit status 0"), (78, "exit status 78"), (-signal.SIGKILL, "killed by SIGKILL"), (-64, "SIGRTMAX")],
)
def test_an_end_is_described(status: int, said: str) -> None:
    assert said in child.describe_exit(status)


def test_an_unknown_signal_is_described() -> None:
    assert child.describe_exit(-99) == "killed by signal 99"


def test_only_the_owner_can_read_a_log(tmp_path: Path) -> None:
    import os

    file = tmp_path / "a.jsonl"
    for text in (b"one\n", b"two\n"):
        descriptor = child.open_log(file)
        os.write(descriptor, text)
        os.close(descriptor)
    assert file.stat().st_mode & 0o777 == 0o600
    assert child.tail(file, 1) == "two"
    assert child.tail(tmp_path / "absent") == ""


def test_a_very_long_log_is_moved_aside(tmp_path: Path) -> None:
    import os

    file = tmp_path / "a.jsonl"
    with file.open("wb") as stream:
        stream.truncate(child.LOG_LIMIT + 1)
    os.close(child.open_log(file))
    assert file.stat().st_size == 0
    assert (tmp_path / "a.jsonl.1").stat().st_size == child.LOG_LIMIT + 1


def test_an_address_is_written_as_urls_write_it() -> None:
    assert str(Address("::1", 8420, "server.port")) == "[::1]:8420"
    assert Address("::1", 8421, "demo.guarded_port").variable == "SEALWRIGHT_DEMO__GUARDED_PORT"
