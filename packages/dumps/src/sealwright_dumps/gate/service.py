"""The gate's steps. Each is written down before it takes effect, and each judges again what the one before
claims.

May never do: release without both detectors' clean verdict on exactly these bytes, the policy in force, and
the number
of people that the dump's class asks for.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright_dumps import clock
from sealwright_dumps.errors import DumpsError, Refused, Unavailable
from sealwright_dumps.gate import signing
from sealwright_dumps.gate.ledger import Ledger
from sealwright_dumps.gate.model import Approval, Origin, Record, State
from sealwright_dumps.gate.policy import Class, GatePolicy
from sealwright_dumps.gate.spool import Reader, Spool, open_once, require_outside
from sealwright_dumps.gate.verify import require_released
from sealwright_dumps.redact.service import Policy, redact_snapshot, verify
from sealwright_dumps.redact.snapshot import digest_of, take, write_all
from sealwright_dumps.redact.writer import Output, output, publish, write_text
from sealwright_dumps.scanner import Settings
from sealwright_dumps.source import FileSource

_PIECE = 1 << 20
_LONGEST_PROGRAM = 256  # characters of a path that a leaf takes


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
            raise Refused("not-accepted", "the policy takes no dumps of this program", origin.program)
        return found

    @contextlib.contextmanager
    def door(self, origin: Origin) -> Iterator[None]:
        """Whatever is refused in here never came in; that it was turned away is written down."""
        try:
            yield
        except DumpsError as error:
            program = origin.program.encode(errors="backslashreplace").decode()[:_LONGEST_PROGRAM]
            facts = {"program": program, "route": origin.route, "reason": error.code}
            self.ledger.append("rejected", facts)
            raise

    def take_in(self, read: Reader, origin: Origin) -> Record:
        """Quarantine a stream. Raises Refused or Unavailable; then nothing of it is kept."""
        with self.door(origin):
            return self._quarantine(read, origin, self.class_for(origin))

    def _quarantine(self, read: Reader, origin: Origin, kind: Class) -> Record:
        with self.spool.taking():
            name, size, sha256 = self.spool.take(read, self.policy.largest)
            received = self.now().isoformat()
            record = Record(name, State.QUARANTINED, origin, received, size, sha256, kind.name)
            try:
                self.ledger.append("quarantined", _leaf(record))
                self.spool.put(record)
            except DumpsError:
                self.spool.drop(name)
                raise
            return record

    def take_in_file(self, path: Path, program: str) -> Record:
        """Quarantine a file that is already there. It must not change, and must have no second name."""
        origin = Origin("file", program)
        with self.door(origin):
            record, moved = self._quarantine_file(path, origin)
        if moved:
            error = Refused("changed-while-read", "the file changed while it was read")
            self._refuse(record, error)
            raise error
        return record

    def _quarantine_file(self, path: Path, origin: Origin) -> tuple[Record, bool]:
        kind = self.class_for(origin)
        descriptor = open_once(path)
        try:
            before = os.fstat(descriptor)
            if before.st_size > self.policy.largest:  # a sparse terabyte is not read to its end first
                raise Refused("too-large", "the dump is larger than the policy allows")
            record = self._quarantine(lambda size: os.read(descriptor, size), origin, kind)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        moved = (before.st_size, before.st_mtime_ns, before.st_ctime_ns) != (
            after.st_size,
            after.st_mtime_ns,
            after.st_ctime_ns,
        )
        return record, moved or record.size != before.st_size

    def recover(self) -> list[str]:
        """Put in order what a killed gate left: the names that wait in quarantine, oldest first. A release
        that was cut off is settled. A dump that is done with is dropped, which is written down; so is one
        whose intake was cut off, where nobody can be taking it in now.
        """
        with self.spool.nobody_taking() as quiet:
            states = {record.name: record.state for record in self.spool.records()}
            for name in self.spool.in_quarantine():
                if states.get(name) in (State.QUARANTINED, State.REFUSED):
                    continue
                if quiet or name in states:
                    self.ledger.append("dropped", {"name": name, "reason": "left-behind"})
                    self.spool.drop(name)
        for name in (name for name, state in states.items() if state is State.RELEASING):
            with self.spool.hold(name):
                self._settle(self.spool.get(name))
        self.tidy()
        return [name for name, state in states.items() if state is State.QUARANTINED]

    def tidy(self) -> None:
        """Destroy refused dumps whose time is over, and the oldest ones beyond the room that the policy
        gives.
        """
        kept = [record for record in self.spool.records() if record.kept_until]
        room = self.policy.keep_refused_bytes
        for record in reversed(kept):
            room -= record.size
            if self.now() >= datetime.fromisoformat(record.kept_until):
                self.destroy(record.name, "expired")
            elif room < 0:
                self.destroy(record.name, "no-room")

    def destroy(self, name: str, reason: str) -> None:
        """Take a refused dump out of quarantine for ever."""
        with self.spool.hold(name):
            record = self._in_state(name, State.REFUSED)
            if record.kept_until:
                self.ledger.append("dropped", {"name": name, "reason": reason})
                self.spool.drop(name)
                self.spool.put(replace(record, kept_until=""))

    def process(self, name: str, *, again: bool = False) -> Record:
        """Scan and redact. Whatever fails is a refusal, after which the dump stays in quarantine for as long
        as the policy keeps it; `again` tries such a one once more.
        """
        with self.spool.hold(name):
            record = self._in_state(name, State.REFUSED if again else State.QUARANTINED)
            if again and not record.kept_until:
                raise Refused("not-kept", "the refused dump is not kept any more")
            done = self._processed(record)
        self.tidy()
        return self.spool.get(done.name)

    def _processed(self, record: Record) -> Record:
        settings = Settings(
            fingerprints=self.policy.fingerprints, public_keys=self.policy.public_keys, workers=self.workers
        )
        rules = Policy(settings, self.policy.canaries, self.policy.largest)
        try:
            manifest = self._redact(record, rules)
        except DumpsError as error:
            return self._refuse(record, error)
        done = replace(
            record, state=State.REDACTED, reason="", kept_until="", manifest_sha256=signing.digest(manifest)
        )
        self.ledger.append("redacted", _leaf(done))
        self.spool.put(done)
        self.spool.drop(record.name)
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
        """It may be the only copy: it stays where it is, until the policy's time for it is over."""
        kept = timedelta(seconds=self.policy.keep_refused)
        until = record.kept_until or ((self.now() + kept).isoformat() if kept else "")
        done = replace(record, state=State.REFUSED, reason=error.code, kept_until=until)
        self.ledger.append("refused", _leaf(done) | {"kept_until": until})
        self.spool.put(done)
        if not until:
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
        """Put the proved copy outside, with its signed manifest. Raises Refused or Unavailable.

        Two lines tell what became of it: `releasing` before a byte is written, then `released` or `withheld`.
        A kill leaves `releasing` alone, and whoever comes next finds out and adds the second.
        """
        with self.spool.hold(name):
            require_outside(self.outside)
            before = self.spool.get(name)
            record = self._settle(before)
            target, _ = self._names(record)
            if before.state is State.RELEASING and record.state is State.RELEASED:
                return target
            self._require_state(record, State.REDACTED)
            try:
                output_sha256 = self._put_outside(record)
            except DumpsError as error:
                self._withhold(record, error.code)
                raise
            self._released(record, output_sha256)
            return target

    def _names(self, record: Record) -> tuple[Path, Path]:
        return self.outside / f"{record.name}.dump", self.outside / f"{record.name}.manifest.json"

    def _settle(self, record: Record) -> Record:
        """What a release that was cut off came to: the copy is outside and whole, or it never left."""
        if record.state is not State.RELEASING:
            return record
        if self.ledger.last_step(record.name) == "released":  # only the record was cut off
            return self._mark_released(record)
        target, beside = self._names(record)
        if not target.exists():
            beside.unlink(missing_ok=True)
            return self._withhold(record, "cut-off")
        try:
            manifest = require_released(target, beside, signing.public_text(self.key), {})
        except Refused:
            return self._withhold(record, "output-changed")
        if manifest["name"] != record.name:
            return self._withhold(record, "output-changed")
        return self._released(record, manifest["output"]["sha256"])

    def _withhold(self, record: Record, reason: str) -> Record:
        done = replace(record, state=State.REDACTED)
        self.ledger.append("withheld", _leaf(done) | {"reason": reason})
        self.spool.put(done)
        return done

    def _released(self, record: Record, output_sha256: str) -> Record:
        self.ledger.append("released", _leaf(record) | {"output_sha256": output_sha256})
        return self._mark_released(record)

    def _mark_released(self, record: Record) -> Record:
        done = replace(record, state=State.RELEASED)
        self.spool.put(done)
        self.spool.redacted(record.name).unlink(missing_ok=True)
        return done

    def _signed(self, record: Record, manifest: dict[str, Any], approvals: list[Approval]) -> str:
        signed = manifest | {
            "released": self.now().isoformat(),
            "approvals": [{"approver": a.approver, "signature": a.signature} for a in approvals],
            "approved_manifest_sha256": record.manifest_sha256,
        }
        body = {
            "manifest": signed,
            "key": signing.public_text(self.key),
            "signature": signing.sign_manifest(self.key, signed),
        }
        return json.dumps(body, indent=1, sort_keys=True)

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

    def _put_outside(self, record: Record) -> str:
        """Judge once more, write the step down, copy; the digest of what is outside now."""
        manifest = json.loads(self.spool.manifest(record.name).read_text(encoding="utf-8"))
        approvals = self._require_releasable(record, manifest)
        text = self._signed(record, manifest, approvals)
        digest = str(manifest["output"]["sha256"])
        self.spool.put(replace(record, state=State.RELEASING))
        self.ledger.append("releasing", _leaf(record) | {"output_sha256": digest})
        try:
            self._copy_outside(record, manifest, text)
        except OSError as error:
            raise Unavailable(
                "outside-unwritable", "the outside folder cannot be written, or is full", str(error)
            ) from error
        return digest

    def _copy_outside(self, record: Record, manifest: dict[str, Any], text: str) -> None:
        """Copy, read back what was written, let the second detector read it again, then name it."""
        target, beside = self._names(record)
        source = FileSource(self.spool.redacted(record.name))
        try:
            with output(self.outside) as out:
                os.ftruncate(out.descriptor, source.size)
                for start, end in source.data_extents():
                    for at in range(start, end, _PIECE):
                        write_all(out.descriptor, source.read(at, min(_PIECE, end - at)), at)
                os.fsync(out.descriptor)
                self._require_proved(out, manifest)
                write_text(beside, text)
                try:
                    publish(out.descriptor, target)
                except DumpsError:
                    beside.unlink()
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
        self._require_state(record, state)
        return record

    @staticmethod
    def _require_state(record: Record, state: State) -> None:
        if record.state is not state:
            raise Refused("wrong-state", f"the dump is {record.state}, not {state}")


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
