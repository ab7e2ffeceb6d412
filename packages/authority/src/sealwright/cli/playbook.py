"""Walks an incident commander through a playbook: what each step would do now; done when asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sealwright.cli.admin import Admin
from sealwright.cli.output import moment
from sealwright.config import Config
from sealwright.errors import Misconfigured, Refused
from sealwright.response.affected import Scope
from sealwright.response.playbook import PLAYBOOKS, Step


@dataclass(frozen=True, slots=True)
class Scene:
    """What the playbook is about."""

    admin: Admin
    config: Config
    incident: str
    key: str
    realm: str
    known: list[Scope] = field(default_factory=list)

    def scope(self) -> Scope:
        """The blast radius, asked for once in a walk: it takes seconds."""
        if not self.known:
            from sealwright.cli.notify import whole_scope

            self.known.append(whole_scope(self.config, self.key))
        return self.known[0]

    @classmethod
    def found(cls, admin: Admin, config: Config, key: str | None) -> Scene:
        """The incident about this key; without one, the newest critical one about any key.

        Raises:
            Refused: `no_incident`.
        """
        incidents = admin.get("/admin/incidents")["incidents"]
        about = [one for one in incidents if one["about"].startswith("key ")]
        about = [
            one
            for one in about
            if one["about"] == f"key {key}" or (key is None and one["severity"] == "critical")
        ]
        if not about and key is not None:
            raise Refused(
                "no_incident", f"there is no incident about the key {key}; see `sealwright incidents list`"
            )
        if not about:
            raise Refused("no_incident", "there is no critical incident about a key; name one with --key")
        newest = max(about, key=lambda one: float(one["last_at"]))
        kid = newest["about"].removeprefix("key ")
        realm = admin.get(f"/admin/keys/{kid}")["realm"]
        return cls(admin, config, newest["id"], kid, realm)

    def command(self, step: Step) -> str:
        """The step's command for this incident."""
        return step.command.format(incident=self.incident, key=self.key, realm=self.realm)


def require_steps(name: str, only: str | None) -> tuple[Step, ...]:
    """The steps of a playbook.

    Raises:
        Misconfigured: `unknown_playbook`, or `unknown_step` where only one is wanted that is not in it.
    """
    steps = PLAYBOOKS.get(name)
    if steps is None:
        raise Misconfigured(
            "unknown_playbook", f"there is no playbook {name}; there are: {', '.join(PLAYBOOKS)}"
        )
    if only is not None and only not in {step.name for step in steps}:
        known = ", ".join(step.name for step in steps)
        raise Misconfigured("unknown_step", f"there is no step {only}; there are: {known}")
    return steps


def walk(scene: Scene, name: str, only: str | None, *, go: bool) -> None:
    """Go through a playbook.

    Args:
        scene: what it is about.
        name: of the playbook.
        only: one step; all when None.
        go: do what a step does; without it, show what it would touch.
    """
    steps = require_steps(name, only)
    _say(f"incident {scene.incident} about key {scene.key} of realm {scene.realm}")
    _say("doing what changes something" if go else "dry: nothing is changed; add --apply to act")
    for number, step in enumerate(steps, 1):
        if only in (None, step.name):
            _say(f"\n{number}. {step.name}: {step.title}")
            _say(f"   {step.why}")
            _say(f"   $ {scene.command(step)}")
            for line in _STEPS[step.name](scene, go and step.changes):
                _say(f"   {line}")


def _detect(scene: Scene, _go: bool) -> list[str]:  # noqa: FBT001 - one shape for all steps
    found = scene.admin.get(f"/admin/incidents/{scene.incident}")
    codes = ", ".join(f"{code} {count}" for code, count in found["codes"].items())
    lines = [f"{found['alarms']} alarms since {moment(found['first_at'])}: {codes}"]
    suggested = [one for one in found["timeline"] if one["what"] == "response"]
    return lines + [f"{one['outcome']}: {one['action']} {one['subject']}" for one in suggested]


def _contain(scene: Scene, go: bool) -> list[str]:  # noqa: FBT001
    return _act(scene, "require_strict", scene.realm, go)


def _revoke(scene: Scene, go: bool) -> list[str]:  # noqa: FBT001
    key = scene.admin.get(f"/admin/keys/{scene.key}")
    if key["state"] == "revoked":
        return [f"revoked already: {moment(key['changed_at'])}"]
    return _act(scene, "revoke_key", scene.key, go)


def _act(scene: Scene, action: str, subject: str, go: bool) -> list[str]:  # noqa: FBT001
    body = {"action": action, "subject": subject, "reason": "key_compromise", "dry": not go}
    told = scene.admin.post("/admin/act", body)
    preview = told["preview"]
    touches = f"{preview['live_tokens']} live tokens of {preview['clients']} clients"
    return [f"{'done' if told['done'] else 'would touch'}: {touches} {preview.get('note', '')}".rstrip()]


def _scope(scene: Scene, _go: bool) -> list[str]:  # noqa: FBT001
    found = scene.scope()
    touched = {row.sub_digest for row in found.touched}
    tenants = sorted({row.tenant for row in found.touched})
    lines = [f"touched: {len(touched)} subjects of {len(tenants)} tenants ({', '.join(tenants) or 'none'})"]
    lines.append(f"could have been: {sum(row.subjects for row in found.reach)} subjects")
    return lines + [f"missing evidence: {gap.about}: {gap.detail}" for gap in found.missing]


def _verify(scene: Scene, _go: bool) -> list[str]:  # noqa: FBT001
    told = scene.admin.get("/admin/adoption")
    version = scene.admin.get("/admin/status")["keys"]["manifest_version"]
    behind = [one for one in told["validators"] if (one["validator"]["manifest_version"] or 0) < version]
    silent = ", ".join(told["silent"]) or "none"
    return [
        f"{len(told['validators'])} validators, {len(behind)} not at manifest {version}; silent: {silent}"
    ]


def _notify(scene: Scene, _go: bool) -> list[str]:  # noqa: FBT001
    from sealwright.cli.notify import composed_for

    notices = composed_for(scene.scope(), scene.incident)
    return [
        f"{one.tenant}: {one.subjects_touched} touched, {one.subjects_in_reach} in reach" for one in notices
    ] + ["run the command above: it needs an operator's name, and another operator's consent"]


def _recover(scene: Scene, go: bool) -> list[str]:  # noqa: FBT001
    keys = scene.admin.get("/admin/keys")["keys"]
    active = [one["kid"] for one in keys if one["realm"] == scene.realm and one["state"] == "active"]
    lines = [f"active keys of {scene.realm}: {', '.join(active) or 'NONE'}"]
    try:
        scene.admin.post(f"/admin/realms/{scene.realm}/relax", {"dry": not go})
    except Refused as refusal:
        return [*lines, f"strict mode: {refusal.public}"]
    told = "as the configuration says" if go else "a response raised it, and would take that back"
    return [*lines, f"strict mode: {told}"]


_STEPS: dict[str, Callable[[Scene, bool], list[str]]] = {
    "detect": _detect,
    "contain": _contain,
    "scope": _scope,
    "revoke": _revoke,
    "verify": _verify,
    "notify": _notify,
    "recover": _recover,
}


def _say(line: Any) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
