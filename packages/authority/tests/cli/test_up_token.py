"""`sealwright up` with its keys in a SoftHSM2 token: issued, rotated, and healed when the token goes."""

import json
import os
import re
import signal
import tempfile
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from authority_support.programs import Programs, until
from signer_support.softhsm import LABEL, SoftHsm, make_token

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.xdist_group("up-token")]


def settings(hsm: SoftHsm) -> str:
    custody = hsm.custody(objects="token", patience=30)
    quoted = "\n".join(
        f'{name} = "{custody[name]}"' for name in ("kind", "module", "token", "pin_file", "objects")
    )
    variables = ", ".join(f'{name} = "{value}"' for name, value in hsm.environment.items())
    return (
        f"[custody]\n{quoted}\nsessions = 2\npatience = 30\n"
        f'reach = ["{hsm.tokens}"]\nenvironment = {{ {variables} }}\n[manifest]\nlife = "10s"\n'
        '[keys]\nlead = "10s"\nuse = "80s"\n'
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sw-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def hsm(folder: Path) -> SoftHsm:
    return make_token(folder / "hsm")


@pytest.fixture(scope="module")
def site(folder: Path, hsm: SoftHsm) -> Iterator[Programs]:
    site = Programs(folder, settings(hsm))
    shown = site.start()
    assert site.process, shown
    assert site.process.poll() is None, shown
    yield site
    site.stop()
    until(lambda: hsm.objects() == 0, "an end that leaves no key in the token")


def kid_of(token: str) -> str:
    header = token.split(".", maxsplit=1)[0]
    kid: str = json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
    return kid


def test_tokens_come_from_the_token_and_a_revoked_key_leaves_it(site: Programs, hsm: SoftHsm) -> None:
    before = until(lambda: site.token("enterprise"), "a token")
    kid, held = kid_of(before), hsm.objects()
    assert held >= 2  # a key for each realm, and those that are staged
    revoked = site.run("keys", "revoke", kid, "--reason", "superseded", "--apply")
    assert revoked.returncode == 0, revoked.stdout + revoked.stderr
    after = until(lambda: site.token("enterprise"), "a token by another key")
    assert kid_of(after) != kid
    until(lambda: hsm.objects() == live_keys(site), "as many keys in the token as are live")


def test_a_rotation_makes_the_next_key_in_the_token_and_destroys_the_one_before(
    site: Programs, hsm: SoftHsm
) -> None:
    before = kid_of(until(lambda: site.token("consumer"), "a token"))
    assert site.run("keys", "rotate", "--realm", "consumer", "--apply").returncode == 0

    def follower() -> str | None:
        token = site.token("consumer")
        return kid_of(token) if token and kid_of(token) != before else None

    after = until(follower, "a token by the successor")
    listed = {key["kid"]: key["state"] for key in json.loads(site.run("keys", "list", "--json").stdout)}
    assert listed[before] == "verify-only"
    assert listed[after] in ("active", "verify-only")  # it may have been followed already
    until(lambda: hsm.objects() == live_keys(site), "as many keys in the token as are live")


def live_keys(site: Programs) -> int:
    listed = json.loads(site.run("keys", "list", "--json").stdout)
    return sum(key["state"] in ("staged", "active") for key in listed)


def test_a_signer_whose_token_goes_is_replaced_and_issuing_goes_on(site: Programs, hsm: SoftHsm) -> None:
    first = until(site.signer, "a signer")
    described = site.run("doctor", "--json")
    assert described.returncode == 0, described.stdout
    shown = json.loads(described.stdout)["signer"]
    assert shown["custody"] == "pkcs11"
    (apart,) = (m for m in shown["isolation"] if m["measure"] == "custody_apart")
    assert LABEL in apart["reason"]
    children = Path(f"/proc/{first['pid']}/task/{first['pid']}/children").read_text().split()
    keepers = [pid for pid in children if "NoNewPrivs:\t1" in status(pid) and "TracerPid:\t0" in status(pid)]
    os.kill(int(keepers[0]), signal.SIGKILL)
    until(lambda: (found := site.signer()) and found["log_id"] != first["log_id"], "another incarnation")
    assert until(lambda: site.token("enterprise"), "a token")
    said = (site.state / "log" / "signer-0.log").read_text()
    assert re.search(r"signer ends: the keeper of the token has ended", said)


def status(pid: str) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def test_a_wrong_pin_stops_the_start_and_is_named(folder: Path, hsm: SoftHsm) -> None:
    pin = folder / "wrong-pin"
    pin.touch(mode=0o600)
    pin.write_text("31415926")
    (folder / "other").mkdir()
    other = Programs(folder / "other", settings(hsm).replace(str(hsm.folder / "pin"), str(pin)))
    shown = other.start()
    assert other.process
    assert other.process.wait(60) != 0
    assert "the PIN is wrong" in shown
    assert "31415926" not in shown
