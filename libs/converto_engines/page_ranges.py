"""Page choices such as `1-3,5`: their pattern for option schemas, and which pages they mean. It knows no document."""

from converto_core.errors import BadOptions

PATTERN = r"^[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?(,[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?)*$"
MAX_LENGTH = 200


def pages_of(choice: str) -> list[int]:
    """The pages, counted from 1, ascending and each once; raises `BadOptions` when a range runs backwards."""
    pages: set[int] = set()
    for part in choice.split(","):
        first, _, last = part.partition("-")
        if last and int(last) < int(first):
            raise BadOptions(f"The pages {part} run backwards; write {last}-{first}")
        pages.update(range(int(first), int(last or first) + 1))
    return sorted(pages)


def ends_of(choice: str | None) -> list[list[int]]:
    """First and last of each range, none for no choice: a list of all pages would be too long for a command line."""
    if choice is None:
        return []
    pages_of(choice)  # refuses ranges that run backwards
    ends = [part.partition("-") for part in choice.split(",")]
    return [[int(first), int(last or first)] for first, _, last in ends]
