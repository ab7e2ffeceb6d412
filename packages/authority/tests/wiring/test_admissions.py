"""What an admission rests on is served to whoever asks."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from authority_support.site import running
from sealwright.drills.sandbox import Sandbox
from sealwright_attest.cli.commands import run

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("authority")]


@pytest.fixture(scope="module")
def site() -> Iterator[Sandbox]:
    with running() as made:
        yield made


def test_the_record_of_an_admission_is_served_and_names_its_result(site: Sandbox, tmp_path: Path) -> None:
    [admission] = site.stores.admissions.open()
    record = httpx.get(f"{site.url}/admissions/{admission.log_id}", timeout=20).json()
    payload = record["statement"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["result"] == hashlib.sha256(record["result"].encode()).hexdigest()
    assert httpx.get(f"{site.url}/admissions/{'a' * 16}", timeout=20).status_code == 404
    (tmp_path / "record.json").write_text(json.dumps(record))
    said: list[str] = []
    assert run(["recheck", str(tmp_path / "record.json")], said.append, said.append) == 1
    assert "rests on no evidence" in "".join(said)
