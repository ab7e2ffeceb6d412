"""The sidecar, asked as each proxy asks, and behind a real NGINX."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pytest

from sealwright_validate.clock import SYSTEM_CLOCK
from sealwright_validate.conformance.authority import Issued, ThrowawayAuthority
from sealwright_validate.conformance.keys import jws, make_key
from sealwright_validate.conformance.server import LoopbackServer, Served
from sealwright_validate.encoding import encode_base64url
from sealwright_validate.sidecar.wire import BadRequestError, body_length, read_head

pytestmark = pytest.mark.enable_socket
ORIGIN = "https://mail.example"
CONFIG = """
listen = "127.0.0.1:0"
[trust]
sealwright = "{url}"
root = "{root}"
push = false
[policy.mail]
audience = "https://mail.example"
realm = "enterprise"
scopes = "mail.read"
origin = "https://mail.example"
certificate_header = "X-Client-Cert"
"""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def get(port: int, path: str, *headers: tuple[str, str], method: str = "GET") -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    answer = Answer(
        response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    )
    connection.close()
    return answer


@dataclass
class Sidecar:
    port: int
    authority: ThrowawayAuthority
    key: Issued
    served: Served

    def token(self, **changed: Any) -> tuple[str, str]:
        return ("Authorization", f"Bearer {self.authority.token(self.key, **changed)}")


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    pytest_socket = pytest.importorskip("pytest_socket")
    pytest_socket.enable_socket()
    folder = tmp_path_factory.mktemp("sidecar")
    with LoopbackServer(Served()) as server:
        authority = ThrowawayAuthority(SYSTEM_CLOCK.wall(), server.url)
        key = authority.make_key()
        server.served.roots, server.served.manifest = authority.roots, authority.served(life=600)
        (folder / "root.json").write_bytes(authority.roots[0])
        config = folder / "sidecar.toml"
        config.write_text(CONFIG.format(url=server.url, root=folder / "root.json"))
        command = [sys.executable, "-m", "sealwright_validate", "serve", str(config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert "listens on" in line, running.communicate(timeout=5)
            port = int(line.split("127.0.0.1:")[1].split()[0])
            yield Sidecar(port, authority, key, server.served)
            running.terminate()
            running.communicate(timeout=10)
            assert running.returncode == 0


ASKS: dict[str, Callable[[str], tuple[str, list[tuple[str, str]]]]] = {
    "auth_request": lambda path: (
        "/auth_request/mail",
        [("X-Original-Method", "GET"), ("X-Original-URI", path)],
    ),
    "forward_auth": lambda path: (
        "/forward_auth/mail",
        [("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", path), ("X-Forwarded-Host", "attacker.example")],
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


# behind a real NGINX

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
NGINX_CONF = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream sidecar {{ server 127.0.0.1:{sidecar}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      auth_request /_check;
      auth_request_set $subject $upstream_http_x_sealwright_subject;
      proxy_set_header X-Subject $subject;
      proxy_set_header Authorization "";
      proxy_pass http://127.0.0.1:{app};
    }}
    location = /_check {{
      internal;
      proxy_pass http://sidecar/auth_request/mail;
      proxy_pass_request_body off;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Original-URI $request_uri;
      proxy_set_header X-Client-Cert "";
    }}
  }}
}}
"""


class Application(BaseHTTPRequestHandler):
    """What NGINX guards: answers with the headers that it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps(dict(self.headers.items())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def nginx(sidecar: Sidecar, tmp_path: Path) -> Iterator[int]:
    if NGINX is None:
        pytest.skip("NGINX ABSENT: install nginx-light to test behind a real proxy")
    app = ThreadingHTTPServer(("127.0.0.1", 0), Application)
    app.daemon_threads = True
    Thread(target=app.serve_forever, args=(0.05,), daemon=True).start()
    port, conf = free_port(), tmp_path / "nginx.conf"
    conf.write_text(
        NGINX_CONF.format(folder=tmp_path, sidecar=sidecar.port, port=port, app=app.server_address[1])
    )
    with subprocess.Popen([NGINX, "-p", str(tmp_path), "-c", str(conf)], stderr=subprocess.PIPE) as running:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and running.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        assert running.poll() is None, running.communicate()
        yield port
        running.terminate()
        running.wait(10)
    app.shutdown()
    app.server_close()


def test_nginx_lets_pass_only_what_the_sidecar_accepts(sidecar: Sidecar, nginx: int) -> None:
    passed = get(nginx, "/inbox?x=1", sidecar.token(sub="alice"))
    assert passed.status == 200
    seen = json.loads(passed.body)
    assert seen["X-Subject"] == "alice"
    assert "Authorization" not in seen
    for headers in (
        [],
        [("Authorization", "Bearer x.y.z")],
        [sidecar.token(aud="https://files.example")],
        [sidecar.token(exp=sidecar.authority.now - 60, iat=sidecar.authority.now - 100)],
        [("X-Subject", "root"), ("X-Sealwright-Subject", "root")],
    ):
        answer = get(nginx, "/inbox", *headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert get(nginx, "/inbox", sidecar.token(scope=None)).status == 403


def test_a_client_cannot_speak_for_nginx(sidecar: Sidecar, nginx: int) -> None:
    certificate = b"certificate"
    bound = sidecar.token(cnf={"x5t#S256": encode_base64url(sha256(certificate).digest())})
    assert get(nginx, "/inbox", bound, ("X-Client-Cert", ":Y2VydGlmaWNhdGU=:")).status == 401
    passed = get(nginx, "/inbox", sidecar.token(sub="alice"), ("X-Subject", "root"))
    assert json.loads(passed.body)["X-Subject"] == "alice"
    assert get(nginx, "/_check", sidecar.token()).status == 404


def test_when_the_sidecar_has_no_keys_nothing_passes(sidecar: Sidecar, nginx: int, tmp_path: Path) -> None:
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
