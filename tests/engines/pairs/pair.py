"""A source sample, a pair of sample and target, and what its conversion gave."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """A small source with known content.

    `kind` chooses the checks, and `make` writes the file. The checks compare with the words of each page in `pages`
    and with `facts`, whose type is the kind's own.
    """

    name: str
    format: str
    kind: str
    make: Callable[[Path], object]
    pages: tuple[tuple[str, ...], ...] = ()
    facts: Any = None


class Pair(NamedTuple):
    """One conversion to try: a sample to one of the targets offered for its format."""

    sample: Sample
    target: str

    def __str__(self) -> str:
        """The id of the test, such as `gif-moving-webp`."""
        return f"{self.sample.name}-{self.target}"


class Result(NamedTuple):
    """What a plan gave: its files in order, and all that users are told about losses, in lower case.

    `source` is the sample's file; `beside` is the result of the same sample in the format that the check needs.
    """

    pair: Pair
    source: Path
    paths: tuple[Path, ...]
    plan: str
    told: str
    beside: Path | None = None

    @property
    def path(self) -> Path:
        """The only file; `Fault` when there are several."""
        if len(self.paths) != 1:
            raise Fault(f"{len(self.paths)} files instead of one")
        return self.paths[0]


class Fault(Exception):
    """A result is so wrong that the check cannot look further; the message says how."""


class Expectation(NamedTuple):
    """How a result is checked: `check` yields what is wrong, `told` are words that its losses or notes must hold.

    `needs` is another target of the same sample that the check compares with. `refusal` is the error code where a
    clear refusal is the right answer; the check is not run then.
    """

    check: Callable[[Result], Iterable[str]]
    told: tuple[str, ...] = ()
    needs: str = ""
    refusal: str = ""


def nothing(_result: Result) -> Iterable[str]:
    """The check of a pair that has to be refused."""
    return ["it was not refused"]


def unlike(what: str, found: object, right: object) -> Iterable[str]:
    """One sentence if two values differ."""
    if found != right:
        yield f"{what}: {found!r} instead of {right!r}"


def apart(what: str, found: float, right: float, within: float) -> Iterable[str]:
    """One sentence if two numbers differ by more than `within`."""
    if abs(found - right) > within:
        yield f"{what}: {found:.4g} instead of {right:.4g} ± {within:.4g}"


def lacking(what: str, text: str, words: Iterable[str]) -> Iterable[str]:
    """One sentence for each word that is not in a text; spaces and line ends count as one space."""
    flat = " ".join(text.split())
    for word in words:
        if word not in flat:
            yield f"{what}: {word!r} is missing from {flat[:200]!r}"
