"""Redaction from end to end: snapshot, first detector, allow-list, second detector, name.

May never do: let an output exist unless both detectors saw a planted secret and then saw none in the output.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sealwright_dumps import __version__, clock, fingerprint
from sealwright_dumps.access import FileAccess
from sealwright_dumps.errors import Malformed, Refused
from sealwright_dumps.examine import layout_of
from sealwright_dumps.layout import Format, Layout
from sealwright_dumps.model import ObjectReport, Status
from sealwright_dumps.redact import elf, minidump, verifier
from sealwright_dumps.redact.keep import Piece, without
from sealwright_dumps.redact.snapshot import Snapshot, take
from sealwright_dumps.redact.writer import Output, output, write_text
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Scanner, Settings
from sealwright_dumps.source import FileSource

FORMAT = "sealwright-dump-manifest/1"
MARGIN = 64
VERIFIER_SECONDS = 900
_SPOILED = 1 << 20


@dataclass(frozen=True, slots=True)
class Policy:
    """What a redaction must respect. `canaries`: key ids that the first detector has to find in the input."""

    settings: Settings = field(default_factory=Settings)
    canaries: tuple[str, ...] = ()
    largest: int = 64 << 30
    margin: int = MARGIN

    def digest(self) -> str:
        """SHA-256 of the policy, for the manifest."""
        settings = replace(self.settings, fingerprints=(), public_keys=())
        text = json.dumps([repr(settings), self.canaries, self.largest, self.margin])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Redacted:
    """A finished redaction: its manifest, as an object."""

    manifest: dict[str, Any]


def redact(source: FileSource, target: Path, policy: Policy) -> Redacted:
    """Write the redacted copy of `source` to `target` with its manifest beside it, or raise and leave
    nothing.
    """
    if target.exists() or manifest_path(target).exists():
        raise Refused("output-exists", "the output exists already", str(target))
    with take(source, target.parent, policy.largest) as snapshot, output(target.parent) as out:
        manifest = redact_snapshot(snapshot, out, policy)
        write_text(manifest_path(target), json.dumps(manifest, indent=1, sort_keys=True))
        try:
            out.publish(target)
        except BaseException:
            manifest_path(target).unlink()
            raise
    return Redacted(manifest)


def manifest_path(target: Path) -> Path:
    """Where the manifest of an output is."""
    return target.with_name(target.name + ".manifest.json")


def redact_snapshot(snapshot: Snapshot, out: Output, policy: Policy) -> dict[str, Any]:
    """Everything but the name: write and prove the copy; its manifest. Raises Refused or Unavailable."""
    scanner = Scanner(policy.settings)
    require_sighted(scanner)
    before = _scan(snapshot.path, policy.settings, scanner)
    _require_complete(before, snapshot.size)
    _require_canaries(before, policy.canaries)
    layout = _layout(snapshot)
    spans = [
        (f.offset - policy.margin, f.offset + f.length + policy.margin)
        for f in before.findings
        if not f.container
    ]
    try:
        out.write(without(_plan(snapshot, layout), spans), snapshot.size)
    except Malformed as error:
        raise Refused("not-redactable", f"the dump is malformed: {error.public}") from error
    snapshot.require_unchanged()
    after = _scan(out.path, policy.settings, scanner)
    _require_complete(after, snapshot.size)
    if after.findings:
        raise Refused("found-in-output", "the first detector found key material in the redacted copy")
    second = verify(out, snapshot.size, policy.settings.fingerprints)
    return _manifest(snapshot, out, policy, before, second, scanner)


def _scan(path: Path, settings: Settings, scanner: Scanner) -> ObjectReport:
    report = Run(settings, scanner=scanner).scan([str(path)])
    if len(report.objects) != 1:
        raise Refused("not-scannable", "the dump could not be scanned")
    return report.objects[0]


def _require_complete(report: ObjectReport, size: int) -> None:
    """Scanned nothing, or not all, is a refusal."""
    if report.status is not Status.SCANNED:
        raise Refused("not-scannable", "the dump could not be scanned completely", "; ".join(report.reasons))
    if size == 0 or report.bytes_read + report.bytes_sparse != size:
        raise Refused("scanned-nothing", "the bytes scanned are not the bytes of the dump")


def _require_canaries(report: ObjectReport, canaries: tuple[str, ...]) -> None:
    found = {finding.key_id for finding in report.findings}
    if missing := [name for name in canaries if name not in found]:
        raise Refused("blind", "a canary key that is in the dump was not found", ", ".join(missing))


def require_sighted(scanner: Scanner) -> None:
    """Plant a fresh key in every family of the first detector's forms; each must be found, or it is blind."""
    key = ec.generate_private_key(ec.SECP256R1())
    for encoding in (Encoding.PEM, Encoding.DER):
        blob = key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
        if not scanner.inspector(compressed=False).inspect(bytes(512) + blob + bytes(512)):
            raise Refused("blind", "the first detector did not find a key that was planted for it")
    own = fingerprint.Form("canary", "canary", fingerprint.Kind.BYTES, os.urandom(32))
    made = fingerprint.make([own], os.urandom(fingerprint.SALT))
    if not scanner.probe_own(made, bytes(512) + own.data + bytes(512)):
        raise Refused("blind", "the first detector did not find a fingerprint that was planted for it")


def _layout(snapshot: Snapshot) -> Layout:
    source = FileSource(snapshot.path, follow=True)
    try:
        layout = layout_of(FileAccess(source, 1 << 20))
    finally:
        source.close()
    if layout.format not in (Format.ELF_CORE, Format.MINIDUMP):
        raise Refused("not-redactable", "only ELF cores and minidumps can be redacted", layout.format)
    if layout.reasons:
        raise Refused("not-redactable", "the dump is damaged", "; ".join(layout.reasons))
    return layout


def _plan(snapshot: Snapshot, layout: Layout) -> Iterator[Piece]:
    if layout.format is Format.ELF_CORE:
        return elf.plan(snapshot, layout)
    return minidump.plan(snapshot, layout)


def verify(out: Output, size: int, fingerprints: tuple[str, ...]) -> dict[str, Any]:
    """The second detector's verdict. It must refuse a spoiled copy first. Raises Refused."""
    spoiled = os.memfd_create("spoiled", os.MFD_CLOEXEC)
    try:
        head = os.pread(out.descriptor, _SPOILED, 0)
        os.write(spoiled, head + bytes(64) + os.urandom(32) + bytes(64))
        if ask(spoiled, fingerprints)["clean"]:
            raise Refused("blind", "the second detector did not find a secret that was planted for it")
    finally:
        os.close(spoiled)
    verdict = ask(out.descriptor, fingerprints)
    if verdict["bytes"] != size or verdict["sha256"] != out.sha256():
        raise Refused("scanned-nothing", "the second detector did not read what was written")
    if not verdict["clean"]:
        detail = "; ".join(f"{f['rule']} at {f['offset']:#x}" for f in verdict["findings"][:10])
        raise Refused("found-in-output", "the second detector cannot explain the redacted copy", detail)
    return verdict


def ask(descriptor: int, fingerprints: tuple[str, ...]) -> dict[str, Any]:
    """The second detector's verdict on a descriptor, from a process of its own. Raises Refused."""
    request = json.dumps(
        {"descriptor": descriptor, "fingerprints": list(fingerprints), "parent": os.getpid()}
    )
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", verifier.__name__],
            input=request.encode(),
            capture_output=True,
            pass_fds=(descriptor,),
            timeout=VERIFIER_SECONDS,
            check=True,
        )
        verdict = json.loads(done.stdout)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        raise Refused("verifier-failed", "the second detector did not answer", str(error)) from error
    if (
        not isinstance(verdict, dict)
        or not {"clean", "bytes", "sha256", "findings", "version"} <= verdict.keys()
    ):
        raise Refused("verifier-failed", "the second detector's answer is not one")
    return verdict


def _manifest(
    snapshot: Snapshot,
    out: Output,
    policy: Policy,
    before: ObjectReport,
    second: dict[str, Any],
    scanner: Scanner,
) -> dict[str, Any]:
    kinds = Counter(f"{finding.kind} ({finding.confidence})" for finding in before.findings)
    return {
        "format": FORMAT,
        "time": clock.now().isoformat(),
        "input": {"sha256": snapshot.sha256, "size": snapshot.size, "format": before.format},
        "output": {"sha256": second["sha256"], "size": second["bytes"]},
        "kept_bytes": dict(sorted(out.kept.items())),
        "found_in_input": dict(sorted(kinds.items())),
        "detectors": {
            "first": {"version": __version__, "engine": scanner.engine, "rules": scanner.rules_digest()},
            "second": {"version": second["version"]},
        },
        "canaries": sorted(policy.canaries),
        "planted_and_found": ["first", "second"],
        "policy": policy.digest(),
    }
