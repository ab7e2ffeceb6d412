"""The vectors in the repository: every file is judged as it says, and every named case has its file."""

import json
from pathlib import Path
from typing import Any

import pytest

from sealwright_validate import Expect, Reason, Refused, Trust, Validator
from sealwright_validate.clock import FixedClock
from sealwright_validate.conformance.catalogue import all_cases
from sealwright_validate.conformance.catalogue.documents import documents
from sealwright_validate.conformance.scene import AUDIENCE, REALM, Scene, make_scene
from sealwright_validate.trust import FedTrust

VECTORS = Path(__file__).resolve().parents[3] / "vectors"
NOW = 1_800_000_000
EXPECT = Expect(audience=AUDIENCE, realm=REALM)
PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "k", "priv")

present = pytest.mark.skipif(
    not VECTORS.is_dir(), reason=f"VECTORS ABSENT: {VECTORS} is not beside this installation"
)


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def fed(root: Any, served: bytes, now: float) -> FedTrust:
    trust = Trust.fed(root=root, clock=FixedClock(now))
    trust.feed(served)
    return trust


def judged(validator: Validator, token: str) -> Reason | None:
    try:
        validator.validate(token, EXPECT)
    except Refused as refusal:
        return refusal.reason
    return None


@pytest.fixture(scope="module")
def trusted() -> dict[str, Any]:
    return read(VECTORS / "trust.json")


@present
@pytest.mark.parametrize("folder", ["good", "forged", "malformed"])
def test_every_token_in_the_repository_is_judged_as_its_file_says(
    folder: str, trusted: dict[str, Any]
) -> None:
    trust = fed(trusted["root"], json.dumps(trusted["served"]).encode(), trusted["now"])
    validator = Validator(trust=trust)
    files = sorted((VECTORS / folder).glob("*.json"))
    assert len(files) > 10
    wrong: list[tuple[str, object]] = []
    for path in files:
        vector = read(path)
        assert vector["name"] == path.stem
        said = judged(validator, vector["token"])
        if vector["accept"] != (said is None) or (said is not None and said.value not in vector["reasons"]):
            wrong.append((path.stem, said))
    assert wrong == []


@present
def test_every_document_in_the_repository_is_refused_as_its_file_says(trusted: dict[str, Any]) -> None:
    wrong: list[tuple[str, object]] = []
    for path in sorted((VECTORS / "documents").glob("*.json")):
        vector = read(path)
        trust = fed(trusted["root"], json.dumps(trusted["served"]).encode(), trusted["now"])
        take_in = trust.advance_root if vector["kind"] == "root" else trust.feed
        try:
            take_in(vector["document"].encode())
            wrong.append((path.stem, None))
        except Refused as refusal:
            if refusal.reason.value != vector["reason"]:
                wrong.append((path.stem, refusal.reason))
    assert wrong == []


@present
def test_the_repository_holds_a_file_for_every_named_case_and_no_other() -> None:
    scene = make_scene(NOW)
    named = set(all_cases(scene)) | {document.name for document in documents(scene)}
    assert {path.stem for path in VECTORS.glob("*/*.json") if path.parent.name != "node"} == named


@present
def test_no_vector_holds_a_private_key(trusted: dict[str, Any]) -> None:
    assert all(key.keys().isdisjoint(PRIVATE_MEMBERS) for key in trusted["jwks"]["keys"])


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(NOW)


def test_every_case_made_afresh_is_judged_as_it_says(scene: Scene) -> None:
    validator = Validator(trust=fed(scene.authority.roots[0], scene.authority.served(), NOW))
    wrong: list[tuple[str, object]] = []
    for case in all_cases(scene).values():
        said = judged(validator, case.token)
        if case.accept != (said is None) or (said is not None and said not in case.reasons):
            wrong.append((case.name, said))
    assert wrong == []


def test_every_flawed_document_is_refused_as_a_whole_and_changes_nothing(scene: Scene) -> None:
    wrong: list[tuple[str, object]] = []
    for document in documents(scene):
        trust = fed(scene.authority.roots[0], scene.authority.served(), NOW)
        before, root = trust.held, trust.root_version
        take_in = trust.advance_root if document.kind == "root" else trust.feed
        with pytest.raises(Refused) as caught:
            take_in(document.document)
        if caught.value.reason is not document.reason:
            wrong.append((document.name, caught.value))
        assert (trust.held, trust.root_version) == (before, root)
        assert trust.last_refusal is caught.value
    assert wrong == []
