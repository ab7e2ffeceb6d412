"""A scan's report as JSON, SARIF and text.

May never do: contain a secret. It holds what a Finding holds, and nothing read from the files but names.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from sealwright_dumps import __version__
from sealwright_dumps.model import Confidence, Finding, ObjectReport, ScanReport, Status

_LEVEL = {Confidence.CONFIRMED: "error", Confidence.LIKELY: "warning", Confidence.POSSIBLE: "note"}
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


def finding_object(path: str, finding: Finding) -> dict[str, Any]:
    """One finding as a JSON object."""
    return {"path": path, **asdict(finding)}


def object_object(report: ObjectReport) -> dict[str, Any]:
    """One object's account as a JSON object, findings left out."""
    return {name: value for name, value in asdict(report).items() if name != "findings"}


def to_json(report: ScanReport) -> str:
    """The report as one JSON object with a `findings` list and the bytes read and skipped."""
    read = sum(item.bytes_read for item in report.objects)
    body = {
        "version": __version__,
        "engine": report.engine,
        "seconds": round(report.seconds, 3),
        "bytes_read": read,
        "bytes_sparse": sum(item.bytes_sparse for item in report.objects),
        "bytes_skipped": sum(item.bytes_skipped for item in report.objects),
        "scanned": sum(item.status is Status.SCANNED for item in report.objects),
        "not_scannable": [item.path for item in report.objects if item.status is not Status.SCANNED],
        "skipped_detectors": list(report.skipped_detectors),
        "findings": [finding_object(path, finding) for path, finding in report.findings],
        "files": len(report.objects),
        "objects": [object_object(item) for item in report.objects if item.findings or item.reasons],
    }
    return json.dumps(body, indent=2)


def to_sarif(report: ScanReport) -> str:
    """The report as SARIF 2.1.0: one rule per kind, places as byte offsets."""
    kinds = sorted({finding.kind for _, finding in report.findings})
    body = {
        "$schema": _SARIF,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "sealwright-dumps",
                        "version": __version__,
                        "rules": [{"id": k} for k in kinds],
                    }
                },
                "results": [_result(path, finding) for path, finding in report.findings],
                "invocations": [
                    {
                        "executionSuccessful": all(o.status is Status.SCANNED for o in report.objects),
                        "toolExecutionNotifications": [
                            {"level": "warning", "message": {"text": f"{item.path!r}: {reason}"}}
                            for item in report.objects
                            for reason in item.reasons
                        ],
                    }
                ],
            }
        ],
    }
    return json.dumps(body, indent=2)


def _result(path: str, finding: Finding) -> dict[str, Any]:
    text = f"{finding.algorithm or 'key material'} as {finding.form} ({finding.confidence})"
    if finding.container:
        text += f" in {'/'.join(finding.container)}"
    return {
        "ruleId": finding.kind,
        "level": _LEVEL[finding.confidence],
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(os.fsencode(path))},
                    "region": {"byteOffset": finding.offset, "byteLength": finding.length},
                },
                "logicalLocations": [{"fullyQualifiedName": finding.segment}] if finding.segment else [],
            }
        ],
        "partialFingerprints": {"keyId": finding.key_id} if finding.key_id else {},
        "properties": {"detector": finding.detector, "confidence": finding.confidence, "form": finding.form},
    }


def to_text(report: ScanReport) -> str:
    """The report for a person: findings, what was not wholly scanned, a sum."""
    lines = [_line(path, finding) for path, finding in report.findings]
    for item in report.objects:
        lines += [f"{_name(item.path)}: {item.status}: {reason}" for reason in item.reasons]
    read = sum(item.bytes_read for item in report.objects)
    skipped = sum(item.bytes_skipped for item in report.objects)
    rate = read / 1e6 / report.seconds if report.seconds else 0.0
    lines.append(
        f"{len(report.findings)} findings in {len(report.objects)} files; {read} bytes read, "
        f"{skipped} skipped, {rate:.0f} MB/s, engine {report.engine}"
    )
    lines += [f"not looked for: {name}" for name in report.skipped_detectors]
    return "\n".join(lines) + "\n"


def _line(path: str, finding: Finding) -> str:
    inside = "!" + "!".join(finding.container) if finding.container else ""
    place = f"{finding.offset:#x}+{finding.length}"
    rest = " ".join(part for part in (finding.algorithm, finding.segment, finding.key_id) if part)
    return (
        f"{_name(path)}{inside}:{place}: {finding.confidence} {finding.kind} ({finding.form}) {rest}".rstrip()
    )


def _name(path: str) -> str:
    return path if path.isprintable() else repr(path)
