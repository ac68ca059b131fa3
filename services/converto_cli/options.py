"""Converts `--option quality=82` to the type in the route's JSON Schema."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from converto_cli.session import UsageError

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_NULL = frozenset({"null", "none", ""})


def split_options(words: Sequence[str]) -> dict[str, str]:
    """Split `name=value` arguments; raises `UsageError`."""
    options: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--option {word!r} must have the form name=value, for example quality=82")
        if name.strip() == "password":
            raise UsageError("Others can read the command line: give the password with --password or --password-file")
        options[name.strip()] = value.strip()
    return options


def typed_options(options: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Convert values to the types in the schema; raises `UsageError` for an unknown name or a wrong type."""
    known = schema.get("properties", {})
    for name in options:
        if name not in known:
            offered = ", ".join(sorted(known)) or "none"
            raise UsageError(f"Unknown option {name!r} for this conversion; available: {offered}")
    return {name: _typed(name, value, known[name]) for name, value in options.items()}


def guessed_options(options: Mapping[str, str]) -> dict[str, Any]:
    """Convert values by their looks, for a source whose format only the server can detect."""
    return {name: _guessed(value) for name, value in options.items()}


def expectation(schema: Mapping[str, Any]) -> str:
    """Describe the values that a property accepts: `1 to 100`, `a|b`, `a number or none`."""
    choices = [_one_expectation(choice) for choice in _choices(schema)]
    return " or ".join(dict.fromkeys(choices))


def _typed(name: str, value: str, schema: Mapping[str, Any]) -> Any:
    for choice in _choices(schema):
        try:
            return _as_type(value, choice)
        except ValueError:
            continue
    raise UsageError(f"--option {name}={value}: expected {expectation(schema)}")


def _choices(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The alternatives of a schema, one type each; text comes last because it accepts everything."""
    listed = schema.get("anyOf") or schema.get("oneOf")
    if listed:
        found = [choice for entry in listed for choice in _choices(entry)]
    elif isinstance(schema.get("type"), list):
        found = [{**schema, "type": kind} for kind in schema["type"]]
    else:
        found = [schema]
    return sorted(found, key=lambda choice: choice.get("type") == "string" and "enum" not in choice)


def _as_type(value: str, schema: Mapping[str, Any]) -> Any:
    """The value in the schema's type and limits; raises ValueError."""
    if "enum" in schema or "const" in schema:
        return _member(value, schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "integer":
            return _within(int(value), schema)
        case "number":
            return _within(int(value) if re.fullmatch(r"[+-]?\d+", value) else float(value), schema)
        case "boolean":
            return _boolean(value)
        case "null":
            return _null(value)
        case _:
            return value


def _within(number: float, schema: Mapping[str, Any]) -> float:
    if not schema.get("minimum", -math.inf) <= number <= schema.get("maximum", math.inf):
        raise ValueError(number)
    return number


def _member(value: str, members: Sequence[Any]) -> Any:
    for member in members:
        if value.casefold() == str(member).casefold():
            return member
    raise ValueError(value)


def _boolean(value: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError(value)


def _null(value: str) -> None:
    if value.lower() not in _NULL:
        raise ValueError(value)


def _guessed(value: str) -> Any:
    for schema in ({"type": "integer"}, {"type": "number"}, {"enum": [True, False]}):
        try:
            return _as_type(value, schema)
        except ValueError:
            continue
    return value


def _one_expectation(schema: Mapping[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return "|".join(str(member) for member in schema.get("enum", [schema.get("const")]))
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{low} to {high}"
    words = {"integer": "a whole number", "number": "a number", "boolean": "yes|no", "null": "none", "string": "text"}
    return words.get(schema.get("type", ""), "a value")
