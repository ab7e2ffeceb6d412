"""What the sidecar is to do: where to listen, whom to trust, and a policy for each service that it guards.

Read from a TOML file. Unknown names are refused. May never fill in an audience or a realm.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sealwright_validate.cache import DEFAULT_SIZE
from sealwright_validate.errors import Misconfigured
from sealwright_validate.expect import ACCESS_TOKEN, Expect
from sealwright_validate.fetch import is_loopback
from sealwright_validate.report import Report
from sealwright_validate.trust import Trust

_TOP: Final = frozenset(
    ("listen", "listen_anywhere", "mode", "skew", "cache_size", "trust", "report", "policy")
)
_TRUST: Final = frozenset(("sealwright", "root", "state_file", "push", "oidc", "entra", "any_tenant"))
_REPORT: Final = frozenset(("client_id", "client_secret_file", "name", "spool"))
_POLICY: Final = frozenset(
    (
        "audience",
        "realm",
        "token_types",
        "scopes",
        "evidence",
        "possession",
        "receipt",
        "witnesses",
        "origin",
        "certificate_header",
    )
)
DEFAULT_LISTEN: Final = "127.0.0.1:8480"


@dataclass(frozen=True, slots=True)
class Policy:
    """What one guarded service expects, where it is, and where its proxy puts client certificates."""

    expect: Expect
    origin: str | None = None
    certificate_header: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `serve` needs. `host` is empty and `path` set for a Unix socket."""

    host: str
    port: int
    path: str
    mode: str
    skew: float
    cache_size: int
    trust: Trust
    report: Report | None
    policies: Mapping[str, Policy]


def settings_from_file(path: Path) -> Settings:
    """The settings in a TOML file; raises Misconfigured and names what is wrong."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{path}: {error}") from None
    return settings_from(found)


def settings_from(found: Mapping[str, Any]) -> Settings:
    """The settings in a table as TOML gives it."""
    _require_known("the file", found, _TOP)
    host, port, socket = _listen(
        str(found.get("listen", DEFAULT_LISTEN)), anywhere=bool(found.get("listen_anywhere"))
    )
    policies = {name: _policy(name, table) for name, table in _table(found, "policy").items()}
    if not policies:
        raise Misconfigured("no policy: say what a service expects in [policy.NAME]")
    return Settings(
        host=host,
        port=port,
        path=socket,
        mode=str(found.get("mode", "async")),
        skew=float(found.get("skew", 5.0)),
        cache_size=int(found.get("cache_size", DEFAULT_SIZE)),
        trust=_trust(_table(found, "trust")),
        report=_report(_table(found, "report")) if "report" in found else None,
        policies=policies,
    )


def _trust(table: Mapping[str, Any]) -> Trust:
    _require_known("[trust]", table, _TRUST)
    trusts = []
    if "sealwright" in table:
        if "root" not in table:
            raise Misconfigured("[trust] sealwright needs root: the pinned root document")
        known = {name: table[name] for name in ("root", "state_file", "push") if name in table}
        trusts.append(Trust.sealwright(table["sealwright"], **known))
    trusts += [Trust.oidc(issuer) for issuer in _texts(table.get("oidc", ()))]
    if "entra" in table or table.get("any_tenant"):
        trusts.append(Trust.entra(table.get("entra", ()), any_tenant=bool(table.get("any_tenant"))))
    if not trusts:
        raise Misconfigured("[trust] names nobody: sealwright, oidc or entra")
    return trusts[0] if len(trusts) == 1 else Trust.any_of(*trusts)


def _report(table: Mapping[str, Any]) -> Report:
    _require_known("[report]", table, _REPORT)
    try:
        secret = Path(table["client_secret_file"]).read_text(encoding="utf-8").strip()
        return Report(table["client_id"], secret, name=table.get("name", "sidecar"), spool=table.get("spool"))
    except KeyError as missing:
        raise Misconfigured(f"[report] lacks {missing}") from None
    except OSError as error:
        raise Misconfigured(f"[report] client_secret_file: {error}") from None


def _policy(name: str, table: Any) -> Policy:
    if not isinstance(table, Mapping) or not name.isidentifier():
        raise Misconfigured(f"[policy.{name}] is no table with a plain name")
    _require_known(f"[policy.{name}]", table, _POLICY)
    expected = {key: value for key, value in table.items() if key not in ("origin", "certificate_header")}
    try:
        expect = Expect(**{"token_types": ACCESS_TOKEN, **expected})
    except TypeError:
        raise Misconfigured(f"[policy.{name}] lacks audience") from None
    return Policy(expect, table.get("origin"), table.get("certificate_header"))


def _listen(text: str, *, anywhere: bool) -> tuple[str, int, str]:
    if text.startswith("unix:"):
        return "", 0, text.removeprefix("unix:")
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not host:
        raise Misconfigured(f"listen = {text!r}: HOST:PORT or unix:PATH")
    host = host.strip("[]")
    if not is_loopback(host) and not anywhere:
        raise Misconfigured(
            f"{host} is not this machine; if only your proxy can reach it: listen_anywhere = true"
        )
    return host, int(port), ""


def _table(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = found.get(name, {})
    if not isinstance(table, Mapping):
        raise Misconfigured(f"{name} is no table")
    return table


def _texts(value: Any) -> Iterable[str]:
    return (value,) if isinstance(value, str) else tuple(map(str, value))


def _require_known(where: str, table: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = table.keys() - known
    if unknown:
        raise Misconfigured(
            f"{where}: unknown {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}"
        )
