"""Demo clients are registered once; their secrets are shown once and kept for their owner only."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sealwright.config import Config, DemoConfig, RealmConfig
from sealwright.demo.clients import MAIL_API, read_credentials, register_demo_clients
from sealwright.errors import Misconfigured, Refused
from sealwright.ids import secret_digest
from sealwright.issuer.model import Client, ClientKind


@dataclass
class MemoryClients:
    """`ClientStore` in memory."""

    kept: dict[str, Client] = field(default_factory=dict)

    def get(self, client_id: str) -> Client | None:
        return self.kept.get(client_id)

    def add(self, client: Client) -> None:
        if client.client_id in self.kept:
            raise Refused("client_exists", client.client_id)
        self.kept[client.client_id] = client

    def list(self) -> list[Client]:
        return sorted(self.kept.values(), key=lambda client: client.client_id)

    def set_enabled(self, client_id: str, *, enabled: bool) -> None:
        self.kept[client_id] = replace(self.kept[client_id], enabled=enabled)


@pytest.fixture
def store() -> MemoryClients:
    return MemoryClients()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "demo"


def test_the_first_start_registers_a_client_per_realm_and_the_mail_api(
    store: MemoryClients, folder: Path
) -> None:
    made = register_demo_clients(Config(), store, folder)
    assert [credentials.realm for credentials in made] == ["consumer", "enterprise"]
    kinds = {client.client_id: (client.realm, client.kind) for client in store.list()}
    assert kinds == {
        "demo-consumer": ("consumer", ClientKind.CLIENT),
        "demo-enterprise": ("enterprise", ClientKind.CLIENT),
        "demo-mail-api": ("enterprise", ClientKind.REPORTER),
    }


def test_what_is_kept_is_the_secret_and_what_is_stored_its_digest(store: MemoryClients, folder: Path) -> None:
    register_demo_clients(Config(), store, folder)
    for name in ("consumer", "enterprise", MAIL_API):
        kept = read_credentials(folder, name)
        assert store.kept[kept.client_id].secret_digest == secret_digest(kept.client_secret)
        assert (folder / f"{name}.curl").read_text() == f'user = "{kept.client_id}:{kept.client_secret}"\n'


def test_only_the_owner_can_read_them(store: MemoryClients, folder: Path) -> None:
    register_demo_clients(Config(), store, folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_the_next_start_shows_and_changes_nothing(store: MemoryClients, folder: Path) -> None:
    register_demo_clients(Config(), store, folder)
    before = dict(store.kept)
    assert register_demo_clients(Config(), store, folder) == []
    assert store.kept == before


def test_a_lost_secret_gets_a_new_client_and_the_old_one_is_disabled(
    store: MemoryClients, folder: Path
) -> None:
    register_demo_clients(Config(), store, folder)
    (folder / "enterprise.json").unlink()
    [made] = register_demo_clients(Config(), store, folder)
    assert made.client_id != "demo-enterprise"
    assert not store.kept["demo-enterprise"].enabled
    assert store.kept[made.client_id].enabled


def test_a_lost_database_gets_the_same_secret_again(store: MemoryClients, folder: Path) -> None:
    register_demo_clients(Config(), store, folder)
    fresh = MemoryClients()
    assert register_demo_clients(Config(), fresh, folder) == []
    assert fresh.kept == store.kept


def test_a_realm_that_was_changed_gets_a_new_client(store: MemoryClients, folder: Path) -> None:
    register_demo_clients(Config(), store, folder)
    realms = Config().realms | {"enterprise": RealmConfig(audiences=("https://other.example",))}
    made = register_demo_clients(Config(realms=realms), store, folder)
    assert [credentials.audience for credentials in made] == ["https://other.example"]
    assert not store.kept["demo-enterprise"].enabled


def test_a_start_that_was_cut_off_before_the_registration_is_carried_on(
    store: MemoryClients, folder: Path
) -> None:
    register_demo_clients(Config(), store, folder)
    del store.kept["demo-enterprise"]
    assert register_demo_clients(Config(), store, folder) == []
    kept = read_credentials(folder, "enterprise")
    assert store.kept["demo-enterprise"].secret_digest == secret_digest(kept.client_secret)


def test_credentials_that_others_can_read_are_refused(store: MemoryClients, folder: Path) -> None:
    register_demo_clients(Config(), store, folder)
    (folder / "enterprise.json").chmod(0o644)
    with pytest.raises(Misconfigured, match="chmod 0600"):
        register_demo_clients(Config(), store, folder)


def test_damaged_credentials_are_refused(store: MemoryClients, folder: Path) -> None:
    register_demo_clients(Config(), store, folder)
    (folder / "enterprise.json").write_text("{}")
    with pytest.raises(Misconfigured, match="damaged"):
        register_demo_clients(Config(), store, folder)


def test_a_secret_does_not_show_in_a_repr(store: MemoryClients, folder: Path) -> None:
    [made, _] = register_demo_clients(Config(), store, folder)
    assert made.client_secret not in repr(made)


def test_without_the_demo_there_are_none(store: MemoryClients, folder: Path) -> None:
    assert register_demo_clients(Config(demo=DemoConfig(enabled=False)), store, folder) == []
    assert store.kept == {}
