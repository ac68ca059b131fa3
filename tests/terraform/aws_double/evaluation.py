"""Decides about one call from policy documents, in the order of AWS: explicit denial, boundary, then what allows."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.terraform.aws_double.conditions import Context, are_met, like


class Call(NamedTuple):
    """One action on one resource. `principal` is an ARN, or None for an anonymous request."""

    action: str
    resource: str
    context: Context
    principal: str | None = None


class Policies(NamedTuple):
    """The documents that have a say; `boundary` None means that the role carries none."""

    identity: Sequence[str]
    boundary: str | None = None
    resource: str | None = None


class Decision(NamedTuple):
    """The outcome; `reason` names the statement that decided, or says that none allowed the call."""

    is_allowed: bool
    reason: str


def decide(call: Call, policies: Policies) -> Decision:
    """Evaluate all documents for a call within one account."""
    identity = [statement for document in policies.identity for statement in statements_of(document)]
    boundary = None if policies.boundary is None else list(statements_of(policies.boundary))
    resource = [one for one in statements_of(policies.resource) if _names(one, call.principal)]
    for statement in [*identity, *(boundary or []), *resource]:
        if statement["Effect"] == "Deny" and _applies(statement, call):
            return Decision(False, f"denied by {_name(statement)}")
    if allowing := _allowing(resource, call):
        return Decision(True, f"allowed by {_name(allowing)} of the resource")
    allowing = _allowing(identity, call)
    if allowing is None:
        return Decision(False, "no statement allows it")
    if boundary is not None and _allowing(boundary, call) is None:
        return Decision(False, "the permissions boundary does not allow it")
    return Decision(True, f"allowed by {_name(allowing)}")


def statements_of(document: str | None) -> Iterable[Mapping[str, Any]]:
    """The statements of a document in JSON."""
    if document is None:
        return []
    statements = json.loads(document)["Statement"]
    return [statements] if isinstance(statements, dict) else list(statements)


def _allowing(statements: Iterable[Mapping[str, Any]], call: Call) -> Mapping[str, Any] | None:
    return next((one for one in statements if one["Effect"] == "Allow" and _applies(one, call)), None)


def _applies(statement: Mapping[str, Any], call: Call) -> bool:
    is_trust = "Resource" not in statement and "NotResource" not in statement  # a role's trust policy names none
    return (
        _is_listed(statement, "Action", call.action.lower(), fold=True)
        and (is_trust or _is_listed(statement, "Resource", call.resource))
        and are_met(statement.get("Condition", {}), call.context)
    )


def _is_listed(statement: Mapping[str, Any], element: str, value: str, *, fold: bool = False) -> bool:
    if (excluded := statement.get(f"Not{element}")) is not None:
        return not _matches_one(excluded, value, fold=fold)
    return _matches_one(statement.get(element, []), value, fold=fold)


def _matches_one(patterns: str | list[str], value: str, *, fold: bool) -> bool:
    return any(like(value, pattern.lower() if fold else pattern) for pattern in _as_list(patterns))


def _names(statement: Mapping[str, Any], principal: str | None) -> bool:
    """Return whether a statement of a resource's policy speaks of this principal."""
    named = statement.get("Principal", "*")
    if named == "*":
        return True
    listed = [one for kind in named.values() for one in ([kind] if isinstance(kind, str) else kind)]
    return "*" in _as_list(named.get("AWS", [])) or (principal is not None and principal in listed)


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _name(statement: Mapping[str, Any]) -> str:
    return str(statement.get("Sid") or "a statement without a name")
