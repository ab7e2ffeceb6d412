"""Changes the root of trust in the manner of TUF: propose the next version, collect signatures, publish.

The next version counts when the threshold of the current root keys and of its own have signed it; that is
checked here with the validator's own rules, so that nothing is published which relying parties would not
follow. May never publish a version that skips one, nor take a key away that is in use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sealwright.admission.documents import (
    ADMISSION_TYPE,
    ROOT_TYPE,
    DocumentSigner,
    b64u,
    from_b64u,
    public_jwk,
    read_signer,
    spki_of,
    thumbprint,
)
from sealwright.admission.model import canonical
from sealwright.admission.trust import ROOT_LIFE
from sealwright.errors import Misconfigured, Refused
from sealwright.files import read_private, write_private
from sealwright_validate import Refused as NotFollowed
from sealwright_validate.root import advance_root, pinned_root

PENDING = "root-next.json"
ROLES = ("root", "admission")
MAX_KEYS = 16


@dataclass(frozen=True, slots=True)
class Proposal:
    """The next root as it stands: its payload and the signatures so far (general JWS entries)."""

    payload: dict[str, Any]
    signatures: tuple[dict[str, str], ...]

    @property
    def signed_by(self) -> frozenset[str]:
        """Ids of the keys that signed it."""
        headers = [json.loads(from_b64u(entry["protected"])) for entry in self.signatures]
        return frozenset(header["kid"] for header in headers)

    def document(self) -> bytes:
        """The general JWS."""
        return canonical({"payload": b64u(canonical(self.payload)), "signatures": list(self.signatures)})


class Ceremony:
    """The root of one trust directory and what is to become of it.

    Args:
        directory: `trust/` of the state, or a copy of it on a machine without a network.
        now: seconds since 1970.
        dry: refuse what would be refused, and write nothing.
    """

    def __init__(self, directory: Path, now: float, *, dry: bool = False) -> None:
        self._dry = dry
        self._directory = directory
        self._now = int(now)
        self._document = read_private(directory / "root.json")
        self.current: dict[str, Any] = _payload(self._document, "root.json")

    def pending(self) -> Proposal | None:
        """What was proposed and not yet published."""
        if not (self._directory / PENDING).is_file():
            return None
        document = read_private(self._directory / PENDING)
        payload = _payload(document, PENDING)
        return Proposal(payload, tuple(json.loads(document)["signatures"]))

    def missing(self, proposal: Proposal) -> dict[str, int]:
        """How many signatures are wanting still, of the current root keys and of the new ones."""
        wanting = {}
        for name, payload in (("current", self.current), ("next", proposal.payload)):
            role = payload["roles"]["root"]
            signed = {thumbprint(jwk) for jwk in role["keys"]} & proposal.signed_by
            wanting[name] = max(0, role["threshold"] - len(signed))
        return wanting

    def add_key(self, role: str, jwk: Mapping[str, str]) -> Proposal:
        """Propose a further key.

        Raises:
            Refused: `bad_key`, `key_known`, `too_many_keys` or `unknown_role`.
        """
        try:
            spki_of(jwk)
        except (KeyError, ValueError, TypeError) as error:
            raise Refused("bad_key", "a root or admission key is a public Ed25519 JWK") from error
        members = {name: jwk[name] for name in ("crv", "kty", "x")}
        roles = self._roles(role)
        if members in roles[role]["keys"]:
            raise Refused("key_known", f"this key is a {role} key already")
        if len(roles[role]["keys"]) >= MAX_KEYS:
            raise Refused("too_many_keys", f"a role has at most {MAX_KEYS} keys")
        roles[role] = roles[role] | {"keys": [*roles[role]["keys"], members]}
        return self._propose(roles)

    def remove_key(self, role: str, kid: str) -> Proposal:
        """Propose to take a key away.

        Raises:
            Refused: `unknown_key`, `below_threshold`, `key_in_use` or `unknown_role`.
        """
        roles = self._roles(role)
        kept = [jwk for jwk in roles[role]["keys"] if thumbprint(jwk) != kid]
        if len(kept) == len(roles[role]["keys"]):
            raise Refused("unknown_key", f"no {role} key has the id {kid}")
        if len(kept) < roles[role]["threshold"]:
            raise Refused("below_threshold", f"{role} needs {roles[role]['threshold']} keys; lower it first")
        if role == "admission" and kid == self._admitting():
            text = "signers are admitted with this key: put its successor into admission.key first"
            raise Refused("key_in_use", text)
        roles[role] = roles[role] | {"keys": kept}
        return self._propose(roles)

    def threshold(self, number: int) -> Proposal:
        """Propose how many root keys must sign.

        Raises:
            Refused: `bad_threshold`.
        """
        roles = self._roles("root")
        if not 1 <= number <= len(roles["root"]["keys"]):
            raise Refused("bad_threshold", f"there are {len(roles['root']['keys'])} root keys")
        roles["root"] = roles["root"] | {"threshold": number}
        return self._propose(roles)

    def renew(self) -> Proposal:
        """Propose the same keys for another year."""
        return self._propose(self._roles("root"))

    def sign(self, pem: bytes, where: str) -> Proposal:
        """Sign what is proposed with a root key of the current or the next version.

        Raises:
            Refused: `nothing_proposed` or `not_a_root_key`.
        """
        proposal = self._proposed()
        key = read_signer(ROOT_TYPE, pem, where)
        known = [*self.current["roles"]["root"]["keys"], *proposal.payload["roles"]["root"]["keys"]]
        if key.jwk not in known:
            raise Refused("not_a_root_key", f"{where} is no root key of the current or the next version")
        protected, _, signature = key.parts(proposal.payload)
        others = [entry for entry in proposal.signatures if entry["protected"] != protected]
        entry = {"protected": protected, "signature": signature}
        return self._keep(Proposal(proposal.payload, (*others, entry)))

    def publish(self) -> int:
        """Make what is proposed the root; returns its version.

        Raises:
            Refused: `nothing_proposed`, or `signatures_missing` when validators would not follow.
        """
        proposal = self._proposed()
        document = proposal.document()
        try:
            followed = advance_root(pinned_root(self._document), document)
        except NotFollowed as error:
            wanting = self.missing(proposal)
            text = f"{wanting['current']} signatures of current root keys and {wanting['next']} of new ones"
            raise Refused("signatures_missing", f"{text} are wanting", str(error)) from error
        if self._dry:
            return followed.version
        write_private(self._directory / f"root-{followed.version}.json", document)
        write_private(self._directory / "root.json", document)
        (self._directory / PENDING).unlink()
        return followed.version

    def discard(self) -> None:
        """Forget what is proposed.

        Raises:
            Refused: `nothing_proposed`.
        """
        self._proposed()
        if not self._dry:
            (self._directory / PENDING).unlink(missing_ok=True)

    def _proposed(self) -> Proposal:
        proposal = self.pending()
        if proposal is None:
            raise Refused("nothing_proposed", "nothing is proposed: add or remove a key, or set a threshold")
        return proposal

    def _roles(self, role: str) -> dict[str, Any]:
        if role not in ROLES:
            raise Refused("unknown_role", f"a role is one of {', '.join(ROLES)}")
        pending = self.pending()
        return dict((pending.payload if pending else self.current)["roles"])

    def _propose(self, roles: Mapping[str, Any]) -> Proposal:
        """A changed proposal has no signatures: nobody has signed it."""
        payload = {
            "version": self.current["version"] + 1,
            "issued_at": self._now,
            "expires_at": self._now + ROOT_LIFE,
            "roles": dict(roles),
        }
        return self._keep(Proposal(payload, ()))

    def _keep(self, proposal: Proposal) -> Proposal:
        if not self._dry:
            write_private(self._directory / PENDING, proposal.document())
        return proposal

    def _admitting(self) -> str | None:
        file = self._directory / "admission.key"
        if not file.is_file():
            return None
        return read_signer(ADMISSION_TYPE, read_private(file), "admission.key").kid


def _payload(document: bytes, name: str) -> dict[str, Any]:
    try:
        payload: dict[str, Any] = json.loads(from_b64u(json.loads(document)["payload"]))
        sound = payload["version"] >= 1 and all(payload["roles"][role]["keys"] for role in ROLES)
    except (ValueError, KeyError, TypeError) as error:
        raise Misconfigured("bad_root", f"{name} is no root document") from error
    if not sound:
        raise Misconfigured("bad_root", f"{name} is no root document")
    return payload


def public_of(pem: bytes, where: str) -> dict[str, str]:
    """The public JWK of a private key file."""
    signer: DocumentSigner = read_signer(ROOT_TYPE, pem, where)
    return public_jwk(signer.key.public_key())
