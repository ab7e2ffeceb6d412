"""The root of trust: made once, never weakened, renewed in time; validators accept what it publishes."""

import json
from pathlib import Path

import pytest

from sealwright.admission.documents import from_b64u, new_private_key
from sealwright.admission.trust import ROOT_LIFE, open_root_of_trust
from sealwright.errors import Misconfigured

NOW = 1_800_000_000.5


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    return tmp_path / "state" / "trust"


def payload(file: Path) -> dict[str, object]:
    decoded: dict[str, object] = json.loads(from_b64u(json.loads(file.read_bytes())["payload"]))
    return decoded


def test_the_first_start_makes_it_and_the_next_uses_it(trust: Path) -> None:
    first = open_root_of_trust(trust, NOW)
    again = open_root_of_trust(trust, NOW + 60)
    assert (first.version, first.expires_at) == (1, int(NOW) + ROOT_LIFE)
    assert again.admission.jwk == first.admission.jwk
    assert (trust / "root.json").read_bytes() == (trust / "root-1.json").read_bytes()


def test_only_the_owner_can_read_it(trust: Path) -> None:
    open_root_of_trust(trust, NOW)
    assert trust.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in trust.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["admission.key", "root.key", "root.json"])
def test_a_file_that_others_can_read_is_refused(trust: Path, name: str) -> None:
    open_root_of_trust(trust, NOW)
    (trust / name).chmod(0o640)
    with pytest.raises(Misconfigured, match=f"chmod 0600 .*{name}"):
        open_root_of_trust(trust, NOW)


def test_an_open_directory_is_refused(trust: Path) -> None:
    open_root_of_trust(trust, NOW)
    trust.chmod(0o755)
    with pytest.raises(Misconfigured) as caught:
        open_root_of_trust(trust, NOW)
    assert caught.value.code == "open_directory"


def test_a_lost_root_is_never_replaced_by_a_new_one(trust: Path) -> None:
    open_root_of_trust(trust, NOW)
    (trust / "root.json").unlink()
    with pytest.raises(Misconfigured, match=r"root\.json is missing"):
        open_root_of_trust(trust, NOW)


def test_a_start_that_was_cut_off_is_carried_on(trust: Path) -> None:
    trust.mkdir(mode=0o700, parents=True)
    (trust / "root.key").write_bytes(key := new_private_key())
    (trust / "root.key").chmod(0o600)
    assert open_root_of_trust(trust, NOW).version == 1
    assert (trust / "root.key").read_bytes() == key


def test_a_key_that_the_root_does_not_name_is_refused(trust: Path) -> None:
    open_root_of_trust(trust, NOW)
    (trust / "admission.key").write_bytes(new_private_key())
    with pytest.raises(Misconfigured) as caught:
        open_root_of_trust(trust, NOW)
    assert caught.value.code == "root_mismatch"


@pytest.mark.parametrize("content", [b"", b"{}", b'{"payload": "e30"}', b'{"payload": 1}', b"\xff"])
def test_what_is_no_root_is_refused(trust: Path, content: bytes) -> None:
    open_root_of_trust(trust, NOW)
    (trust / "root.json").write_bytes(content)
    with pytest.raises(Misconfigured) as caught:
        open_root_of_trust(trust, NOW)
    assert caught.value.code == "bad_root"


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(trust: Path, content: bytes) -> None:
    open_root_of_trust(trust, NOW)
    (trust / "admission.key").write_bytes(content)
    with pytest.raises(Misconfigured) as caught:
        open_root_of_trust(trust, NOW)
    assert caught.value.code == "bad_key_file"


def test_half_way_the_root_is_renewed_and_the_old_one_is_kept(trust: Path) -> None:
    first = open_root_of_trust(trust, NOW)
    later = NOW + ROOT_LIFE / 2 + 1
    renewed = open_root_of_trust(trust, later)
    assert (renewed.version, renewed.expires_at) == (2, int(later) + ROOT_LIFE)
    assert renewed.admission_keys == first.admission_keys
    assert payload(trust / "root-1.json")["version"] == 1
    assert (trust / "root-2.json").read_bytes() == (trust / "root.json").read_bytes()


def test_with_the_root_key_elsewhere_it_serves_until_it_expires(trust: Path) -> None:
    open_root_of_trust(trust, NOW)
    (trust / "root.key").unlink()
    assert open_root_of_trust(trust, NOW + ROOT_LIFE - 10).version == 1
    with pytest.raises(Misconfigured) as caught:
        open_root_of_trust(trust, NOW + ROOT_LIFE + 1)
    assert caught.value.code == "root_expired"
