"""Finds the best chain of steps from one format to another, and validates the options of such a chain.

A converter that makes the target from the source directly always wins: it was written for that pair, and a chain
through another format loses what that format cannot hold. Without one, the cheapest chain wins.

It plans over the offers of the workers, so it must not import a converter. A paged step, which turns a file into one
picture per page, is always the last step.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from converto_core.catalogue import Offer
from converto_core.conversion.record import Step
from converto_core.errors import BadOptions, UnsupportedConversion
from converto_core.formats import BY_NAME, Family

_WITHOUT_TEXT = frozenset({Family.IMAGE, Family.VIDEO, Family.AUDIO, Family.MODEL})
"""Sources of these families hold no text and no vector drawing that a later step could extract from a page."""
LOSS_COST_S = 100.0
"""The cost in seconds of losing everything: a lossy shortcut must save this much time to be chosen."""
_SHOWN_TARGETS = 15
PASSWORD: Final = "password"  # noqa: S105 -- the name of the option
"""The option that opens an encrypted source. It belongs to the first step and never reaches a converter's options."""
PASSWORD_CHARACTERS: Final = 255
_PASSWORD_SCHEMA: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": PASSWORD_CHARACTERS,
    "writeOnly": True,
    "description": "Opens an encrypted source. It is sealed until the conversion ends, then deleted, and never shown",
}


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """The steps from one format to another; `cost` orders the routes of one source."""

    source: str
    target: str
    steps: tuple[Step, ...]
    cost: float

    @property
    def is_direct(self) -> bool:
        """Whether one converter makes the target from the source."""
        return len(self.steps) == 1


class InvalidOptions(BadOptions):
    """Options do not fit a plan; `errors` holds pairs of JSON pointer (into the options) and message."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        """`errors` needs at least one pair; the public text joins the messages."""
        super().__init__(". ".join(message for _, message in errors))
        self.errors = tuple(errors)


def plan(source: str, target: str, offers: Sequence[Offer], *, max_steps: int = 3) -> tuple[Step, ...]:
    """Return the best chain between two formats; raises `UnsupportedConversion`, which lists possible targets."""
    reachable = _reachable(source, offers, max_steps)
    if target in reachable:
        return reachable[target].steps
    raise UnsupportedConversion(_refusal(source, target, reachable, offers))


def targets_of(source: str, offers: Sequence[Offer], *, max_steps: int = 3) -> tuple[str, ...]:
    """Return every target of a source, fewest steps first."""
    return tuple(route.target for route in _nearest_first(_reachable(source, offers, max_steps)))


def routes(offers: Sequence[Offer], *, max_steps: int = 3) -> tuple[Route, ...]:
    """Return all routes of these offers, by source name, fewest steps first."""
    sources = sorted({source for offer in offers for source in offer.sources})
    return tuple(route for source in sources for route in _nearest_first(_reachable(source, offers, max_steps)))


def family_of(steps: Sequence[Step], offers: Sequence[Offer]) -> Family:
    """Return the family whose queue a plan goes to: that of its first step."""
    return _offer_of(steps[0], offers).family


def losses_of(steps: Sequence[Step], offers: Sequence[Offer]) -> tuple[str, ...]:
    """Return descriptions of what a plan loses, without repeats, in the order of its steps."""
    found = [
        loss.text
        for step in steps
        for loss in _offer_of(step, offers).losses
        if loss.concerns(step.source_format, step.target_format)
    ]
    return tuple(dict.fromkeys(found))


def typical_s(steps: Sequence[Step], offers: Sequence[Offer]) -> float:
    """Return the typical duration of a plan in seconds, as declared by its converters."""
    return sum(_offer_of(step, offers).seconds for step in steps)


def joins(steps: Sequence[Step], offers: Sequence[Offer]) -> bool:
    """Return whether a plan can append further files to its source, which its first step must support."""
    return _offer_of(steps[0], offers).joins


def takes_password(steps: Sequence[Step], offers: Sequence[Offer]) -> bool:
    """Return whether a plan can open an encrypted source, which its first step must support."""
    return steps[0].source_format in _offer_of(steps[0], offers).password_sources


def merged_schema(steps: Sequence[Step], offers: Sequence[Offer]) -> dict[str, Any]:
    """Return one JSON Schema of all options of a plan; a later step overrides an option of the same name."""
    properties: dict[str, Any] = {}
    for step in steps:
        properties |= _properties(step, offers)
    if takes_password(steps, offers):
        properties[PASSWORD] = dict(_PASSWORD_SCHEMA)
    return {"type": "object", "properties": properties, "additionalProperties": False}


def check_options(
    options: Mapping[str, Any], steps: Sequence[Step], offers: Sequence[Offer], *, has_password: bool = False
) -> None:
    """Raise `InvalidOptions` (a `BadOptions`) when no step declares an option, or its value is not valid.

    `has_password` says that there is one; `options` has none, because errors show values.
    """
    schema = merged_schema(steps, offers)
    known = sorted(schema["properties"])
    names = [*options, PASSWORD] if has_password else options
    errors = [(_pointer([name]), _unknown(name, known)) for name in names if name not in schema["properties"]]
    schema.pop("additionalProperties")
    found = [_relevant(error) for error in Draft202012Validator(schema).iter_errors(dict(options))]
    errors += [(_pointer(error.absolute_path), _with_path(error.absolute_path, error.message)) for error in found]
    if errors:
        raise InvalidOptions(sorted(errors))


def options_of_step(
    options: Mapping[str, Any], position: int, steps: Sequence[Step], offers: Sequence[Offer]
) -> dict[str, Any]:
    """Return the options of one step of a plan, counted from 0.

    An option that a later step declares too goes to the later step only: pages "5-7" of a deck are rendered from the
    whole PDF, not from a PDF that was already reduced to three pages.
    """
    claimed = {name for step in steps[position + 1 :] for name in _properties(step, offers)}
    own = _properties(steps[position], offers)
    return {name: value for name, value in options.items() if name in own and name not in claimed}


def _reachable(source: str, offers: Sequence[Offer], max_steps: int) -> dict[str, Route]:
    """Return the best route to each target, found by extending all chains one step at a time."""
    best: dict[str, Route] = {}
    open_ended: dict[str, Route] = {}
    ends = [Route(source=source, target=source, steps=(), cost=0.0)]
    for _ in range(max_steps):
        longer = [
            _extended(route, offer, target) for route in ends for offer in offers for target in _next(route, offer)
        ]
        ends = []
        for route in sorted(longer, key=_order):
            known = best.get(route.target)
            if known is None or not known.is_direct or route.is_direct:
                _keep_cheaper(best, route)
            if not _offer_of(route.steps[-1], offers).is_paged and _keep_cheaper(open_ended, route):
                ends.append(route)
    return best


def _keep_cheaper(best: dict[str, Route], route: Route) -> bool:
    known = best.get(route.target)
    if known is not None and _order(known) <= _order(route):
        return False
    best[route.target] = route
    return True


def _next(route: Route, offer: Offer) -> list[str]:
    """Return the targets that an offer adds to a route; a route back to its source is allowed only as a single step."""
    if route.target not in offer.sources:
        return []
    passed = {step.source_format for step in route.steps} | {step.target_format for step in route.steps}
    return [target for target in offer.targets if target not in passed and not _would_be_empty(route, target)]


def _would_be_empty(route: Route, target: str) -> bool:
    """Return whether the result would be empty: a photo placed on a PDF page has no text and no shapes to extract."""
    source, result = BY_NAME.get(route.source), BY_NAME.get(target)
    if not route.steps or source is None or result is None or source.family not in _WITHOUT_TEXT:
        return False
    return result.family is Family.OFFICE or result.name == "svg"


def _extended(route: Route, offer: Offer, target: str) -> Route:
    step = Step(converter=offer.converter, source_format=route.target, target_format=target)
    cost = route.cost + offer.loss * LOSS_COST_S + offer.seconds
    return Route(source=route.source, target=target, steps=(*route.steps, step), cost=cost)


def _order(route: Route) -> tuple[float, int, tuple[str, ...]]:
    """Cheapest, then shortest, then by name, so that every process makes the same plan."""
    return route.cost, len(route.steps), tuple(f"{step.converter}:{step.target_format}" for step in route.steps)


def _nearest_first(reachable: Mapping[str, Route]) -> list[Route]:
    return sorted(reachable.values(), key=lambda route: (len(route.steps), route.cost, route.target))


def _refusal(source: str, target: str, reachable: Mapping[str, Route], offers: Sequence[Offer]) -> str:
    names = [route.target for route in _nearest_first(reachable)]
    if not names:
        sources = sorted({name for offer in offers for name in offer.sources})
        known = f" It reads {', '.join(sources)}" if sources else " No worker offers any conversion yet"
        return f"converto cannot read {source} files here.{known}"
    more = f" and {len(names) - _SHOWN_TARGETS} more" if len(names) > _SHOWN_TARGETS else ""
    shown = ", ".join(names[:_SHOWN_TARGETS])
    return f"{source} cannot be converted to {target} here. Possible: {shown}{more}"


def _offer_of(step: Step, offers: Sequence[Offer]) -> Offer:
    for offer in offers:
        is_same = offer.converter == step.converter
        if is_same and step.source_format in offer.sources and step.target_format in offer.targets:
            return offer
    raise UnsupportedConversion(f"No worker converts {step.source_format} to {step.target_format} any more")


def _properties(step: Step, offers: Sequence[Offer]) -> dict[str, Any]:
    properties: dict[str, Any] = _offer_of(step, offers).options_schema.get("properties", {})
    return properties


def _relevant(error: ValidationError) -> ValidationError:
    """An optional option is `anyOf` with null; return the error about the value that was given."""
    branches = [branch for branch in error.context or () if branch.schema != {"type": "null"}]
    return branches[0] if branches else error


def _unknown(name: str, known: Sequence[str]) -> str:
    possible = f"options: {', '.join(known)}" if known else "it has none"
    return f'This conversion has no option "{name}" ({possible})'


def _with_path(path: Sequence[str | int], message: str) -> str:
    where = ".".join(str(part) for part in path)
    return f"{where}: {message}" if where else message


def _pointer(path: Sequence[str | int]) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
