"""The sidecar's configuration: what is senseless or unknown is refused, and nothing is filled in."""

from typing import Any

import pytest

from sealwright_validate import Misconfigured
from sealwright_validate.sidecar.settings import settings_from

GOOD: dict[str, Any] = {"trust": {"oidc": "https://issuer.example"}, "policy": {"mail": {"audience": "a"}}}


@pytest.mark.parametrize(
    "changed",
    [
        {"policy": {}},
        {"policy": {"mail": {}}},
        {"policy": {"mail": {"audience": ""}}},
        {"policy": {"mail": {"audience": "a", "skip": True}}},
        {"policy": {"mail": {"audience": "a", "possession": "bearer"}}},
        {"policy": {"a/b": {"audience": "a"}}},
        {"policy": {"mail": 7}},
        {"trust": {}},
        {"trust": {"sealwright": "https://tokens.example"}},
        {"trust": {"oidc": "http://issuer.example"}},
        {"trust": {"entra": "contoso"}},
        {"trust": 7},
        {"listen": "0.0.0.0:8480"},
        {"listen": "8480"},
        {"colour": "red"},
        {"report": {"client_id": "x"}},
        {"report": {"client_id": "x", "client_secret_file": "/nonexistent"}},
    ],
    ids=str,
)
def test_a_senseless_configuration_is_refused(changed: dict[str, Any]) -> None:
    settings_from(GOOD)
    with pytest.raises(Misconfigured):
        settings_from(GOOD | changed)


def test_several_trusts_may_be_configured() -> None:
    both = settings_from(
        GOOD | {"trust": {"oidc": ["https://a.example", "https://b.example"], "any_tenant": True}}
    )
    assert both.trust.for_token("x").url == "https://a.example"
    assert settings_from(GOOD | {"listen": "0.0.0.0:1", "listen_anywhere": True}).port == 1
    assert settings_from(GOOD | {"listen": "unix:/run/x.sock"}).path == "/run/x.sock"
