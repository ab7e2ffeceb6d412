"""Sigma rules over our alarm events, one for each detection, made from the catalogue.

Sigma has no anti-join, so these rules react to what detection found; they are not its definition. The text is
written here without a YAML library: every value is a quoted string or a plain word.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

from sealwright.detection.catalogue.entries import CATALOGUE
from sealwright.detection.catalogue.model import Detection

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://sealwright.example/sigma")
"""A rule's id is made from its code and never changes."""
WRITTEN = "2026-11-21"
CONFIDENT = 90


def rules() -> Iterator[tuple[str, str]]:
    """File name and text of each rule."""
    for detection in CATALOGUE:
        yield f"sealwright_{detection.code}.yml", rule(detection)


def rule(detection: Detection) -> str:
    """One rule as YAML."""
    tags = [f"attack.{technique.lower()}" for technique in detection.attack]
    doubtful = detection.confidence < CONFIDENT
    return "\n".join(
        [
            f"title: {_quoted('Sealwright: ' + detection.title)}",
            f"id: {uuid.uuid5(NAMESPACE, detection.code)}",
            "status: stable" if not doubtful else "status: test",
            f"description: {_quoted(detection.means + ' ' + detection.do)}",
            "author: Sealwright",
            f"date: {WRITTEN}",
            "tags:",
            *(f"  - {tag}" for tag in tags),
            "logsource:",
            "  product: sealwright",
            "  service: alarms",
            "detection:",
            "  selection:",
            "    event: alarm",
            f"    code: {detection.code}",
            "  condition: selection",
            "falsepositives:",
            f"  - {_quoted(_false_positives(detection))}",
            f"level: {detection.severity}",
            "",
        ]
    )


def _false_positives(detection: Detection) -> str:
    if detection.confidence < CONFIDENT:
        return f"Possible: about {100 - detection.confidence} in 100 findings have a harmless reason."
    return "None known."


def _quoted(text: str) -> str:
    return json.dumps(text)
