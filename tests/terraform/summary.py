"""Collects what the suite did with Terraform and prints it at the end, also across processes of pytest-xdist."""

from collections.abc import Iterable
from typing import Any

KINDS = ("formatted", "tested", "planned", "applied", "read back", "executed", "requested", "checked", "destroyed")
"""What can be done, in the order of the summary; tests record these with pytest's `record_property`."""


def lines(properties: Iterable[tuple[str, Any]]) -> list[str]:
    """One line for each thing done, grouped by kind."""
    done = [(kind, str(text)) for kind, text in properties if kind in KINDS]
    return [f"{kind:<10} {text}" for known in KINDS for kind, text in sorted(done) if kind == known]
