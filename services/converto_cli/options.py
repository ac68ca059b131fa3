"""`--option quality=82` as the value the route's JSON Schema asks for. It knows no network."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from converto_cli.session import Usage

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_NOTHING = frozenset({"null", "none", ""})


def split_options(words: Sequence[str]) -> dict[str, str]:
    """`name=value` words as a mapping; raises `Usage`."""
    options: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise Usage(f"--option {word!r} has to look like name=value, for example quality=82")
        options[name.strip()] = value.strip()
    return options


def typed_options(options: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Values in the types of the schema's properties; raises `Usage` for an unknown name or a value of another type."""
    known = schema.get("properties", {})
    for name in options:
        if name not in known:
            offered = ", ".join(sorted(known)) or "none"
            raise Usage(f"There is no option {name!r} for this conversion; there is: {offered}")
    return {name: _typed(name, value, known[name]) for name, value in options.items()}


def guessed_options(options: Mapping[str, str]) -> dict[str, Any]:
    """Values as they look, for a source whose format only the server can tell."""
    return {name: _guessed(value) for name, value in options.items()}


def expectation(schema: Mapping[str, Any]) -> str:
    """What a property takes, in a few words: `1 to 100`, `a|b`, `number or null`."""
    choices = [_one_expectation(choice) for choice in _choices(schema)]
    return " or ".join(dict.fromkeys(choices))


def _typed(name: str, value: str, schema: Mapping[str, Any]) -> Any:
    for choice in _choices(schema):
        try:
            return _as_type(value, choice)
        except ValueError:
            continue
    raise Usage(f"--option {name}={value}: expected {expectation(schema)}")


def _choices(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The alternatives of a schema, one type each; text comes last because it takes everything."""
    listed = schema.get("anyOf") or schema.get("oneOf")
    if listed:
        found = [choice for entry in listed for choice in _choices(entry)]
    elif isinstance(schema.get("type"), list):
        found = [{**schema, "type": kind} for kind in schema["type"]]
    else:
        found = [schema]
    return sorted(found, key=lambda choice: choice.get("type") == "string" and "enum" not in choice)


def _as_type(value: str, schema: Mapping[str, Any]) -> Any:
    """The value as this one type and within its limits; raises ValueError."""
    if "enum" in schema or "const" in schema:
        return _member(value, schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "integer":
            return _within(int(value), schema)
        case "number":
            return _within(int(value) if re.fullmatch(r"[+-]?\d+", value) else float(value), schema)
        case "boolean":
            return _truth(value)
        case "null":
            return _nothing(value)
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


def _truth(value: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError(value)


def _nothing(value: str) -> None:
    if value.lower() not in _NOTHING:
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
