"""`sealwright root`: the root of trust that validators pin, its keys, its threshold, and its next version.

Works on files alone, on a machine without a network as well (`--trust DIRECTORY`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sealwright.admission.ceremony import Ceremony, Proposal, public_of
from sealwright.admission.documents import new_private_key, thumbprint
from sealwright.cli.options import Apply, AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, moment, write_json
from sealwright.clock import SystemClock
from sealwright.errors import Misconfigured, Refused
from sealwright.files import read_private, write_private, writing

app = typer.Typer(no_args_is_help=True)
Trust = Annotated[Path | None, typer.Option("--trust", help="Another directory than `trust` of the state.")]
Role = Annotated[str, typer.Option(help="root (decides) or admission (admits signers).")]
Key = Annotated[Path, typer.Argument(help="File: a public JWK, or a private key as PEM.")]


def _ceremony(
    config: Path | None, state: Path | None, trust: Path | None, *, apply: bool = False
) -> Ceremony:
    directory = trust or configured(config, state).state.path / "trust"
    return Ceremony(directory, SystemClock().now(), dry=not apply)


def _described(payload: dict[str, Any]) -> dict[str, Any]:
    roles = {
        name: {"threshold": role["threshold"], "keys": [thumbprint(jwk) for jwk in role["keys"]]}
        for name, role in payload["roles"].items()
    }
    return {"version": payload["version"], "expires_at": payload["expires_at"], "roles": roles}


def _told(ceremony: Ceremony) -> dict[str, Any]:
    proposal = ceremony.pending()
    told: dict[str, Any] = {"current": _described(ceremony.current), "next": None}
    if proposal is not None:
        signed = {"signed_by": sorted(proposal.signed_by), "missing": ceremony.missing(proposal)}
        told["next"] = _described(proposal.payload) | signed
    return told


@app.command()
def show(
    *, config: ConfigFile = None, state: StateDirectory = None, trust: Trust = None, as_json: AsJson = False
) -> None:
    """Print the root, and what is proposed as the next one with the signatures that it wants."""
    told = _told(_ceremony(config, state, trust))
    if as_json:
        write_json(told)
        return
    for name in ("current", "next"):
        one = told[name]
        if one is None:
            console().print("nothing is proposed")
            continue
        console().print(f"{name}: version {one['version']}, until {moment(one['expires_at'])}")
        for role, held in one["roles"].items():
            console().print(
                f"  {role}: {held['threshold']} of {len(held['keys'])}: {', '.join(held['keys'])}"
            )
    if told["next"]:
        missing = told["next"]["missing"]
        console().print(f"  wanting: {missing['current']} of the current keys, {missing['next']} of the next")


@app.command("new-key")
def new_key(file: Annotated[Path, typer.Argument(help="Where the private key goes (mode 0600).")]) -> None:
    """Make an Ed25519 key for a root or admission role, and print its public half."""
    with writing(file):
        if file.exists():
            raise Misconfigured("file_exists", f"{file} is there already; a key is never overwritten")
        write_private(file, new_private_key())
    jwk = public_of(read_private(file), str(file))
    write_json(jwk | {"kid": thumbprint(jwk)})


@app.command("add-key")
def add_key(
    key: Key,
    *,
    role: Role = "root",
    apply: Apply = False,
    config: ConfigFile = None,
    state: StateDirectory = None,
    trust: Trust = None,
) -> None:
    """Propose a further key for a role."""
    jwk = _public(key)
    proposal = _ceremony(config, state, trust, apply=apply).add_key(role, jwk)
    if _planned(f"propose the {role} key {thumbprint(jwk)}", apply=apply):
        _proposed(proposal)


@app.command("remove-key")
def remove_key(
    kid: Annotated[str, typer.Argument(help="The key's id, see `show`.")],
    *,
    role: Role = "root",
    apply: Apply = False,
    config: ConfigFile = None,
    state: StateDirectory = None,
    trust: Trust = None,
) -> None:
    """Propose to take a key away from a role."""
    proposal = _ceremony(config, state, trust, apply=apply).remove_key(role, kid)
    if _planned(f"propose to remove the {role} key {kid}", apply=apply):
        _proposed(proposal)


@app.command()
def threshold(
    number: Annotated[int, typer.Argument(help="How many root keys must sign.")],
    *,
    apply: Apply = False,
    config: ConfigFile = None,
    state: StateDirectory = None,
    trust: Trust = None,
) -> None:
    """Propose how many root keys must sign a root."""
    proposal = _ceremony(config, state, trust, apply=apply).threshold(number)
    if _planned(f"propose that {number} root keys must sign", apply=apply):
        _proposed(proposal)


@app.command()
def renew(
    *, apply: Apply = False, config: ConfigFile = None, state: StateDirectory = None, trust: Trust = None
) -> None:
    """Propose the same keys for another year."""
    proposal = _ceremony(config, state, trust, apply=apply).renew()
    if _planned("propose the same keys for another year", apply=apply):
        _proposed(proposal)


@app.command()
def sign(
    *,
    key: Annotated[Path, typer.Option("--key", help="File of a private root key.")],
    apply: Apply = False,
    config: ConfigFile = None,
    state: StateDirectory = None,
    trust: Trust = None,
) -> None:
    """Sign what is proposed."""
    proposal = _ceremony(config, state, trust, apply=apply).sign(read_private(key), str(key))
    if _planned(f"sign what is proposed with {key}", apply=apply):
        _proposed(proposal)


@app.command()
def rotate(
    *, apply: Apply = False, config: ConfigFile = None, state: StateDirectory = None, trust: Trust = None
) -> None:
    """Make what is proposed the root, once enough current and new keys have signed it.

    Validators follow from whatever version they pinned, with the next manifest of a restarted authority
    (`sealwright restart`).
    """
    version = _ceremony(config, state, trust, apply=apply).publish()
    if _planned("make what is proposed the root", apply=apply):
        console().print(f"root version {version} is published; serve it with `sealwright restart --apply`")


@app.command()
def discard(
    *, apply: Apply = False, config: ConfigFile = None, state: StateDirectory = None, trust: Trust = None
) -> None:
    """Forget what is proposed."""
    _ceremony(config, state, trust, apply=apply).discard()
    _planned("forget what is proposed", apply=apply)


def _planned(plan: str, *, apply: bool) -> bool:
    """Say what is planned, after the ceremony has found that it can be done; whether it was."""
    console().print(plan)
    if not apply:
        console().print("nothing was changed; add --apply to do it")
    return apply


def _proposed(proposal: Proposal) -> None:
    version, count = proposal.payload["version"], len(proposal.signatures)
    console().print(
        f"root version {version} is proposed, with {count} signatures; see `sealwright root show`"
    )


def _public(file: Path) -> dict[str, str]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Misconfigured("unreadable_file", f"cannot read {file}: {error.strerror}") from error
    if content.lstrip().startswith(b"{"):
        try:
            jwk: dict[str, str] = json.loads(content)
        except ValueError as error:
            raise Refused("bad_key", f"{file} holds no JWK") from error
        return jwk
    return public_of(read_private(file), str(file))
