"""Every named token of the conformance suite, one file a group.

May never make a case that depends on anything but the scene.
"""

from sealwright_validate.conformance.case import Case, by_name
from sealwright_validate.conformance.catalogue import (
    accepted,
    claims,
    confusion,
    encodings,
    headers,
    keys,
    payloads,
    signatures,
    times,
)
from sealwright_validate.conformance.scene import Scene

GROUPS = (accepted, keys, confusion, headers, signatures, encodings, payloads, claims, times)


def all_cases(scene: Scene) -> dict[str, Case]:
    """Every case by its name, in the order of the groups."""
    return by_name(case for group in GROUPS for case in group.cases(scene))
