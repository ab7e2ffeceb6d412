"""The vendors' public certificates that ship as data files, and the anchors made of them.

It may never load a certificate whose digest is not the pinned one, and never fetch one. Chains are trusted up
to the files of use `anchor` and no others; files of use `intermediate` only save the sender from sending
them. Origin and digest of each file are in roots.toml.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final

from sealwright_attest.errors import Misconfigured
from sealwright_attest.x509 import Certificate, parse_certificate, split_pem

PRODUCTS: Final = ("Milan", "Genoa", "Turin")


@dataclass(frozen=True, slots=True)
class Anchors:
    """What chains may end at.

    Attributes:
        amd: product name to its AMD root key (ARK).
        amd_intermediates: AMD signing keys (ASK and ASVK) of all products.
        intel: the Intel SGX root.
        nitro: the AWS Nitro Enclaves root.
        tpm: roots of attestation-key certificates.
        tpm_intermediates: intermediates below those.
    """

    amd: Mapping[str, Certificate]
    amd_intermediates: tuple[Certificate, ...]
    intel: Certificate
    nitro: Certificate
    tpm: tuple[Certificate, ...]
    tpm_intermediates: tuple[Certificate, ...]


def load(name: str) -> bytes:
    """Return the DER of a shipped certificate.

    Raises:
        Misconfigured: the file is not the pinned one.
    """
    folder = files(__name__)
    pinned = tomllib.loads(folder.joinpath("roots.toml").read_text("utf-8"))[name]
    certificates = split_pem(folder.joinpath(name).read_bytes())
    if len(certificates) != 1 or hashlib.sha256(certificates[0]).hexdigest() != pinned["sha256"]:
        raise Misconfigured(f"the shipped certificate {name} is not the pinned one")
    return certificates[0]


@lru_cache(maxsize=1)
def pinned() -> Anchors:
    """Return the anchors that ship with this package."""

    def read(name: str) -> Certificate:
        return parse_certificate(load(name))

    return Anchors(
        amd={product: read(f"amd_{product.lower()}_ark.pem") for product in PRODUCTS},
        amd_intermediates=tuple(
            read(f"amd_{product.lower()}_{kind}.pem") for product in PRODUCTS for kind in ("ask", "asvk")
        ),
        intel=read("intel_sgx_root_ca.pem"),
        nitro=read("aws_nitro_root_g1.pem"),
        tpm=(read("google_tpm_ek_root_1.pem"), read("google_ek_ak_root.pem")),
        tpm_intermediates=(
            read("google_tpm_ek_intermediate_2.pem"),
            read("google_ek_ak_intermediate_v3.pem"),
        ),
    )
