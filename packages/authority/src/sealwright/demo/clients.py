"""Registers the demo's clients at the first start and keeps their secrets under `demo/`, for their owner
only.

`demo/<realm>.json` is the record; `demo/<realm>.curl` is the same for `curl -K`, so that no secret stands in
a command line. May never show a secret again once it was shown, and never touches a client that it did not
register.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from sealwright.config import Config
from sealwright.errors import Misconfigured
from sealwright.files import make_private_directory, read_private, write_private
from sealwright.ids import new_client_secret, new_id, secret_digest
from sealwright.issuer.model import Client, ClientKind
from sealwright.issuer.ports import ClientStore

REALM = "enterprise"
"""The realm whose mail the demo APIs serve."""
MAIL_API = "mail-api"


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a demo client."""

    name: str
    client_id: str
    client_secret: str
    realm: str
    audience: str
    scope: str

    def __repr__(self) -> str:
        return f"Credentials({self.name}, {self.client_id})"


def demo_clients(config: Config) -> list[tuple[str, str, ClientKind]]:
    """(name, realm, kind) of every client that the demo needs."""
    clients = [(name, name, ClientKind.CLIENT) for name in ("consumer", REALM)]
    return [*clients, (MAIL_API, REALM, ClientKind.REPORTER)] if config.demo.enabled else []


def register_demo_clients(config: Config, store: ClientStore, folder: Path) -> list[Credentials]:
    """Register what is missing; returns the clients whose secrets were made now, to be shown once. The mail
    API's own credentials are not among them: nobody types those.

    Raises:
        Misconfigured: a file under `demo/` can be read by others, or is damaged.
    """
    make_private_directory(folder)
    made = [_ensure(config, store, folder, *wanted) for wanted in demo_clients(config)]
    return [credentials for credentials in made if credentials is not None and credentials.name != MAIL_API]


def _ensure(
    config: Config, store: ClientStore, folder: Path, name: str, realm: str, kind: ClientKind
) -> Credentials | None:
    scopes = config.realms[realm].scopes
    audiences = config.realms[realm].audiences
    kept = read_credentials(folder, name) if (folder / f"{name}.json").exists() else None
    if kept is not None:
        known = store.get(kept.client_id)
        if known is not None and (known.realm, known.audiences, known.scopes) == (realm, audiences, scopes):
            return None
    client_id = kept.client_id if kept else f"demo-{name}"
    if store.get(client_id) is not None:  # its secret is lost or its realm was changed: it is replaced
        store.set_enabled(client_id, enabled=False)
        client_id, kept = new_id(f"demo-{name}"), None
    secret = kept.client_secret if kept else new_client_secret()
    made = Credentials(name, client_id, secret, realm, audiences[0], " ".join(scopes))
    _write(folder, made)  # before the registration: a registered client whose secret nobody has is of no use
    store.add(Client(client_id, realm, secret_digest(secret), audiences, scopes, kind=kind))
    return None if kept else made


def _write(folder: Path, made: Credentials) -> None:
    write_private(folder / f"{made.name}.json", msgspec.json.format(msgspec.json.encode(made), indent=2))
    line = f'user = "{made.client_id}:{made.client_secret}"\n'
    write_private(folder / f"{made.name}.curl", line.encode())


def read_credentials(folder: Path, name: str) -> Credentials:
    """The credentials of a demo client.

    Raises:
        Misconfigured: they are missing, can be read by others, or are damaged.
    """
    file = folder / f"{name}.json"
    try:
        return msgspec.json.decode(read_private(file), type=Credentials)
    except msgspec.DecodeError as error:
        raise Misconfigured(
            "bad_demo_file", f"{file} is damaged; remove it, a new client is made then"
        ) from error
