"""Kills authority or signer with SIGKILL at every step of a rotation, restarts, and reads everything again.

A program of its own with one thread, because it forks: the authority of each round is a child that dies.
Prints one JSON line per round. Usage: `killed_rotation.py authority|signer`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sealwright.config import KeyConfig, ManifestConfig
from sealwright.drills.sandbox import Sandbox
from sealwright.errors import SealwrightError
from sealwright.keys.announced import AnnouncedKeys
from sealwright.keys.link import SignerLink
from sealwright.keys.model import Key, KeyState
from sealwright.keys.rules import HANDOVER
from sealwright.keys.service import KeyService
from sealwright.ledger.fsck import check_ledger
from sealwright.ledger.model import Batch, EventLeaf, parse_leaf
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.service import Ledger, LogWriter
from sealwright.wiring.authority import key_policies
from sealwright.wiring.restored import require_not_restored
from sealwright.wiring.stores import Stores
from sealwright_signer.client import Connection, Hello
from sealwright_validate import Expect, Refused, Trust, Validator

RECORD = b"salt" * 4 + b"{}"
TOKEN_SECONDS = 60
KEYS = KeyConfig(use=300, lead=60, skew=5)
MOST = 500


class Steps:
    """Counts what a rotation does, and calls `strike` at one of the steps."""

    def __init__(self, strike_at: int, strike: Callable[[], None]) -> None:
        self.names: list[str] = []
        self._at = strike_at
        self._strike = strike

    def reach(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self._at:
            self._strike()


class Stepped:
    """Any port, with a step before and after each of the named calls."""

    def __init__(self, inner: Any, steps: Steps, names: Sequence[str]) -> None:
        self._inner, self._steps, self._names = inner, steps, frozenset(names)

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._inner, name)
        if name not in self._names:
            return real
        if asyncio.iscoroutinefunction(real):

            async def waited(*given: Any, **named: Any) -> Any:
                self._steps.reach(f"before {name}")
                answer = await real(*given, **named)
                self._steps.reach(f"after {name}")
                return answer

            return waited

        def called(*given: Any, **named: Any) -> Any:
            self._steps.reach(f"before {name}")
            answer = real(*given, **named)
            self._steps.reach(f"after {name}")
            return answer

        return called


class SteppedWriter(LogWriter):
    """A log writer with a step before and after each commit; the link takes no other kind."""

    steps: Steps

    async def commit(self, batch: Batch, records: Sequence[bytes | None] = ()) -> None:
        self.steps.reach("before commit")
        await super().commit(batch, records)
        self.steps.reach("after commit")


class Round:
    """One authority process: its own stores, its own connection."""

    def __init__(self, site: Sandbox, steps: Steps) -> None:
        self.site, self.steps = site, steps
        self.stores = Stores.open(site.config, site.clock)
        self.ledger = Ledger(self.stores.ledger, site.clock, lambda _log_id: None)
        keys = Stepped(self.stores.keys, steps, ("add", "settle", "add_manifest"))
        policies = key_policies(site.config)
        leaf = self.stores.ledger.leaf
        self.service = KeyService(policies, keys, self.stores.admissions, site.clock, leaf)
        self.link: SignerLink | None = None

    async def connect(self) -> SignerLink:
        if self.site.signer is None:
            raise AssertionError("no signer")
        codec = (msgspec.json.decode, msgspec.json.encode)
        connection = await Connection.open(self.site.signer.socket_path, codec)
        link = self.link = await SignerLink.open(connection, self._open_log, self._unrecorded)
        held = [(key["announcement"], key["state"], key["ledger_index"]) for key in link.hello.keys]
        signer = Stepped(link, self.steps, ("make_key", "activate", "destroy", "manifest", "statement"))
        await self.service.attach(signer, held)
        return link

    async def _unrecorded(self, log_id: str, first: int, end: int) -> None:
        raise AssertionError(f"no token was asked for, and log {log_id} has leaves {first} to {end} of some")

    def _open_log(self, hello: Hello) -> LogWriter:
        writer = self.ledger.open_log(hello.log_id, hello.origin, hello.vkey, hello.acked)
        writer.__class__ = SteppedWriter
        vars(writer)["steps"] = self.steps
        return writer

    async def rotate(self) -> None:
        """Through the life of the keys that sign now: successor staged, active, the old ones retired."""
        lead = self.site.config.keys.lead
        before = [key for key in self.stores.keys.unretired() if key.state is KeyState.ACTIVE]
        for moments in (
            [key.use_until - HANDOVER - lead for key in before],
            [key.use_until - HANDOVER for key in before],
            [key.verify_until for key in before],
        ):
            self.pass_until(max(moments, default=0) + 1)
            await self.service.tick()

    def pass_until(self, moment: float) -> None:
        self.site.clock.advance(max(0.0, moment - self.site.clock.now()))

    async def token(self, realm: str) -> str:
        signer, key = self.service.signing_key(realm)
        digest = hashlib.sha256(RECORD).hexdigest()
        audience = [self.site.audience(realm)]
        asked = [realm, key.kid, "at+jwt", "app", "app", audience, "", TOKEN_SECONDS, digest, None]
        results: Sequence[Any] = await signer.sign([asked], [RECORD], lambda: None)
        result = results[0]
        require(isinstance(result, tuple), f"no token: {result}")
        return str(result[0])


async def rotated(site: Sandbox, steps: Steps) -> None:
    """A rotation that may be struck. The signer's death shows as an error; ours shows as nothing."""
    made = Round(site, steps)
    try:
        await made.connect()
        await made.rotate()
    except SealwrightError:
        if site.signer is not None and site.signer.popen.poll() is None:
            raise


async def reread(site: Sandbox, version: int) -> dict[str, Any]:
    """Restart, let it mend itself, then read everything again. AssertionError for what does not hold."""
    made = Round(site, Steps(0, lambda: None))
    link = await made.connect()
    await made.service.tick()
    keys = made.stores.keys.unretired()
    realms = sorted(site.config.realms)
    signing = sorted(key.realm for key in keys if key.state is KeyState.ACTIVE)
    require(signing == realms, f"one active key for each realm: {signing}")
    for realm in realms:
        staged = [key for key in keys if key.realm == realm and key.state is KeyState.STAGED]
        require(len(staged) <= 1, f"{len(staged)} successors of {realm}")
    require_ledger_and_rows(made, keys)
    require_signer_agrees(made, link)
    manifest = made.service.manifest()
    require(manifest.version >= version, f"manifest {manifest.version} after {version}")
    require_not_restored(made.stores.ledger, made.stores.keys.latest_manifest(), site.state / "ledger")
    tokens = {realm: await made.token(realm) for realm in realms}
    require_accepted(site, made, tokens)
    published(site, made)
    return {"version": manifest.version}


def require(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def require_ledger_and_rows(made: Round, keys: Sequence[Key]) -> None:
    """Every published key is announced where its row says; every announced key has a row."""
    announced = AnnouncedKeys(made.stores.ledger.leaf)
    for key in keys:
        announced.require(key)
    for log in made.stores.ledger.logs():
        for entry in made.stores.ledger.entries(log.log_id, 0, log.size):
            leaf = parse_leaf(entry.leaf)
            if isinstance(leaf, EventLeaf) and leaf.members.get("event") == "announced":
                row = made.stores.keys.get(leaf.members["kid"])
                # A key that died with its signer before anybody published it needs no row.
                known = row is not None or log.log_id != next(iter(vars(made.service)["_signers"]))
                require(known, f"an announced key without a row at leaf {entry.index}")


def require_signer_agrees(made: Round, link: SignerLink) -> None:
    """What the signer holds is what the rows say, after `hello` was mended into them."""
    for held in link.hello.keys:
        kid = json.loads(_decoded(held["announcement"]))["kid"]
        row = made.stores.keys.get(kid)
        require(row is not None, f"the signer holds a key without a row: {kid}")
        if row is not None and held["state"] == "destroyed":
            require(row.state not in {KeyState.STAGED, KeyState.ACTIVE}, f"{row.state}, but destroyed")


def _decoded(document: str) -> bytes:
    import base64

    payload = document.split(".")[1]
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))


def require_accepted(site: Sandbox, made: Round, tokens: dict[str, str]) -> None:
    """A validator that knows nothing but the root takes the manifest and the tokens of now."""
    trust = Trust.fed(root=site.root, clock=site.clock)
    manifest = made.service.manifest()
    document = {"root_version": 1, "admission": manifest.admission, "manifest": manifest.jws}
    trust.feed(msgspec.json.encode(document))
    checker = Validator(trust=trust)
    for realm, token in tokens.items():
        try:
            checker.validate(token, Expect(audience=site.audience(realm), realm=realm))
        except Refused as refusal:
            raise AssertionError(f"a token of {realm} is refused: {refusal}") from refusal
    checker.close()


def published(site: Sandbox, made: Round) -> None:
    """Publish the ledger's files and check all of it, leaf by leaf."""
    publisher = Publisher(made.stores.ledger, site.state / "ledger")
    publisher.start()
    publisher.stop()
    report = check_ledger(made.stores.ledger, site.state / "ledger")
    require(report.sound, f"{report.damages}")


def in_child(work: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
    """Run something in a process that may die: its answer, or how it ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            answer = asyncio.run(work())
        except BaseException:  # noqa: BLE001 - whatever went wrong is the answer
            answer = {"error": traceback.format_exc()}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    return json.loads(told) if told else {"killed": os.WTERMSIG(status)}


def place(directory: Path) -> Sandbox:
    """Short-lived keys and tokens, so that rounds need minutes instead of hours."""
    site = Sandbox(directory, keys=KEYS)
    realms = {
        name: msgspec.structs.replace(realm, max_lifetime=TOKEN_SECONDS, default_lifetime=30)
        for name, realm in site.config.realms.items()
    }
    site.config = msgspec.structs.replace(site.config, realms=realms, manifest=ManifestConfig(life=30))
    return site


def say(**told: Any) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main(victim: str) -> None:
    with tempfile.TemporaryDirectory(prefix="sealwright-test-") as name:
        site = place(Path(name))
        site.start_signer()
        try:
            rounds(site, victim)
        finally:
            site.stop()


def rounds(site: Sandbox, victim: str) -> None:
    version, seen = 0, set[str]()

    async def quiet() -> dict[str, Any]:
        steps = Steps(0, lambda: None)
        await rotated(site, steps)
        return {"names": steps.names}

    in_child(quiet)  # the first keys
    names = in_child(quiet)["names"]
    for number in range(1, MOST):
        if number > len(names):
            break
        if victim == "signer" and names[number - 1] in seen:
            continue
        seen.add(names[number - 1])
        told = in_child(lambda: struck(site, victim, number))  # noqa: B023 - called at once
        if victim == "signer":
            site.kill_signer()
            site.start_signer()
        found = in_child(lambda: reread(site, version))  # noqa: B023 - called at once
        version = found.get("version", version)
        say(step=number, name=names[number - 1], victim=victim, struck=told, found=found)
    say(steps=len(names), distinct=len(set(names)))


async def struck(site: Sandbox, victim: str, number: int) -> dict[str, Any]:
    steps = Steps(number, lambda: strike(site, victim))
    await rotated(site, steps)
    return {"reached": len(steps.names)}


def strike(site: Sandbox, victim: str) -> None:
    if victim == "authority":
        os.kill(os.getpid(), signal.SIGKILL)
    elif site.signer is not None:
        os.kill(site.signer.pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
