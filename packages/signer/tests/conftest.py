"""Rigs for the signer's tests: a signer in this process on a clock of ours, and a policy to start from."""

import base64
import copy
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from sealwright_signer.custody.memory import MemoryCustody
from sealwright_signer.identity import Identity
from sealwright_signer.policy import parse_policy
from sealwright_signer.protocol import Refused, require_members
from sealwright_signer.signer import OPERATIONS, Signer

MAIL, NOW = "https://mail.example", 2_000_000_000
ADMISSION_KEY = Identity()
POLICY: dict[str, Any] = {
    "version": 1,
    "origin_prefix": "127.0.0.1:8420/ledger",
    "authority": "http://127.0.0.1:8420",
    "admission_keys": [ADMISSION_KEY.jwk],
    "manifest_floor": 10,
    "manifest_max_life": 60,
    "rollover_lead": 1_800,
    "key_use_max": 21_600,
    "realms": {
        "enterprise": {
            "issuer": "https://id.example/enterprise",
            "audiences": [MAIL, "https://files.example"],
            "token_types": ["at+jwt"],
            "max_lifetime": 3_600,
            "algorithms": ["ES256", "EdDSA", "RS256", "PS256"],
        },
        "consumer": {
            "issuer": "https://id.example/consumer",
            "audiences": ["https://shop.example"],
            "token_types": ["at+jwt"],
            "max_lifetime": 600,
            "algorithms": ["ES256"],
        },
    },
    "custody": {"kind": "memory"},
}


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Rig:
    """A signer, its clock, and everything that it ever returned in batches."""

    signer: Signer
    now: list[float]
    leaves: list[bytes] = field(default_factory=list)
    checkpoint: str = ""

    def do(self, op: str, **members: Any) -> Any:
        """One operation, as the server performs it for the authority."""
        members = require_members(members, OPERATIONS[op][0], op)
        answer = json.loads(getattr(self.signer, op)(**members))
        for batch in [*answer.get("pending", []), answer.get("batch")]:
            if batch:
                assert batch["first"] == len(self.leaves)
                self.leaves += map(base64.b64decode, batch["leaves"])
                self.checkpoint = batch["checkpoint"]
        return answer

    def refused(self, op: str, **members: Any) -> str:
        """The code of a refusal that must come; nothing may be appended meanwhile."""
        size = self.signer.journal.size
        with pytest.raises(Refused) as caught:
            self.do(op, **members)
        assert self.signer.journal.size == size
        return caught.value.code.value

    def key(
        self, realm: str = "enterprise", alg: str = "ES256", *, use: int = 3_600, active: bool = True
    ) -> str:
        """A key whose window opens now, or after the lead where one is active."""
        keys = self.signer.keyring.keys.values()
        lane = [k for k in keys if k.live and (k.realm.name, k.alg) == (realm, alg)]
        begin = int(self.now[0]) + (1_800 if lane else 0)
        made = self.do(
            "make_key",
            realm=realm,
            alg=alg,
            use_from=begin,
            use_until=begin + use,
            verify_until=begin + use + 3_600,
        )
        if active:
            self.now[0] = max(self.now[0], begin)
            self.do("activate", kid=made["kid"])
        kid: str = made["kid"]
        return kid

    def request(self, kid: str, **changed: Any) -> list[Any]:
        """A request that is allowed unless changed."""
        fields: dict[str, Any] = {
            "realm": "enterprise",
            "kid": kid,
            "typ": "at+jwt",
            "client_id": "c1",
            "sub": "c1",
            "aud": [MAIL],
        }
        fields |= {"scope": "read", "ttl": 300, "record": "ab" * 32, "extra": None}
        return list((fields | changed).values())

    def sign(self, *requests: list[Any]) -> list[Any]:
        """Tokens or refusals."""
        results: list[Any] = self.do("sign", requests=list(requests))["results"]
        return results


def make_rig(**changed: Any) -> Rig:
    document = copy.deepcopy(POLICY) | changed
    policy = parse_policy(json.dumps(document).encode())
    now = [float(NOW)]
    rig = Rig(Signer(policy, MemoryCustody(), lambda: now[0]), now)
    rig.do("hello", protocol=1, role="authority")
    return rig


@pytest.fixture
def rig() -> Rig:
    return make_rig()


@pytest.fixture
def policy() -> dict[str, Any]:
    return copy.deepcopy(POLICY)


@pytest.fixture
def admission_key() -> Identity:
    return ADMISSION_KEY
