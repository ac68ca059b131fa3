"""The condition operators of IAM, as far as our documents use them; an unknown operator is an error, never a match."""

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import translate
from functools import cache

Context = Mapping[str, str | Sequence[str]]
"""Facts about a request by condition key; a missing key is missing from the request."""


class UnknownOperator(ValueError):
    """Raised for an operator that is not written here."""


def are_met(conditions: Mapping[str, Mapping[str, str | list[str]]], context: Context) -> bool:
    """Return whether all conditions of one statement hold."""
    keys = {key.lower(): value for key, value in context.items()}
    return all(
        _is_met(operator, keys.get(key.lower()), _as_list(expected))
        for operator, block in conditions.items()
        for key, expected in block.items()
    )


def _is_met(operator: str, actual: str | Sequence[str] | None, expected: list[str]) -> bool:
    quantifier, _, plain = operator.rpartition(":")
    if_exists = plain.endswith("IfExists")
    plain = plain.removesuffix("IfExists")
    if plain == "Null":
        return (actual is None) == (expected[0] == "true")
    is_negated, matches = _operator(plain)
    if actual is None:
        # IAM: a negated operator is true for a missing key, as is IfExists; every other one is false.
        return if_exists or is_negated or quantifier == "ForAllValues"
    values = _as_list(actual)
    results = [any(matches(value, pattern) for pattern in expected) != is_negated for value in values]
    return all(results) if quantifier == "ForAllValues" else any(results)


def _operator(name: str) -> tuple[bool, Callable[[str, str], bool]]:
    is_negated = "Not" in name
    matches = OPERATORS.get(name.replace("Not", ""))
    if matches is None:
        raise UnknownOperator(name)
    return is_negated, matches


def like(value: str, pattern: str) -> bool:
    """Match `*` and `?` as IAM does, across slashes and with case."""
    return _compiled(pattern).match(value) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]")))


def _as_list(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value]


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": str.__eq__,
    "StringEqualsIgnoreCase": lambda value, pattern: value.lower() == pattern.lower(),
    "StringLike": like,
    "ArnEquals": like,
    "ArnLike": like,
    "Bool": lambda value, pattern: value.lower() == pattern.lower(),
    "NumericEquals": lambda value, limit: float(value) == float(limit),
    "NumericLessThan": lambda value, limit: float(value) < float(limit),
    "NumericLessThanEquals": lambda value, limit: float(value) <= float(limit),
    "NumericGreaterThan": lambda value, limit: float(value) > float(limit),
    "NumericGreaterThanEquals": lambda value, limit: float(value) >= float(limit),
}
