"""The gate's steps. Each is written down before it takes effect, and each judges again what the one before
claims.

May never do: release without both detectors' clean verdict on exactly these bytes, the policy in force, and
the number
of people that the dump's class asks for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright_dumps import clock
from sealwright_dumps.errors import DumpsError, Refused
from sealwright_dumps.gate import signing
from sealwright_dumps.gate.ledger import Ledger
from sealwright_dumps.gate.model import Approval, Origin, Record, State
from sealwright_dumps.gate.policy import Class, GatePolicy
from sealwright_dumps.gate.spool import Reader, Spool, open_once, require_outside
from sealwright_dumps.redact.service import Policy, redact_snapshot, verify
from sealwright_dumps.redact.snapshot import digest_of, take
from sealwright_dumps.redact.writer import Output, output, publish, write_text
from sealwright_dumps.scanner import Settings
from sealwright_dumps.source import FileSource

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate: its spool, its policy, its ledger, its key, the outside folder, and a clock."""

    spool: Spool
    policy: GatePolicy
    ledger: Ledger
    key: Ed25519PrivateKey
    outside: Path
    workers: int = 0
    now: Callable[[], datetime] = clock.now

    def class_for(self, origin: Origin) -> Class:
        """The class of a program. Raises Refused where the policy takes no dumps of it."""
        found = self.policy.class_of(origin.program)
        if found is None or not found.accept:
            self.ledger.append("rejected", {"program": origin.program, "route": origin.route})
            raise Refused("not-accepted", "the policy takes no dumps of this program", origin.program)
        return found

    def take_in(self, read: Reader, origin: Origin) -> Record:
        """Quarantine a stream. Raises Refused or Unavailable; then nothing of it is kept."""
        kind = self.class_for(origin)
        name, size, sha256 = self.spool.take(read, self.policy.largest)
        received = self.now().isoformat()
        record = Record(name, State.QUARANTINED, origin, received, size, sha256, kind.name)
        try:
            self.ledger.append("quarantined", _leaf(record))
        except DumpsError:
            self.spool.drop(name)
            raise
        self.spool.put(record)
        return record

    def take_in_file(self, path: Path, program: str) -> Record:
        """Quarantine a file that is already there. It must not change, and must have no second name."""
        descriptor = open_once(path)
        try:
            before = os.fstat(descriptor)
            if before.st_size > self.policy.largest:  # a sparse terabyte is not read to its end first
                raise Refused("too-large", "the dump is larger than the policy allows")
            record = self.take_in(lambda size: os.read(descriptor, size), Origin("file", program))
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        moved = (before.st_size, before.st_mtime_ns, before.st_ctime_ns) != (
            after.st_size,
            after.st_mtime_ns,
            after.st_ctime_ns,
        )
        if moved or record.size != before.st_size:
            self._refuse(record, Refused("changed-while-read", "the file changed while it was read"))
            raise Refused("changed-while-read", "the file changed while it was read")
        return record

    def recover(self, *, alone: bool) -> list[str]:
        """What was in quarantine when the gate was killed: the names that wait, oldest first. A dump that is
        done with is dropped, which is written down; so is one whose intake was cut off, where nobody else
        (`alone`) can be taking it in now.
        """
        states = {record.name: record.state for record in self.spool.records()}
        for name in self.spool.in_quarantine():
            if states.get(name) is not State.QUARANTINED and (alone or name in states):
                self.ledger.append("dropped", {"name": name, "reason": "left-behind"})
                self.spool.drop(name)
        return [name for name, state in states.items() if state is State.QUARANTINED]

    def process(self, name: str) -> Record:
        """Scan and redact. Whatever fails is a refusal, after which the dump is gone."""
        record = self._in_state(name, State.QUARANTINED)
        settings = Settings(
            fingerprints=self.policy.fingerprints, public_keys=self.policy.public_keys, workers=self.workers
        )
        rules = Policy(settings, self.policy.canaries, self.policy.largest)
        try:
            manifest = self._redact(record, rules)
        except DumpsError as error:
            return self._refuse(record, error)
        done = replace(record, state=State.REDACTED, manifest_sha256=signing.digest(manifest))
        self.ledger.append("redacted", _leaf(done))
        self.spool.put(done)
        self.spool.drop(name)
        return done

    def _redact(self, record: Record, rules: Policy) -> dict[str, Any]:
        source = FileSource(self.spool.quarantined(record.name))
        for path in (self.spool.manifest(record.name), self.spool.redacted(record.name)):
            path.unlink(missing_ok=True)  # of an attempt that was killed: it was never recorded
        folder = self.spool.redacted(record.name).parent
        try:
            with take(source, folder, rules.largest) as snapshot, output(folder) as out:
                if snapshot.sha256 != record.sha256:
                    raise Refused("changed-in-quarantine", "the dump is not the one that was taken in")
                manifest = redact_snapshot(snapshot, out, rules)
                manifest |= {"name": record.name, "class": record.kind, "gate_policy": self.policy.sha256}
                write_text(self.spool.manifest(record.name), json.dumps(manifest, sort_keys=True))
                out.publish(self.spool.redacted(record.name))
        finally:
            source.close()
        return manifest

    def _refuse(self, record: Record, error: DumpsError) -> Record:
        done = replace(record, state=State.REFUSED, reason=error.code)
        self.ledger.append("refused", _leaf(done))
        self.spool.put(done)
        self.spool.drop(record.name)
        return done

    def approve(self, name: str, approval: Approval) -> int:
        """Take one person's word; how many have spoken. Raises Refused for a stranger or a signature over
        another.
        """
        record = self._in_state(name, State.REDACTED)
        key = self.policy.approvers.get(approval.approver)
        if key is None:
            raise Refused("unknown-approver", "the policy does not know this person")
        if approval.manifest_sha256 != record.manifest_sha256:
            raise Refused("approval-of-another", "the approval is for another manifest")
        signing.require_approval_signature(key, approval.manifest_sha256, approval.signature)
        self.ledger.append("approved", _leaf(record) | {"approver": approval.approver})
        self.spool.add_approval(name, approval)
        return len(self._valid_approvals(record))

    def _valid_approvals(self, record: Record) -> list[Approval]:
        """Approvals by different keys of people whom the policy knows now, judged again."""
        valid: dict[str, Approval] = {}
        for approval in self.spool.approvals(record.name):
            key = self.policy.approvers.get(approval.approver, "")
            if approval.manifest_sha256 == record.manifest_sha256:
                signing.require_approval_signature(key, approval.manifest_sha256, approval.signature)
                valid[key] = approval
        return list(valid.values())

    def release(self, name: str) -> Path:
        """Put the proved copy outside, with its signed manifest. Raises Refused."""
        record = self._in_state(name, State.REDACTED)
        require_outside(self.outside)
        manifest = json.loads(self.spool.manifest(name).read_text(encoding="utf-8"))
        approvals = self._require_releasable(record, manifest)
        signed = manifest | {
            "released": self.now().isoformat(),
            "approvals": [{"approver": a.approver, "signature": a.signature} for a in approvals],
            "approved_manifest_sha256": record.manifest_sha256,
        }
        text = json.dumps(
            {
                "manifest": signed,
                "key": signing.public_text(self.key),
                "signature": signing.sign_manifest(self.key, signed),
            },
            indent=1,
            sort_keys=True,
        )
        self.ledger.append("released", _leaf(record) | {"output_sha256": manifest["output"]["sha256"]})
        return self._put_outside(record, manifest, text)

    def _require_releasable(self, record: Record, manifest: dict[str, Any]) -> list[Approval]:
        if signing.digest(manifest) != record.manifest_sha256:
            raise Refused("manifest-changed", "the manifest is not the one that was recorded")
        if manifest["gate_policy"] != self.policy.sha256:
            raise Refused("policy-changed", "the dump was redacted under another policy")
        age = (self.now() - datetime.fromisoformat(record.received)).total_seconds()
        if age > self.policy.oldest:
            raise Refused("too-old", "the dump is older than the policy allows")
        kind = next((item for item in self.policy.classes if item.name == record.kind), None)
        if kind is None or not kind.accept:
            raise Refused("not-accepted", "the policy takes no dumps of this class")
        approvals = self._valid_approvals(record)
        if len(approvals) < kind.approvals:
            raise Refused("not-approved", f"{len(approvals)} of {kind.approvals} approvals")
        return approvals

    def _put_outside(self, record: Record, manifest: dict[str, Any], text: str) -> Path:
        """Name the proved copy outside, or find that a release which was killed had done so."""
        target, beside = (self.outside / f"{record.name}.{end}" for end in ("dump", "manifest.json"))
        if target.exists():
            descriptor = open_once(target)
            try:
                if digest_of(descriptor) != manifest["output"]["sha256"]:
                    raise Refused("output-changed", "what lies outside is not the copy that was proved")
            finally:
                os.close(descriptor)
        else:
            beside.unlink(missing_ok=True)
            self._copy_outside(record, manifest, target, (beside, text))
        self.spool.put(replace(record, state=State.RELEASED))
        self.spool.redacted(record.name).unlink()
        return target

    def _copy_outside(
        self, record: Record, manifest: dict[str, Any], target: Path, signed: tuple[Path, str]
    ) -> None:
        """Copy, read back what was written, let the second detector read it again, then name it."""
        source = FileSource(self.spool.redacted(record.name))
        try:
            with output(self.outside) as out:
                os.ftruncate(out.descriptor, source.size)
                for start, end in source.data_extents():
                    for at in range(start, end, _PIECE):
                        os.pwrite(out.descriptor, source.read(at, min(_PIECE, end - at)), at)
                os.fsync(out.descriptor)
                self._require_proved(out, manifest)
                write_text(*signed)
                try:
                    publish(out.descriptor, target)
                except DumpsError:
                    signed[0].unlink()
                    raise
        finally:
            source.close()

    def _require_proved(self, out: Output, manifest: dict[str, Any]) -> None:
        size = os.fstat(out.descriptor).st_size
        if size != manifest["output"]["size"] or digest_of(out.descriptor) != manifest["output"]["sha256"]:
            raise Refused("output-changed", "the redacted copy is not the one that was proved")
        verify(out, size, self.policy.fingerprints)

    def _in_state(self, name: str, state: State) -> Record:
        record = self.spool.get(name)
        if record.state is not state:
            raise Refused("wrong-state", f"the dump is {record.state}, not {state}")
        return record


def _leaf(record: Record) -> dict[str, Any]:
    return {
        "name": record.name,
        "class": record.kind,
        "size": record.size,
        "sha256": record.sha256,
        "reason": record.reason,
        "manifest_sha256": record.manifest_sha256,
        "route": record.origin.route,
    }
