"""The sidecar, asked as each proxy asks."""

import json
import re
import socket
import subprocess
import sys
from base64 import urlsafe_b64decode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

import pytest

from sealwright_validate.clock import SYSTEM_CLOCK
from sealwright_validate.conformance.keys import jws, make_key
from sealwright_validate.encoding import encode_base64url
from sealwright_validate.sidecar.wire import BadRequestError, body_length, read_head
from validate_support.sidecar import CONFIG, Sidecar, free_port, get

pytestmark = pytest.mark.enable_socket
ORIGIN = "https://mail.example"
ASKS: dict[str, Callable[[str], tuple[str, list[tuple[str, str]]]]] = {
    "auth_request": lambda path: (
        "/auth_request/mail",
        [("X-Original-Method", "GET"), ("X-Original-URI", path)],
    ),
    "forward_auth": lambda path: (
        "/forward_auth/mail",
        [  # all that Traefik 3.7 sets, with a host that the client chose
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Port", "80"),
            ("X-Forwarded-Host", "attacker.example"),
            ("X-Forwarded-Uri", path),
        ],
    ),
    "ext_authz": lambda path: (f"/ext_authz/mail{path}", []),
}


@pytest.mark.parametrize("kind", ASKS)
def test_an_accepted_token_is_answered_with_its_facts(sidecar: Sidecar, kind: str) -> None:
    path, told = ASKS[kind]("/inbox?x=1")
    answer = get(sidecar.port, path, *told, sidecar.token(sub="älice\r\nX-Admin: yes"))
    assert answer.status == 200
    assert unquote(answer.headers["x-sealwright-subject"]) == "älice\r\nX-Admin: yes"
    assert "x-admin" not in answer.headers
    assert answer.headers["x-sealwright-scope"] == "mail.read mail.send"
    claims = json.loads(urlsafe_b64decode(answer.headers["x-sealwright-claims"] + "=="))
    assert claims["client_id"] == "mail-client"


@pytest.mark.parametrize("kind", ASKS)
def test_a_refused_token_is_a_refusal_that_the_proxy_understands(sidecar: Sidecar, kind: str) -> None:
    path, told = ASKS[kind]("/inbox")
    refused = get(sidecar.port, path, *told, sidecar.token(aud="https://files.example"))
    assert refused.status == 401
    assert json.loads(refused.body)["reason"] == "audience_not_allowed"
    assert refused.headers["www-authenticate"].startswith("Bearer error=")
    assert get(sidecar.port, path, *told).status == 401
    assert get(sidecar.port, path, *told, sidecar.token(scope="other")).status == 403
    twice = get(sidecar.port, path, *told, sidecar.token(), sidecar.token())
    assert twice.status == (401 if kind == "auth_request" else 400)


@pytest.mark.parametrize("kind", ASKS)
def test_a_proof_is_checked_against_what_the_proxy_says_of_the_request(sidecar: Sidecar, kind: str) -> None:
    key = make_key("ES256")
    token = sidecar.authority.token(sidecar.key, cnf={"jkt": key.kid})
    bare = {name: key.jwk[name] for name in ("kty", "crv", "x", "y")}

    def ask(uri: str, *more: tuple[str, str]) -> int:
        claims = {
            "jti": f"{kind}{uri}{len(more)}",
            "htm": "GET",
            "htu": uri,
            "iat": SYSTEM_CLOCK.wall(),
            "ath": encode_base64url(sha256(token.encode()).digest()),
        }
        proof = jws(key, {"typ": "dpop+jwt", "alg": "ES256", "jwk": bare}, claims)
        path, told = ASKS[kind]("/inbox")
        return get(
            sidecar.port, path, *told, *more, ("Authorization", f"DPoP {token}"), ("DPoP", proof)
        ).status

    assert ask(f"{ORIGIN}/inbox") == 200
    assert ask(f"{ORIGIN}/outbox") == 401
    assert ask("https://attacker.example/inbox") == 401
    for name in ("X-Original-URI", "X-Forwarded-Uri"):
        assert ask(f"{ORIGIN}/outbox", (name, "/outbox")) == 401, "a client cannot say where it went"


def test_an_unknown_policy_or_path_lets_nothing_pass(sidecar: Sidecar) -> None:
    for path in (
        "/auth_request/bank",
        "/auth_request/",
        "/ext_authz",
        "/auth_request/mail%2f",
        "/",
        "/inbox",
    ):
        assert get(sidecar.port, path, sidecar.token()).status in {403, 404}


def test_health_and_metrics_say_what_went_on(sidecar: Sidecar) -> None:
    get(sidecar.port, "/auth_request/mail", sidecar.token())
    health = get(sidecar.port, "/health")
    assert (health.status, json.loads(health.body)["ready"]) == (200, True)
    metrics = get(sidecar.port, "/metrics").body.decode()
    assert 'sealwright_validate_verdicts_total{policy="mail",verdict="accepted"}' in metrics
    assert "sealwright_validate_ready 1" in metrics


def raw(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def test_requests_on_one_connection_are_answered_in_order(sidecar: Sidecar) -> None:
    name, value = sidecar.token()
    line = "GET /auth_request/mail HTTP/1.1\r\nHost: x"
    good = f"{line}\r\n{name}: {value}\r\nContent-Length: 3\r\n\r\nabc".encode()
    bad = b"GET /auth_request/mail HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = raw(sidecar.port, good + bad + good + b"GET /nothing HTTP/1.0\r\n\r\n")
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"200", b"401", b"200", b"404"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/2.0", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"get / HTTP/1.1", 400),
        (b"GET x HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET / HTTP/1.1\r\nno colon", 400),
        (b"GET / HTTP/1.1\r\nName : x", 400),
        (b"GET / HTTP/1.1\r\n folded: x", 400),
        (b"GET / HTTP/1.1\r\nA: x\ny", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked", 411),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1e3", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 999999", 413),
        (b"GET / HTTP/1.1\r\n" + b"\r\n".join(b"A: x" for _ in range(200)), 400),
    ],
)
def test_what_is_no_plain_request_ends_the_connection(sidecar: Sidecar, head: bytes, status: int) -> None:
    with pytest.raises(BadRequestError) as caught:
        body_length(read_head(head))
    assert caught.value.status == status
    assert raw(sidecar.port, head + b"\r\n\r\n").startswith(b"HTTP/1.1 %d " % status)


def test_an_endless_head_is_cut_off(sidecar: Sidecar) -> None:
    assert raw(sidecar.port, b"GET / HTTP/1.1\r\nA: " + b"x" * 60_000).startswith(b"HTTP/1.1 431 ")


def test_when_the_sidecar_has_no_keys_nothing_passes(sidecar: Sidecar, tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    (tmp_path / "root.json").write_bytes(sidecar.authority.roots[0])
    config.write_text(CONFIG.format(url=f"http://127.0.0.1:{free_port()}", root=tmp_path / "root.json"))
    command = [sys.executable, "-m", "sealwright_validate", "serve", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout is not None
        port = int(running.stdout.readline().split("127.0.0.1:")[1].split()[0])
        assert get(port, "/auth_request/mail", sidecar.token()).status == 503
        assert get(port, "/health").status == 503
        running.terminate()
        running.communicate(timeout=10)
