"""`sealwright up` with a signer on another host: not waited for, admitted when it comes, replaced."""

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authority_support.programs import Programs, until
from signer_support.channel import Far, key_of, start_far
from signer_support.ports import reserved_port

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sw-") as name:
        yield Path(name)


def listed(site: Programs) -> dict[int, dict[str, Any]]:
    document = json.loads((site.state / "run" / "signers.json").read_text())
    return {signer["slot"]: signer for signer in document["signers"]}


def settings(port: int, key: str, count: int) -> str:
    remote = f'[signers]\ncount = {count}\nremote = ["tls://127.0.0.1:{port}#{key}"]\n'
    return remote + '[manifest]\nlife = "10s"\n'


def signer_of(far: Far) -> int:
    (child,) = Path(f"/proc/{far.process.pid}/task/{far.process.pid}/children").read_text().split()
    return int(child)


def test_a_signer_elsewhere_alone_issues_and_is_replaced_when_it_dies(folder: Path) -> None:
    far = start_far(folder / "far", [key_of(folder / "state" / "channel")])
    site = Programs(folder, settings(far.port, far.key, 0))
    try:
        shown = site.start()
        assert site.process, shown
        assert site.process.poll() is None, shown
        assert until(lambda: site.token("enterprise"), "a token")
        first = listed(site)[0]["log_id"]
        os.kill(signer_of(far), signal.SIGKILL)
        until(lambda: listed(site).get(0, {}).get("log_id", first) != first, "another incarnation")
        assert until(lambda: site.token("enterprise"), "a token of the next one")
        assert site.run("ledger", "fsck").returncode == 0
        site.stop()
        assert not (far.folder / "signer.sock").exists()  # it ended with its supervisor
    finally:
        site.stop()
        far.stop()


def test_a_host_that_is_away_keeps_nothing_from_starting_and_joins_when_it_comes(folder: Path) -> None:
    port, key = reserved_port(), key_of(folder / "far")
    site = Programs(folder, settings(port, key, 1))
    far: Far | None = None
    try:
        shown = site.start()
        assert site.process, shown
        assert site.process.poll() is None, shown
        assert until(lambda: site.token("consumer"), "a token")
        assert listed(site).keys() == {0}
        far = start_far(folder / "far", [key_of(folder / "state" / "channel")], port=port)
        until(lambda: listed(site).keys() == {0, 1}, "the signer elsewhere")
        os.kill(listed(site)[0]["pid"], signal.SIGKILL)  # the one here: the other takes over
        assert until(lambda: site.token("consumer"), "a token")
    finally:
        site.stop()
        if far:
            far.stop()
