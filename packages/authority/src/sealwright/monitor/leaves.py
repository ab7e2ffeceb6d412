"""Judges the entries of one log in their order: a token's key was announced, is active, and its times fit.

Pure: no fetching, no clock. What it learns is only what the log itself said before. May never take a key from
anywhere but an announcement under the log's own identity.
"""

from __future__ import annotations

import re
import struct
from base64 import urlsafe_b64decode
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sealwright.errors import Refused
from sealwright.ledger.model import (
    KIND_KEY_EVENT,
    LEAF_VERSION,
    TOKEN_LEAF_BYTES,
    EventLeaf,
    parse_leaf,
)
from sealwright.monitor.model import Code, Finding
from sealwright_validate import errors as validate_errors
from sealwright_validate.documents import document_key, integer, open_compact, text
from sealwright_validate.encoding import encode_base64url
from sealwright_validate.jwk import public_key, thumbprint
from sealwright_validate.keyset import LogKey

ANNOUNCEMENT = "sealwright-key+jwt"
KEPT_MANIFESTS = 4_096
"""Digests of manifests that are remembered for a log."""
MAX_FINDINGS = 100
"""Findings that are kept of one reading; one key's tokens are one finding."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TOKEN = bytes((LEAF_VERSION, 1))
_TIMES = struct.Struct(">QQ")
_KID, _AT = slice(34, 66), 66


@dataclass(frozen=True, slots=True)
class KeyLife:
    """An announced key as far as its log has told. Times are seconds since 1970, `longest` is seconds."""

    realm: str
    use_from: int
    use_until: int
    verify_until: int
    longest: int
    active: bool = False
    destroyed: bool = False


class LeafAudit:
    """What one log has said so far, and what of it does not fit."""

    def __init__(
        self,
        log_id: str,
        key: LogKey,
        realms: Collection[str] = (),
        keys: dict[bytes, KeyLife] | None = None,
        manifests: Sequence[str] = (),
    ) -> None:
        self._log_id = log_id
        self._realms = frozenset(realms)
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(key.public)}
        identity = document_key(jwk)
        self._identity = {identity.kid: identity}
        self._key = key
        self.keys = dict(keys or {})
        self.manifests = dict.fromkeys(manifests)
        self.findings: dict[tuple[Code, str], Finding] = {}
        self.tokens = 0

    def copy(self) -> LeafAudit:
        """An independent copy without findings."""
        return LeafAudit(self._log_id, self._key, self._realms, self.keys, tuple(self.manifests))

    def read(self, first: int, leaves: Sequence[bytes]) -> None:
        """Judge the leaves from index `first` on."""
        unpack, keys = _TIMES.unpack_from, self.keys
        kid, key = b"", None
        for index, leaf in enumerate(leaves, first):
            if leaf[:2] != _TOKEN or len(leaf) != TOKEN_LEAF_BYTES or index == 0:
                self._event(index, leaf)
                kid = b""
                continue
            if leaf[_KID] != kid:  # tokens of one key follow each other
                kid = leaf[_KID]
                key = keys.get(kid)
            iat, exp = unpack(leaf, _AT)
            if (
                key is None
                or not key.active
                or not key.use_from <= iat < key.use_until
                or not iat < exp <= key.verify_until
                or exp - iat > key.longest
            ):
                self._token(index, kid, key)
            self.tokens += 1

    def _token(self, index: int, kid: bytes, key: KeyLife | None) -> None:
        name = encode_base64url(kid)
        if key is None or not key.active:
            why = (
                "has not announced"
                if key is None
                else "has destroyed"
                if key.destroyed
                else "has not activated"
            )
            self._find(Code.UNEXPECTED_KEY, f"a token under key {name}, which its log {why}", index, name)
        else:
            self._find(Code.TOKEN_OUTSIDE_WINDOW, f"a token of key {name} outside its window", index, name)

    def _find(self, code: Code, detail: str, index: int, subject: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.setdefault((code, subject), Finding(code, detail, index, subject))

    def _event(self, index: int, leaf: bytes) -> None:
        try:
            parsed = parse_leaf(leaf)
        except Refused as refusal:
            self._find(Code.MALFORMED_LEAF, refusal.public, index, str(index))
            return
        told = parsed.members if isinstance(parsed, EventLeaf) else {}
        if not isinstance(parsed, EventLeaf) or (index == 0 and told.get("type") != "incarnation"):
            self._find(Code.MALFORMED_LEAF, "the first leaf is not the incarnation's", index, str(index))
        elif parsed.kind == KIND_KEY_EVENT:
            self._key_event(index, parsed.members)
        elif told.get("type") == "manifest":
            self._manifest(index, told.get("digest"))

    def _manifest(self, index: int, digest: object) -> None:
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            self._find(Code.MALFORMED_LEAF, "a manifest's leaf without its digest", index, str(index))
            return
        self.manifests[digest] = None
        if len(self.manifests) > KEPT_MANIFESTS:
            del self.manifests[next(iter(self.manifests))]

    def _key_event(self, index: int, members: dict[str, Any]) -> None:
        name = str(members.get("kid"))
        try:
            kid = urlsafe_b64decode(name + "=" * (-len(name) % 4))
            match members.get("event"):
                case "announced":
                    self._announced(index, name, kid, members)
                case "activated":
                    self.keys[kid] = replace(self.keys[kid], active=True)
                case "destroyed":
                    self.keys[kid] = replace(self.keys[kid], active=False, destroyed=True)
                case other:
                    self._find(Code.MALFORMED_LEAF, f"a key event {str(other)[:40]!r}", index, str(index))
        except KeyError:
            self._find(Code.UNEXPECTED_KEY, f"an event of key {name}, which was not announced", index, name)
        except (ValueError, validate_errors.Refused) as error:
            self._find(Code.UNEXPECTED_KEY, f"the announcement of key {name}: {error}", index, name)

    def _announced(self, index: int, name: str, kid: bytes, members: dict[str, Any]) -> None:
        told = open_compact(members.get("announcement"), ANNOUNCEMENT, self._identity)
        public_key(told.get("jwk"))  # refuses what is no key of ours
        realm = text(told, "realm")
        named = (text(told, "kid"), thumbprint(told["jwk"]), told.get("incarnation"), members.get("realm"))
        if named != (name, name, self._log_id, realm) or kid in self.keys:
            raise ValueError("it is of another key, realm or incarnation, or a second one")
        self.keys[kid] = KeyLife(
            realm,
            integer(told, "use_from"),
            integer(told, "use_until"),
            integer(told, "verify_until"),
            integer(told, "max_lifetime"),
        )
        if self._realms and realm not in self._realms:
            self._find(Code.UNEXPECTED_KEY, f"key {name} is for realm {realm[:40]!r}", index, name)
