"""What the maker of a machine says of it, kept in a folder here: certificates, revocation lists, collateral.

Evidence often comes without them, and a site without a way out cannot fetch them. They are as untrusted as if
the signer had sent them: the roots decide. May never replace what came with the evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import sealwright_attest as attest
from sealwright.errors import Misconfigured
from sealwright_attest.cli.files import parse_endorsement

MOST_FILES = 256
MOST_CERTIFICATES = 16
"""Certificates that one bundle may have (docs/formats/attestation-evidence.md)."""
_ONE_CHIP = (attest.Kind.SEV_SNP, attest.Kind.AZURE)
"""Kinds with exactly one certificate, that of the chip."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the folder holds; each certificate and each collateral by itself, as it is of one machine."""

    certificates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    collateral: tuple[bytes, ...] = ()

    def completed(self, evidence: attest.Evidence) -> Iterator[attest.Evidence]:
        """The evidence as it came, then with what it lacks and is here, one possibility after another."""
        yield evidence
        came = evidence.endorsements
        with_lists = replace(came, crls=(*came.crls, *self.crls)[:4]) if self.crls else came
        if evidence.kind in (attest.Kind.TDX, attest.Kind.AZURE) and came.collateral is None:
            for one in self.collateral:
                yield replace(evidence, endorsements=replace(with_lists, collateral=one))
        if evidence.kind in _ONE_CHIP and not came.certificates:
            for one in self.certificates:
                yield replace(evidence, endorsements=replace(with_lists, certificates=(one,)))
        elif evidence.kind is attest.Kind.TPM2 and self.certificates:
            every = tuple(dict.fromkeys((*came.certificates, *self.certificates)))[:MOST_CERTIFICATES]
            yield replace(evidence, endorsements=replace(with_lists, certificates=every))
        elif with_lists != came:
            yield replace(evidence, endorsements=with_lists)


def read_endorsements(folder: Path) -> Stored:
    """Everything in a folder: PEM or DER certificates and CRLs, AMD's table, Intel's collateral as JSON.

    Raises:
        Misconfigured: `bad_endorsements`: it cannot be read, or a file in it is none of these.
    """
    certificates: list[bytes] = []
    crls: list[bytes] = []
    collateral: list[bytes] = []
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file())
        for file in files[:MOST_FILES]:
            found = parse_endorsement(file.read_bytes())
            certificates += found.certificates
            crls += found.crls
            collateral += [found.collateral] if found.collateral else []
    except OSError as error:
        raise Misconfigured("bad_endorsements", f"cannot read {folder}: {error.strerror}") from error
    except (attest.Refused, attest.Misconfigured) as error:
        raise Misconfigured("bad_endorsements", f"{file}: {error}") from error
    if len(files) > MOST_FILES:
        raise Misconfigured("bad_endorsements", f"{folder} has more than {MOST_FILES} files")
    return Stored(tuple(dict.fromkeys(certificates)), tuple(dict.fromkeys(crls)), tuple(collateral))
