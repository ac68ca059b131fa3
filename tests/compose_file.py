"""docker-compose.yml as Compose reads it: services, and environments with their variables interpolated."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from deploy.docker import write_env
from deploy.local.home import REPOSITORY

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
REFERENCE = re.compile(r"\$\{([A-Z0-9_]+)(?:(:?[?-])([^}]*))?\}")


def example() -> dict[str, str]:
    """Return what `write_env` writes to `.env`."""
    lines = write_env.filled((REPOSITORY / ".env.example").read_text()).splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def environment(name: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a service."""
    return {key: interpolated(value, values) for key, value in SERVICES[name]["environment"].items()}


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """Interpolate `${NAME:-default}` and `${NAME:?message}` like Compose; raises KeyError where Compose would stop."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if values.get(name):
            return values[name]
        if operator == ":-":
            return str(rest)
        raise KeyError(name)

    return REFERENCE.sub(value, text)


def strings(node: Any) -> Iterator[str]:
    """Return all texts of a part of the file, keys included."""
    if isinstance(node, dict):
        node = [*node, *node.values()]
    if isinstance(node, list):
        for entry in node:
            yield from strings(entry)
    elif isinstance(node, str):
        yield node
