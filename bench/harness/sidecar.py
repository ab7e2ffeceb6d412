"""A real NGINX in front of a real sidecar, an issuer that can publish or go away at will, and load on them.

May hand back a figure only when every answer was a 200, and only after a forged token was seen to be refused.
"""

import contextlib
import http.client
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import procfs
from harness.model import NotMeasured, WrongAnswer
from harness.processes import free_port, running, wait_for_answer
from harness.wrk import run_wrk
from sealwright_validate.conformance.authority import ThrowawayAuthority
from sealwright_validate.conformance.server import LoopbackServer, Served

CONNECTIONS = 16
TOKENS = 64
LIFE = 600  # seconds that a manifest lives
FORBIDDEN = (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN)
SIDECAR = """
listen = "127.0.0.1:{port}"
cache_size = {cache}
[trust]
sealwright = "{url}"
root = "{folder}/root.json"
[policy.mail]
audience = "https://mail.example"
realm = "enterprise"
"""
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 1000000;
  upstream sidecar {{ server 127.0.0.1:{sidecar}; keepalive 32; keepalive_requests 1000000; }}
  upstream app {{ server 127.0.0.1:{app}; keepalive 32; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{app}; location / {{ return 200 "mail"; }} }}
  server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location /open {{ proxy_pass http://app; }}
    location /guarded {{ auth_request /_check; proxy_pass http://app; }}
    location = /_check {{
      internal;
      proxy_pass http://sidecar/auth_request/mail;
      proxy_pass_request_body off;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Original-URI $request_uri;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Front:
    """NGINX with a sidecar behind it: where it listens, and the sidecar's process."""

    port: int
    pid: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """One stretch of load: requests per second, latencies in ms, CPU of the sidecar in µs per request."""

    rate: float
    p50: float
    p99: float
    cpu: float


class Issuer:
    """A throw-away authority behind HTTP, with tokens of one key."""

    def __init__(self, server: LoopbackServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.authority = ThrowawayAuthority(time.time(), server.url)
        self.key = self.authority.make_key()
        served = server.served
        served.roots, served.manifest = self.authority.roots, self.authority.served(life=LIFE)
        (folder / "root.json").write_bytes(self.authority.roots[0])
        tokens = [
            self.authority.token(self.key, iat=self.now - 1, exp=self.now + 3000) for _ in range(TOKENS)
        ]
        self.tokens = folder / "tokens"
        self.tokens.write_text("\n".join(tokens) + "\n")
        self.forged = self.authority.token(self.key, aud="https://other.example")

    @property
    def now(self) -> int:
        """The authority's time, seconds since 1970."""
        return self.authority.now

    def publish(self) -> None:
        """A manifest of the next version, pushed to whoever listens."""
        self.authority.now = int(time.time())
        self.server.served.push(self.authority.publish(life=LIFE))


@contextlib.contextmanager
def issuer(folder: Path) -> Iterator[Issuer]:
    """An issuer on loopback."""
    with LoopbackServer(Served()) as server:
        yield Issuer(server, folder)


@contextlib.contextmanager
def front(made: Issuer, cache: int) -> Iterator[Front]:
    """NGINX and a sidecar that remembers this many tokens; raises NotMeasured without NGINX."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        raise NotMeasured("nginx is not installed (Debian package nginx-light)")
    folder = made.folder / f"front-{cache}"
    folder.mkdir()
    port, behind, app = (free_port() for _ in range(3))
    config = folder / "sidecar.toml"
    config.write_text(SIDECAR.format(port=behind, cache=cache, url=made.server.url, folder=made.folder))
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, sidecar=behind, port=port, app=app))
    serve = [sys.executable, "-m", "sealwright_validate", "serve", str(config)]
    proxy = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with running(serve, folder / "serve.log") as sidecar, running(proxy, folder / "nginx.log") as nginx:
        wait_for_answer(sidecar, behind, "/health", folder / "serve.log")
        wait_for_answer(nginx, port, "/open", folder / "nginx.log")
        found = Front(port, sidecar.pid)
        require_guarded(found, made)
        yield found


def status(found: Front, token: str) -> int:
    """What NGINX answers for the guarded file."""
    connection = http.client.HTTPConnection("127.0.0.1", found.port, timeout=10)
    try:
        connection.request("GET", "/guarded", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


def require_guarded(found: Front, made: Issuer) -> None:
    """A good token passes and a forged one does not."""
    good = made.tokens.read_text().splitlines()[0]
    if status(found, good) != http.HTTPStatus.OK or status(found, made.forged) not in FORBIDDEN:
        raise WrongAnswer("the sidecar does not guard")


def load(found: Front, made: Issuer, path: str, seconds: int) -> Stretch:
    """Put NGINX under load for this long; raises WrongAnswer on any answer but 200."""
    before = procfs.cpu_seconds([found.pid])[found.pid]
    url = f"http://127.0.0.1:{found.port}{path}"
    told = run_wrk(url, CONNECTIONS, seconds, BENCH_TOKENS=str(made.tokens))
    used = procfs.cpu_seconds([found.pid])[found.pid] - before
    rate = told["requests"] / (told["microseconds"] / 1e6)
    return Stretch(rate, told["p50"] / 1e3, told["p99"] / 1e3, used * 1e6 / told["requests"])
