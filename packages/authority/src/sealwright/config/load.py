"""Reads the configuration: defaults, then the TOML file, then the environment, then options of the command
line.

An unknown name is refused wherever it comes from, so that a misspelt limit cannot be silently absent. A file
that names any realm names all of them; the environment then changes single values. Nothing here may decide
whether a configuration is good: see `rules`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from sealwright.config.environment import CONFIG_FILE, PREFIX
from sealwright.config.model import Config, RealmConfig
from sealwright.config.rules import require_runnable
from sealwright.config.shape import dotted, fitted, from_text, is_section, members, unknown
from sealwright.errors import Misconfigured
from sealwright.files import write_private

SEPARATOR, ANY_REALM = "__", "realms[...]"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a configuration came from: the file (None: defaults only) and the environment variables that
    changed it.
    """

    file: Path | None = None
    variables: tuple[str, ...] = field(default=())


def load(
    file: Path | None,
    unverified_environment: Mapping[str, str],
    options: Mapping[str, object] | None = None,
) -> tuple[Config, Source]:
    """The configuration that would run, and where it came from.

    Args:
        file: TOML file; None to use the one that `SEALWRIGHT_CONFIG` names, or the defaults.
        unverified_environment: environment variables, see `environment`.
        options: values from the command line by dotted path, for example `{"demo.enabled": False}`.

    Raises:
        Misconfigured: with the place, what is wrong and what to do about it.
    """
    if file is None and unverified_environment.get(CONFIG_FILE):
        file = Path(unverified_environment[CONFIG_FILE])
    values = msgspec.to_builtins(Config()) | (_file(file) if file else {})
    variables = _apply_variables(values, unverified_environment)
    for path, value in (options or {}).items():
        _put(values, tuple(path.split(".")), value)
    config = _converted(values)
    require_runnable(config)
    return config, Source(file, variables)


def _file(file: Path) -> dict[str, Any]:
    try:
        raw = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise Misconfigured("unreadable_file", f"cannot read the configuration {file}: {reason}") from error
    except RecursionError as error:  # of the parser, which goes one call deeper at each bracket
        raise Misconfigured("bad_toml", f"{file} is nested too deeply to be a configuration") from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
        raise Misconfigured("bad_toml", f"{file} is not TOML: {error}") from error
    values: dict[str, Any] = fitted(raw, Config, str(file))
    return values


def _apply_variables(values: dict[str, Any], unverified_environment: Mapping[str, str]) -> tuple[str, ...]:
    applied = []
    for name in sorted(unverified_environment):
        if not name.startswith(PREFIX) or name == CONFIG_FILE:
            continue
        if SEPARATOR not in name:
            _require_no_section(name)
            continue
        path, kind = _place(name)
        _put(values, path, from_text(unverified_environment[name], kind, name, path))
        applied.append(name)
    return tuple(applied)


def _require_no_section(name: str) -> None:
    section, _, key = name.removeprefix(PREFIX).lower().partition("_")
    if key and section in members(Config):
        meant = f"{PREFIX}{section.upper()}{SEPARATOR}{key.upper()}"
        raise Misconfigured("unknown_key", f"{name} is not known (environment); did you mean {meant}?")


def _place(name: str) -> tuple[tuple[str, ...], Any]:
    """Where the variable `name` points to, and the type of the value there."""
    path: tuple[str, ...] = ()
    kind: Any = Config
    for segment in name.removeprefix(PREFIX).lower().split(SEPARATOR):
        if get_origin(kind) is dict:
            path, kind = (*path, segment.replace("_", "-")), get_args(kind)[1]
        elif is_section(kind) and segment in members(kind):
            path, kind = (*path, segment), members(kind)[segment]
        else:
            raise unknown((*path, segment), members(kind) if is_section(kind) else (), name)
    if is_section(kind) or get_origin(kind) is dict:
        raise Misconfigured("wrong_type", f"{dotted(path)} is a section; name one value of it ({name})")
    return path, kind


def _put(values: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for segment in path[:-1]:
        values = values.setdefault(segment, {})
    values[path[-1]] = value


def _converted(values: dict[str, Any]) -> Config:
    try:
        return msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        place = _with_realm(place.rstrip("`"), values) or "the configuration"
        raise Misconfigured("wrong_type", f"{place}: {what[:1].lower()}{what[1:]}") from error


def _with_realm(place: str, values: dict[str, Any]) -> str:
    """The place with the name of the realm that is wrong: the decoder says `realms[...]` for each of them."""
    if not place.startswith(ANY_REALM):
        return place
    for name, realm in values["realms"].items():
        try:
            msgspec.convert(realm, RealmConfig)
        except msgspec.ValidationError:
            return f"realms.{name}{place.removeprefix(ANY_REALM)}"
    return place


def write_effective(config: Config, file: Path) -> None:
    """Write what runs, for the child processes: they read this and neither file nor environment (mode 0600,
    atomic).
    """
    write_private(file, msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")


def load_effective(file: Path) -> Config:
    """What `write_effective` wrote, with every rule checked again.

    Raises:
        Misconfigured: the file is absent or does not hold a configuration that may run.
    """
    try:
        config = msgspec.json.decode(file.read_bytes(), type=Config)
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise Misconfigured(
            "unreadable_file", f"cannot read {file}: {reason}; it is written by `sealwright up`"
        ) from error
    except msgspec.DecodeError as error:
        raise Misconfigured("wrong_type", f"{file} is no configuration: {error}") from error
    require_runnable(config)
    return config
