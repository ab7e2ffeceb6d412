"""Addresses and keys of the channel to a signer elsewhere, as people write them and files keep them."""

import secrets
import socket
from pathlib import Path

import pytest

from sealwright_signer.remote.address import listener, parsed_address
from sealwright_signer.remote.channel import ChannelError, open_key, parsed_key
from signer_support.channel import Between

pytestmark = pytest.mark.enable_socket


def test_vsock_is_listened_on_where_the_kernel_has_it() -> None:
    try:
        socket.socket(socket.AF_VSOCK).close()
    except (OSError, AttributeError) as error:
        pytest.skip(f"NO VSOCK IN THIS KERNEL ({error}): vsock was not tried")
    with _bound() as held:
        held.listen(1)
        with pytest.raises(ChannelError, match="cannot listen on vsock"):
            listener(parsed_address(f"vsock://any:{held.getsockname()[1]}"))


def _bound() -> socket.socket:
    """A vsock socket on some port that nobody has."""
    while True:
        held = socket.socket(socket.AF_VSOCK)
        try:
            held.bind((socket.VMADDR_CID_ANY, 10_000 + secrets.randbelow(50_000)))
        except OSError:
            held.close()
        else:
            return held


@pytest.mark.parametrize(
    "text",
    ["", "tls://", "tls://host", "http://host:1", "vsock://host:1", "tls://h:1/x", "tls://h:99999", "h:1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ChannelError, match="no address"):
        parsed_address(text)


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:AAAA", "rsa:" + "A" * 43, "ed25519:" + "!" * 43])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ChannelError, match="no key"):
        parsed_key(text)


def test_a_channel_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "quite" / "new" / "channel.pem"
    first = open_key(file).public_key()
    assert {place.stat().st_mode & 0o777 for place in (file.parent, file.parent.parent)} == {0o700}
    assert open_key(file).public_key() == first
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(ChannelError, match="only its owner"):
        open_key(file)


def test_the_names_of_a_wire_are_exact() -> None:
    assert Between(1).answers_left is None
    assert str(parsed_address("tls://[::1]:8440")) == "tls://[::1]:8440"
