"""The running authority as clients and relying parties meet it: real processes, a real OAuth client."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from authority_support.logs import is_in_first_bundle
from authority_support.site import running
from sealwright.cli.main import main
from sealwright.clock import SystemClock
from sealwright.drills.sandbox import REPORTER, Sandbox
from sealwright.drills.steps import wait_for
from sealwright.ledger.fsck import check_ledger
from sealwright.ledger.model import EventLeaf, parse_leaf
from sealwright_dumps.drill import sandbox as dump_sandbox
from sealwright_dumps.gate.authority import AuthorityLedger
from sealwright_dumps.gate.ledger import FileLedger, require_unbroken
from sealwright_validate import Expect, Report, Trust, Validator
from sealwright_validate.log_list import LogList, open_log_list
from sealwright_validate.receipt import event_members, read_event_receipt, require_event, require_receipt
from sealwright_validate.root import pinned_root

with warnings.catch_warnings(record=True):
    warnings.simplefilter("ignore")  # Authlib announces another HTTP library at import
    from authlib.integrations.httpx_client import OAuth2Client

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("authority")]


@pytest.fixture(scope="module")
def site() -> Iterator[Sandbox]:
    with running() as made:
        yield made


@pytest.fixture
def http(site: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, timeout=20) as client:
        yield client


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("realm", ["consumer", "enterprise"])
def test_an_oauth_client_library_finds_the_endpoint_and_gets_a_token(
    site: Sandbox, http: httpx.Client, realm: str, method: str
) -> None:
    metadata = http.get(f"/.well-known/oauth-authorization-server/{realm}").json()
    client = OAuth2Client(f"{realm}-app", site.secret, token_endpoint_auth_method=method)
    token = client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    assert token["token_type"] == "Bearer"
    keys = jwt.PyJWKSet.from_dict(http.get(metadata["jwks_uri"]).json())
    kid = jwt.get_unverified_header(token["access_token"])["kid"]
    key = next(key for key in keys.keys if key.key_id == kid)
    claims = jwt.decode(
        token["access_token"],
        key,
        algorithms=["ES256"],
        issuer=metadata["issuer"],
        audience=site.audience(realm),
    )
    assert claims["client_id"] == f"{realm}-app"
    client.close()


def test_the_ledger_states_every_admission_that_a_manifest_rests_on(
    site: Sandbox, http: httpx.Client
) -> None:
    payload = http.get("/manifest").json()["manifest"].split(".")[1]
    admissions = json.loads(base64.urlsafe_b64decode(payload + "=="))["incarnations"]
    assert len(admissions) == 1
    [admission] = site.stores.admissions.open()
    log = site.stores.ledger.log(admission.log_id)
    assert log is not None
    leaves = [parse_leaf(entry.leaf) for entry in site.stores.ledger.entries(admission.log_id, 0, log.size)]
    stated = [leaf.members for leaf in leaves if isinstance(leaf, EventLeaf)]
    digest = hashlib.sha256(admission.statement.encode()).hexdigest()
    assert [one["digest"] for one in stated if one.get("type") == "admission"] == [digest]


def eventually(http: httpx.Client, path: str) -> httpx.Response:
    """The answer once it is there: files are published a moment behind what is durable."""
    until = time.monotonic() + 60
    while (answer := http.get(path)).status_code == 503:
        assert time.monotonic() < until, answer.text
        time.sleep(0.1)
    return answer


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


def log_list(site: Sandbox, http: httpx.Client) -> LogList:
    served = eventually(http, "/ledger/log-list.json").content
    return open_log_list(pinned_root(site.root.read_bytes()), served, now=SystemClock().now())


def test_the_log_list_leads_from_the_root_to_every_log(site: Sandbox, http: httpx.Client) -> None:
    listed = log_list(site, http)
    assert set(listed.logs) == {log.log_id for log in site.stores.ledger.logs()}
    assert all(log.closed_at is None for log in listed.logs.values())


@pytest.mark.parametrize("query", ["jti", "place", "digest"])
def test_a_stranger_gets_a_receipt_and_checks_it_with_nothing_but_the_root(
    site: Sandbox, http: httpx.Client, query: str
) -> None:
    token = site.token()
    claims = claims_of(token)
    log_id, index, _ = claims["jti"].split(".")
    digest = hashlib.sha256(token.rpartition(".")[0].encode()).digest()
    logs = log_list(site, http).keys
    asked = {
        "jti": f"jti={claims['jti']}",
        "place": f"origin={logs[log_id].origin}&index={index}",
        "digest": f"digest={digest.hex()}",
    }
    receipt = eventually(http, f"/ledger/proof?{asked['jti']}").text
    until = time.monotonic() + 60
    while (answer := http.get(f"/ledger/proof?{asked[query]}")).status_code != 200:
        assert time.monotonic() < until, answer.text  # the files follow the commits
        time.sleep(0.1)
    kid = jwt.get_unverified_header(token)["kid"]
    for each in (receipt, answer.text):
        assert require_receipt(each, claims, digest, kid, logs).size > int(index)


def test_every_key_of_the_manifest_was_announced_in_the_ledger(site: Sandbox, http: httpx.Client) -> None:
    logs = log_list(site, http).keys
    for entry in claims_of(http.get("/manifest").json()["manifest"])["keys"]:
        receipt = read_event_receipt(eventually(http, f"/ledger/proof?kid={entry['kid']}").text)
        assert receipt.index == entry["ledger_index"]
        require_event(receipt, logs[entry["incarnation"]])
        announced = claims_of(event_members(receipt.leaf, 2)["announcement"])
        assert {name: entry[name] for name in announced} == announced


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("jti=a&jti=b", 400),
        ("jti=" + "a" * 600, 400),
        ("digest=zz", 400),
        ("log=aaaaaaaaaaaaaaaa&index=-1", 400),
        ("log=aaaaaaaaaaaaaaaa&index=1&kid=x", 400),
        ("log=aaaaaaaaaaaaaaaa&index=1", 404),
        ("jti=aaaaaaaaaaaaaaaa.1.AAAAAAAAAAAA", 404),
        ("jti=..%2f..%2froot.key", 404),
        ("kid=unknown", 404),
        ("digest=" + "00" * 32, 404),
    ],
)
def test_an_odd_question_for_a_proof_is_refused(http: httpx.Client, query: str, status: int) -> None:
    assert http.get(f"/ledger/proof?{query}").status_code == status


def test_every_form_of_metadata_names_the_same_issuer(http: httpx.Client) -> None:
    paths = [
        "/.well-known/oauth-authorization-server/enterprise",
        "/enterprise/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration/enterprise",
        "/enterprise/.well-known/openid-configuration",
    ]
    issuers = {http.get(path).json()["issuer"] for path in paths}
    assert len(issuers) == 1
    assert http.get("/nowhere/.well-known/openid-configuration").status_code == 404


def test_realms_share_no_key_and_there_is_no_union(http: httpx.Client) -> None:
    sets = [http.get(f"/{realm}/jwks.json") for realm in ("consumer", "enterprise")]
    consumer, enterprise = ({key["kid"] for key in answer.json()["keys"]} for answer in sets)
    assert consumer
    assert enterprise
    assert not consumer & enterprise
    assert all("max-age" in answer.headers["cache-control"] for answer in sets)
    for path in ("/jwks.json", "/.well-known/jwks.json"):
        assert http.get(path).status_code == 404


def test_a_manifest_that_has_not_changed_costs_no_body(http: httpx.Client) -> None:
    first = http.get("/manifest")
    again = http.get("/manifest", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code in {304, 200}
    if again.status_code == 200:
        assert again.headers["etag"] != first.headers["etag"]


def test_the_ledger_is_readable_as_files_and_covers_what_was_issued(
    site: Sandbox, http: httpx.Client
) -> None:
    token = site.token()
    payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    log_id, index, _ = payload["jti"].split(".")
    digest = hashlib.sha256(token.rpartition(".")[0].encode()).digest()
    until = time.monotonic() + 60
    while not is_in_first_bundle(http, log_id, int(index), digest):
        assert time.monotonic() < until, "the ledger was not published"
        time.sleep(0.1)


@pytest.mark.parametrize(
    "path",
    [
        "/ledger/x/checkpoint",
        "/ledger/aaaaaaaaaaaaaaaa/checkpoint",
        "/ledger/aaaaaaaaaaaaaaaa/../../sealwright.db",
        "/ledger/aaaaaaaaaaaaaaaa/tile/entries/..%2f..%2f..%2ftrust%2froot.key",
        "/trust/root.key",
        "/root/99",
        "/admin/keys",
        "/metrics",
    ],
)
def test_nothing_but_the_published_files_is_served(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 404


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b'{"jti":1,"digest":"","kid":""}', b"\xff", b"x" * 4_000]
)
def test_a_malformed_ledger_check_is_refused(http: httpx.Client, body: bytes) -> None:
    assert http.post("/ledger/check", content=body).status_code in {400, 413}


def test_a_relying_party_accepts_strictly_and_its_report_raises_no_alarm(site: Sandbox) -> None:
    trust = Trust.sealwright(site.url, root=site.root, announced=True)
    validator = Validator(trust=trust, mode="strict", report=Report(REPORTER, site.secret))
    try:
        validator.start()
        # The ledger proves a key once its announcement is published, a moment after the key was made.
        wait_for(lambda: validator.health().ready or None, "a validator with proven keys")
        for _ in range(20):
            expect = Expect(audience=site.audience("enterprise"), realm="enterprise")
            assert validator.validate(site.token(), expect).realm == "enterprise"
    finally:
        validator.close()
    assert site.stores.alarms.page(0, 10) == []


@pytest.mark.parametrize("authorization", ["", "Basic eDp5", "Bearer x"])
def test_a_stranger_may_not_report(http: httpx.Client, authorization: str) -> None:
    report = {"validator": {"name": "x", "instance": "x"}, "observations": []}
    assert (
        http.post("/observations", json=report, headers={"Authorization": authorization}).status_code == 401
    )


def test_what_is_wrong_at_the_end_would_show(site: Sandbox) -> None:
    assert check_ledger(site.stores.ledger, site.state / "ledger").sound


@pytest.mark.parametrize(
    "path",
    [
        "/root/" + "9" * 300,
        "/root/" + "9" * 5_000,
        "/ledger/aaaaaaaaaaaaaaaa/tile/0/" + "x000/" * 1_000 + "000",
    ],
)
def test_a_path_without_end_is_not_found(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 404


def test_a_head_without_end_is_refused(site: Sandbox) -> None:
    with socket.create_connection(("127.0.0.1", site.config.server.port), timeout=20) as connection:
        answer = b""
        try:
            connection.sendall(b"GET /manifest HTTP/1.1\r\nhost: x\r\nx-a: ")
            for _ in range(64):
                connection.sendall(b"a" * 65_536)
            answer = connection.recv(100)
        except (BrokenPipeError, ConnectionResetError):
            return  # closed before all of it was sent
        assert answer.startswith(b"HTTP/1.1 431") or answer == b""


def test_nesting_without_end_is_a_400(site: Sandbox, http: httpx.Client) -> None:
    body = b'{"a":' + b"[" * 100_000
    assert http.post("/observations", content=body, auth=(REPORTER, site.secret)).status_code == 400
    assert http.post("/ledger/check", content=b"[" * 2_000).status_code == 400


def test_a_lone_surrogate_in_an_assertion_is_refused(http: httpx.Client) -> None:
    claims = base64.urlsafe_b64encode(b'{"iss":"\\ud800"}').rstrip(b"=").decode()
    head = base64.urlsafe_b64encode(b'{"alg":"ES256"}').rstrip(b"=").decode()
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": f"{head}.{claims}.AAAA",
    }
    assert http.post("/enterprise/oauth2/token", data=form).status_code == 401


def test_prove_and_verify_on_the_command_line_agree(
    site: Sandbox, http: httpx.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token, other = site.token(), site.token()
    eventually(http, f"/ledger/proof?jti={claims_of(other)['jti']}")
    capsys.readouterr()
    state = ["--state", str(site.state)]
    receipt = tmp_path / "token.tlog-proof"
    for source in (state, ["--url", site.url]):
        assert main(["ledger", "prove", token, *source]) == 0
        receipt.write_text(capsys.readouterr().out)
        assert main(["ledger", "verify", str(receipt), "--token", token, *state]) == 0
        assert "proven" in capsys.readouterr().out
        assert main(["ledger", "verify", str(receipt), "--token", other, *state]) == 1
        assert "not proven" in capsys.readouterr().out
    claims = base64.urlsafe_b64encode(json.dumps(claims_of(token) | {"iat": -1}).encode()).decode()
    strange = f"{token.split('.')[0]}.{claims.rstrip('=')}.AA"
    assert main(["ledger", "verify", str(receipt), "--token", strange, *state]) == 1
    assert main(["ledger", "show", claims_of(token)["jti"].split(".")[0], str(10**36), *state]) == 2
    assert "not proven" in capsys.readouterr().out
    kid = jwt.get_unverified_header(token)["kid"]
    assert main(["ledger", "prove", "--kid", kid, *state]) == 0
    receipt.write_text(capsys.readouterr().out)
    assert main(["ledger", "verify", str(receipt), "--json", *state]) == 0
    assert json.loads(capsys.readouterr().out)["leaf"]["kid"] == kid
    assert main(["ledger", "prove", "--kid", kid, "--jti", "x", *state]) == 2


def test_fsck_checks_the_log_list_and_rebuilds_its_file(
    site: Sandbox, http: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    eventually(http, "/ledger/log-list.json")
    capsys.readouterr()
    state = ["--state", str(site.state)]
    served = site.state / "ledger" / "log-list.json"
    true = served.read_bytes()
    assert main(["ledger", "fsck", *state]) == 0
    served.write_bytes(true.replace(b'"root_version"', b'"root-version"'))
    capsys.readouterr()
    assert main(["ledger", "fsck", "--json", *state]) == 1
    damages = json.loads(capsys.readouterr().out)["damages"]
    assert [(found["code"], found["byte"]) for found in damages] == [("log_list_file", 6)]
    assert main(["ledger", "fsck", "--repair", *state]) == 0
    assert served.read_bytes() != true
    assert main(["ledger", "fsck", "--repair", "--apply", *state]) == 0
    assert served.read_bytes() == true


def test_every_step_of_a_dump_gate_is_a_leaf_of_the_ledger(site: Sandbox, tmp_path: Path) -> None:
    box = dump_sandbox.make(tmp_path)
    chain = FileLedger(tmp_path / "spool" / "ledger.jsonl")
    gate = replace(box.gate, ledger=AuthorityLedger(site.state / "run" / "admin.sock", chain))
    box = replace(box, gate=gate)
    name = box.redacted(dump_sandbox.small_core())
    box.approve(name, box.people[0])
    box.gate.release(name)
    lines = [json.loads(line) for line in (tmp_path / "spool" / "ledger.jsonl").read_text().splitlines()]
    steps = ["quarantined", "redacted", "approved", "releasing", "released"]
    assert [line["step"] for line in lines] == steps
    assert len(require_unbroken(tmp_path / "spool" / "ledger.jsonl")) == 5
    wanted = {line["authority"]["digest"] for line in lines}
    [admission] = site.stores.admissions.open()
    until = time.monotonic() + 60
    while missing := wanted - set(stated(site, admission.log_id, "audit")):
        assert time.monotonic() < until, missing
        time.sleep(0.1)
    trail = {entry.digest: entry for entry in site.stores.audit.page(0, 1_000)}
    entered = [trail[line["authority"]["digest"]].action for line in lines]
    assert entered == [f"dump_{step}" for step in steps]


def stated(site: Sandbox, log_id: str, kind: str) -> list[str]:
    log = site.stores.ledger.log(log_id)
    assert log is not None
    leaves = [parse_leaf(entry.leaf) for entry in site.stores.ledger.entries(log_id, 0, log.size)]
    return [
        leaf.members["digest"]
        for leaf in leaves
        if isinstance(leaf, EventLeaf) and leaf.members.get("type") == kind
    ]


@pytest.mark.parametrize("body", [b"{", b'{"step":"x","name":"n","facts":{}}', b'{"step":"released"}'])
def test_a_malformed_step_of_a_gate_is_refused(site: Sandbox, body: bytes) -> None:
    transport = httpx.HTTPTransport(uds=str(site.state / "run" / "admin.sock"))
    with httpx.Client(transport=transport, base_url="http://admin") as client:
        assert client.post("/admin/dumps/steps", content=body).status_code == 400
