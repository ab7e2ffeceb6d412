"""One synthetic vendor of each kind, and the anchors that make their evidence acceptable.

It may never be handed to `appraise`: its anchors go to `appraise_with_anchors`, so that the line that trusts
them shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sealwright_attest.appraise import appraise_with_anchors
from sealwright_attest.keys import Algorithm
from sealwright_attest.model import AttestationResult, Evidence
from sealwright_attest.policy.document import BUILT_IN, Policy
from sealwright_attest.roots import PRODUCTS, Anchors, pinned
from sealwright_attest.synthetic import nitro, snp, tdx
from sealwright_attest.synthetic.authority import Authority, root
from sealwright_attest.verifiers.context import NOTHING_KNOWN, Known


@dataclass(frozen=True, slots=True)
class World:
    """Synthetic vendors with their platforms, and anchors in which every root is the synthetic one."""

    amd: Mapping[str, snp.AmdPlatform]
    intel: tdx.IntelPlatform
    aws: nitro.NitroCloud
    tpm_root: Authority
    anchors: Anchors

    def appraise(
        self,
        evidence: Evidence,
        *,
        nonce: bytes | None,
        now: datetime,
        policy: Policy = BUILT_IN,
        known: Known = NOTHING_KNOWN,
        shadow: Policy | None = None,
    ) -> AttestationResult:
        """Appraise under these roots; arguments as for `sealwright_attest.appraise`."""
        return appraise_with_anchors(
            evidence, nonce=nonce, policy=policy, now=now, anchors=self.anchors, known=known, shadow=shadow
        )


def new_world() -> World:
    """Return new vendors with new keys."""
    amd = {product: snp.new_platform(product) for product in PRODUCTS}
    intel, aws = tdx.new_platform(), nitro.new_cloud()
    tpm_root = root("synthetic TPM root", Algorithm.RSA_SHA256)
    anchors = replace(
        pinned(),
        amd={product: platform.ark.parsed() for product, platform in amd.items()},
        amd_intermediates=tuple(
            one.parsed() for platform in amd.values() for one in (platform.ask, platform.asvk)
        ),
        intel=intel.root.parsed(),
        nitro=aws.root.parsed(),
        tpm=(tpm_root.parsed(),),
    )
    return World(amd, intel, aws, tpm_root, anchors)
