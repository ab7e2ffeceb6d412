"""Release policies in the shape of Azure Secure Key Release: anyOf authorities, each with allOf or anyOf
conditions.

It may never treat a claim that is not there as satisfying anything but `exists: false`, and never accept an
operator or a form that the grammar does not have. Source: Azure Key Vault secure key release policy grammar,
version 1.0.0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sealwright_attest.errors import Misconfigured, Refused
from sealwright_attest.octets import strict_object

MAX_DEPTH: Final = 8
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Condition:
    """One claim, one operator, one value."""

    claim: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions of which all, or any one, must hold."""

    every: bool
    members: tuple["Condition | Group", ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """One authority with what it must say."""

    authority: str
    group: Group


def _same(found: object, value: object) -> bool:
    if isinstance(found, bool) or isinstance(value, bool):
        # MAA writes booleans both as JSON booleans and as texts.
        return str(found).lower() == str(value).lower()
    return found == value


def _ordered(compare: Callable[[float, float], bool]) -> Callable[[object, object], bool]:
    def decide(found: object, value: object) -> bool:
        numeric = (int, float)
        if isinstance(found, bool) or not isinstance(found, numeric) or not isinstance(value, numeric):
            return False
        return compare(found, value)

    return decide


_OPERATORS: Final[dict[str, Callable[[object, object], bool]]] = {
    "equals": _same,
    "notEquals": lambda found, value: not _same(found, value),
    "less": _ordered(lambda found, value: found < value),
    "lessOrEquals": _ordered(lambda found, value: found <= value),
    "greater": _ordered(lambda found, value: found > value),
    "greaterOrEquals": _ordered(lambda found, value: found >= value),
}


def _member(value: object, depth: int) -> "Condition | Group":
    if not isinstance(value, dict):
        raise Misconfigured("release policy: a condition is not an object")
    if "claim" not in value:
        return _group(value, depth + 1)
    operators = [name for name in value if name != "claim"]
    known = [name for name in operators if name in _OPERATORS or name == "exists"]
    if not isinstance(value["claim"], str) or len(operators) != 1 or known != operators:
        raise Misconfigured("release policy: a condition has one claim and one known operator")
    operand = value[operators[0]]
    if not isinstance(operand, str | int | float | bool):
        raise Misconfigured("release policy: a condition compares with a text, a number or a boolean")
    return Condition(value["claim"], operators[0], operand)


def _group(value: dict[str, Any], depth: int) -> Group:
    names = [name for name in value if name in {"anyOf", "allOf"}]
    if depth > MAX_DEPTH or len(names) != 1 or len(value) != 1:
        raise Misconfigured("release policy: a group is exactly one of anyOf and allOf, eight deep at most")
    members = value[names[0]]
    if not isinstance(members, list) or not members:
        raise Misconfigured("release policy: a group has at least one condition")
    return Group(names[0] == "allOf", tuple(_member(one, depth) for one in members))


def parse_release(document: bytes) -> tuple[Branch, ...]:
    """Return the branches of a release policy.

    Raises:
        Misconfigured: the document is not of the grammar.
    """
    try:
        values = strict_object(document)
    except Refused as refusal:
        raise Misconfigured(f"release policy: {refusal.public}") from refusal
    branches = values.get("anyOf")
    if (
        values.get("version") != "1.0.0"
        or set(values) != {"version", "anyOf"}
        or not isinstance(branches, list)
    ):
        raise Misconfigured('release policy: needs version "1.0.0" and anyOf, and nothing else')
    found = []
    for one in branches:
        if not isinstance(one, dict) or not isinstance(one.get("authority"), str):
            raise Misconfigured("release policy: a branch has an authority")
        rest = {name: value for name, value in one.items() if name != "authority"}
        found.append(Branch(one["authority"].rstrip("/"), _group(rest, 1)))
    if not found:
        raise Misconfigured("release policy: anyOf is empty")
    return tuple(found)


def _lookup(claims: Mapping[str, Any], name: str) -> object:
    if name in claims:
        return claims[name]
    value: object = claims
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return value


def unmet(member: "Condition | Group", claims: Mapping[str, Any]) -> list[str]:
    """Return what does not hold, as text; empty when everything does."""
    if isinstance(member, Condition):
        found = _lookup(claims, member.claim)
        if member.operator == "exists":
            holds = (found is not _MISSING) is (str(member.value).lower() == "true")
        else:
            holds = found is not _MISSING and _OPERATORS[member.operator](found, member.value)
        shown = "missing" if found is _MISSING else found
        return [] if holds else [f"{member.claim} is {shown}, not {member.operator} {member.value}"]
    parts = [unmet(one, claims) for one in member.members]
    if member.every:
        return [text for part in parts for text in part]
    return [] if any(not part for part in parts) else [" or ".join(text for part in parts for text in part)]
