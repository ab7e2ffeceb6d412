"""States in the ledger which policy an authority runs under: each start is a leaf with the policy's digest.

The policy is what operators decide about trust: realms, keys, manifest, admission, witnesses, retention. May
never hold a secret: it is the configuration, which has none.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging

import msgspec

from sealwright.admin.model import Details
from sealwright.admission.standing import in_force
from sealwright.config import Config
from sealwright.errors import SealwrightError
from sealwright.wiring.authority import Authority

log = logging.getLogger(__name__)
RETRY = 1.0
SECTIONS = ("realms", "keys", "manifest", "admission", "witness", "retention", "custody")


def policy_digest(config: Config) -> str:
    """Hex SHA-256 of the sections that decide about trust, as canonical JSON."""
    document = {name: getattr(config, name) for name in SECTIONS}
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()


async def state_policy(authority: Authority, config: Config, stopping: asyncio.Event) -> None:
    """Audit and state the policy once a signer serves; then wait for the end."""
    digest = policy_digest(config)
    facts: Details = {"realms": sorted(config.realms), "retention": config.retention.profile}
    while not stopping.is_set():
        try:
            await authority.keys.statement("policy", digest)
            await authority.auditor.audit("system:authority", "policy_in_force", digest, facts)
            break
        except SealwrightError as error:
            log.info("policy not stated yet", extra={"facts": {"detail": str(error)}})
            await asyncio.sleep(RETRY)
    await _follow_admission(authority, stopping)


async def _follow_admission(authority: Authority, stopping: asyncio.Event) -> None:
    """State the admission policy in force, and every one that replaces it; who changes it audits that."""
    standing, stated = authority.stores.standing, ""
    while not stopping.is_set():
        try:
            latest = await asyncio.to_thread(standing.latest)
            if latest is not None:
                made = in_force(latest.document, await asyncio.to_thread(standing.revoked))
                if (found := made.policy.hash()) != stated:
                    await authority.keys.statement("policy", found.removeprefix("sha256:"))
                    stated = found
        except SealwrightError as error:
            log.info("admission policy not stated yet", extra={"facts": {"detail": str(error)}})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY):
                await stopping.wait()
