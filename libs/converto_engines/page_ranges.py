"""Page ranges such as `1-3,5`: the pattern for option schemas, and a parser."""

from typing import Annotated

from msgspec import Meta

from converto_core.errors import BadOptions

PATTERN = r"^[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?(,[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?)*$"
MAX_LENGTH = 200
PageRanges = Annotated[str, Meta(pattern=PATTERN, max_length=MAX_LENGTH)]
"""The type of such an option."""


def pages_of(choice: str) -> list[int]:
    """Return the page numbers, ascending and without repeats; raises `BadOptions` for a reversed range."""
    pages: set[int] = set()
    for part in choice.split(","):
        first, _, last = part.partition("-")
        if last and int(last) < int(first):
            raise BadOptions(f"The page range {part} is reversed; write {last}-{first}")
        pages.update(range(int(first), int(last or first) + 1))
    return sorted(pages)


def ends_of(choice: str | None) -> list[list[int]]:
    """Return first and last page of each range; a list of all pages would be too long for a command line."""
    if choice is None:
        return []
    pages_of(choice)  # rejects reversed ranges
    ends = [part.partition("-") for part in choice.split(",")]
    return [[int(first), int(last or first)] for first, _, last in ends]
