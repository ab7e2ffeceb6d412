"""The attacks of the crash-dump drill: leak, race, smuggle. Each says which controls stopped it.

A control can be disabled, to show that the drill notices its absence. May never do: use a key that signs
anything; the
drill's keys are made for it and die with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sealwright_dumps.corpus import build
from sealwright_dumps.corpus.build import Site
from sealwright_dumps.corpus.keys import make_keys, pkcs8
from sealwright_dumps.drill import flaws, sandbox
from sealwright_dumps.drill.sandbox import CODE, STACK, Sandbox, small_core
from sealwright_dumps.errors import DumpsError
from sealwright_dumps.gate.model import Origin, State
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Settings

CONTROLS = (
    "first-detector",
    "own-fingerprints",
    "redaction",
    "second-detector",
    "snapshot",
    "approval",
    "intake",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one attack came to. `control`: what was meant to stop it; `held`: whether it did."""

    attack: str
    control: str
    held: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Scene:
    """What an attack works with."""

    folder: Path
    site: Site
    disabled: frozenset[str]

    def knowledge(self) -> tuple[str, ...]:
        """The fingerprint files, unless that control is disabled."""
        path, _ = self.site.write_knowledge(self.folder)
        return () if "own-fingerprints" in self.disabled else (path,)

    def box(self) -> Sandbox:
        """A sandbox gate of its own."""
        root = self.folder / os.urandom(8).hex()
        root.mkdir()
        return sandbox.make(root, fingerprints=self.knowledge())


class Attack(Protocol):
    """One attack: a function with a name."""

    __name__: str

    def __call__(self, scene: Scene) -> Verdict:
        """Carry it out."""
        ...


_RACED = (7, 9)  # small numbers, which redaction keeps: the mark of each version


def _holds_key(data: bytes, site: Site) -> bool:
    """Whether a released file still has a part of any key, in either byte order."""
    private = site.keys.rsa.private_numbers()
    values = [private.p, private.q, private.d, site.keys.ec.private_numbers().private_value]
    raw = [value.to_bytes((value.bit_length() + 7) // 8, "little")[:12] for value in values]
    raw += [site.keys.ed25519.private_bytes_raw()[:12], site.keys.mldsa_seed[:12]]
    return any(piece in data or piece[::-1] in data for piece in raw)


def leak_as_text(scene: Scene) -> Verdict:
    """A key is left in a core as a library writes it; the scanner, told nothing, must see it."""
    path = scene.folder / "leak.core"
    path.write_bytes(small_core(pkcs8(scene.site.keys.ec, pem=True)))
    with flaws.blind_first_detector(when="first-detector" in scene.disabled):
        found = Run(Settings(workers=1, credentials=False)).scan([str(path)]).findings
    return Verdict("leak as text", "first-detector", bool(found), f"{len(found)} findings")


def leak_in_the_raw(scene: Scene) -> Verdict:
    """A scalar is left in a core with nothing around it; only its fingerprint tells it from chance."""
    settings = Settings(workers=1, credentials=False, fingerprints=scene.knowledge())
    path = scene.folder / "leak.core"
    path.write_bytes(small_core(scene.site.keys.ec.private_numbers().private_value.to_bytes(32, "big")))
    found = [finding.key_id for _, finding in Run(settings).scan([str(path)]).findings]
    return Verdict("leak in the raw", "own-fingerprints", "key-ec" in found, f"{len(found)} findings")


def leak_through_the_gate(scene: Scene) -> Verdict:
    """A core full of keys goes through the whole gate with both approvals; none may come out."""
    box, attack = scene.box(), "leak through the gate"
    data = build.core(scene.site, make_keys()).data
    with flaws.no_redaction(when="redaction" in scene.disabled):
        name = box.redacted(data, "/usr/bin/signer")
    record = box.gate.spool.get(name)
    if record.state is State.REFUSED:  # without a redactor no dump comes out, and what is left says why
        told = f"nothing was redacted; what was left is the second detector's word: {record.reason}"
        return Verdict(attack, "redaction", held=False, detail=told)
    for person in box.people:
        box.approve(name, person)
    out = box.gate.release(name).read_bytes()
    return Verdict(attack, "redaction", not _holds_key(out, scene.site), f"{len(out)} bytes released")


def smuggle_past_the_redactor(scene: Scene) -> Verdict:
    """A redactor that keeps whole stacks (as a wrong one would): the second detector must stop its output."""
    secret, box = hashlib.sha256(b"sealwright-dumps smuggled").digest(), scene.box()
    off = "second-detector" in scene.disabled
    with flaws.careless_redactor(), flaws.no_second_detector(when=off):
        name = box.redacted(small_core(bytes(512) + secret))
    record = box.gate.spool.get(name)
    held = record.state is State.REFUSED or secret not in box.gate.spool.redacted(name).read_bytes()
    return Verdict("smuggle", "second-detector", held, record.reason or "the secret is in the output")


def smuggle_in_a_note(scene: Scene) -> Verdict:
    """A key is hidden in places that a redactor keeps: the program's name, a mapped path, a saved
    register.
    """
    from sealwright_dumps.corpus import containers

    secret = scene.site.keys.ec.private_numbers().private_value.to_bytes(32, "big")
    general = [int.from_bytes(secret[:8], "big")] * 27
    general[16], general[19] = CODE, STACK + 256
    path = secret.hex().encode()
    files = (1).to_bytes(8, "little") + bytes(8) + bytes(24) + b"/" + path + b"\x00"
    notes = containers.note(1, containers.status(general))
    notes += containers.note(3, bytes(40) + secret[:15] + bytes(81))
    notes += containers.note(0x46494C45, files)
    data = containers.elf_core([containers.Region(STACK, bytes(8192))], notes)
    box = scene.box()
    record = box.gate.take_in(io.BytesIO(data).read, Origin("pipe", "/usr/bin/other"))
    done = box.gate.process(record.name)
    out = b"" if done.state is State.REFUSED else box.gate.spool.redacted(record.name).read_bytes()
    held = path not in out and secret[:8] not in out and secret[:8][::-1] not in out
    return Verdict("smuggle in a note", "redaction", held, done.reason or "redacted")


def race_the_redactor(scene: Scene) -> Verdict:
    """The dump is rewritten again and again while it is taken in and redacted: what comes out must be of the
    very bytes that were scanned.
    """
    path, box = scene.folder / "raced", scene.box()
    first, second = (small_core(bytes(512) + word.to_bytes(8, "little") * 8) for word in _RACED)
    scanned = {
        hashlib.sha256(data).hexdigest(): word for data, word in zip((first, second), _RACED, strict=True)
    }
    outcomes = mixed = 0
    off = "snapshot" in scene.disabled
    with _rewriting(path, first, second, stopped=off), flaws.live_file(path, second, when=off):
        for _ in range(1 if off else 8):
            with contextlib.suppress(DumpsError):
                record = box.gate.process(box.gate.take_in_file(path, "/usr/bin/other").name)
                if record.state is State.REDACTED:
                    outcomes += 1
                    mixed += _is_of_another(box, record.name, scanned)
    return Verdict("race", "snapshot", not mixed, f"{outcomes} came through, {mixed} not as scanned")


def _is_of_another(box: Sandbox, name: str, scanned: dict[str, int]) -> bool:
    """Whether a redacted copy holds the mark of another version than its manifest says was scanned."""
    manifest = json.loads(box.gate.spool.manifest(name).read_text(encoding="utf-8"))
    word = scanned.get(manifest["input"]["sha256"])
    out = box.gate.spool.redacted(name).read_bytes()
    return word is not None and word.to_bytes(8, "little") * 8 not in out


@contextlib.contextmanager
def _rewriting(path: Path, first: bytes, second: bytes, *, stopped: bool) -> Iterator[None]:
    path.write_bytes(first)
    stop = threading.Event()
    if stopped:  # the one who races writes by other means
        stop.set()

    def rewrite() -> None:
        while not stop.is_set():
            for content in (second, first):
                with path.open("r+b") as file:
                    file.write(content)

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def release_without_a_second_person(scene: Scene) -> Verdict:
    """One person approves twice; the class asks for two people."""
    box = scene.box()
    name = box.redacted(small_core(b""), "/usr/bin/signer")
    for _ in range(2):
        box.approve(name, box.people[0])
    gate = box.gate
    if "approval" in scene.disabled:
        relaxed = tuple(replace(kind, approvals=1) for kind in gate.policy.classes)
        gate = replace(gate, policy=replace(gate.policy, classes=relaxed))
    try:
        gate.release(name)
    except DumpsError as error:
        return Verdict("one person twice", "approval", error.code == "not-approved", error.code)
    return Verdict("one person twice", "approval", held=False, detail="released")


def replace_after_the_proof(scene: Scene) -> Verdict:
    """The proved copy is swapped for a raw core before release."""
    box = scene.box()
    name = box.redacted(small_core(b""))
    box.approve(name, box.people[0])
    path = box.gate.spool.redacted(name)
    path.write_bytes(small_core())
    try:
        box.gate.release(name)
    except DumpsError as error:
        return Verdict("replaced after the proof", "snapshot", error.code == "output-changed", error.code)
    return Verdict("replaced after the proof", "snapshot", held=False, detail="released")


def slip_in_by_a_link(scene: Scene) -> Verdict:
    """A symbolic link, a second name and a named pipe are handed in."""
    box = scene.box()
    real = scene.folder / "real"
    real.write_bytes(small_core())
    names = [scene.folder / "link", scene.folder / "second", scene.folder / "pipe"]
    names[0].symlink_to(real)
    os.link(real, names[1])
    os.mkfifo(names[2])
    taken = 0
    with flaws.open_anything(when="intake" in scene.disabled):
        for name in names:
            with contextlib.suppress(DumpsError, BlockingIOError):
                box.gate.take_in_file(name, "/usr/bin/other")
                taken += 1
    return Verdict("slip in by a link", "intake", taken == 0, f"{taken} of 3 taken in")


ATTACKS: tuple[Attack, ...] = (
    leak_as_text,
    leak_in_the_raw,
    leak_through_the_gate,
    smuggle_past_the_redactor,
    smuggle_in_a_note,
    race_the_redactor,
    release_without_a_second_person,
    replace_after_the_proof,
    slip_in_by_a_link,
)


def run(folder: Path, disabled: frozenset[str] = frozenset()) -> list[Verdict]:
    """Carry out every attack in an empty folder; one verdict each."""
    site = build.make_site()
    return [carry_out(attack, folder, site, disabled) for attack in ATTACKS]


def carry_out(attack: Attack, folder: Path, site: Site, disabled: frozenset[str]) -> Verdict:
    """One attack, in a folder of its own below `folder`."""
    own = folder / attack.__name__
    own.mkdir()
    return attack(Scene(own, site, disabled))


def to_json(verdicts: list[Verdict]) -> str:
    """The verdicts as JSON."""
    rows = [{"attack": v.attack, "control": v.control, "held": v.held, "detail": v.detail} for v in verdicts]
    return json.dumps({"held": all(v.held for v in verdicts), "verdicts": rows}, indent=1)
