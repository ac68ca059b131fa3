"""Find the cheapest chain of steps from one format to another, and say which options such a chain understands.

It plans over what workers offer, so it knows no program and imports no converter. Pages are an end: what turns a file
into one picture per page is always the last step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from converto_core.catalogue import Offer
from converto_core.conversion.record import Step
from converto_core.errors import BadOptions, UnsupportedConversion
from converto_core.formats import BY_NAME, Family

_WORDLESS = frozenset({Family.IMAGE, Family.VIDEO, Family.AUDIO, Family.MODEL})
"""Sources of these families hold no text and no drawing that a later step could find again on a page."""
LOSS_COST_S = 100.0
"""What losing everything is worth in seconds: a lossy short cut must save that much to be taken."""
_SHOWN_TARGETS = 15


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of formats that can be served, with the steps that serve it; `cost` orders routes of one source."""

    source: str
    target: str
    steps: tuple[Step, ...]
    cost: float


class InvalidOptions(BadOptions):
    """Raised when options do not fit a plan; `errors` holds pairs of JSON pointer (into the options) and message."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        """Take at least one pair; the public text joins the messages."""
        super().__init__(". ".join(message for _, message in errors))
        self.errors = tuple(errors)


def plan(source: str, target: str, offers: Sequence[Offer], *, max_steps: int = 3) -> tuple[Step, ...]:
    """The cheapest chain between two format names; raises `UnsupportedConversion`, which names what is possible."""
    reachable = _reachable(source, offers, max_steps)
    if target in reachable:
        return reachable[target].steps
    raise UnsupportedConversion(_refusal(source, target, reachable, offers))


def targets_of(source: str, offers: Sequence[Offer], *, max_steps: int = 3) -> tuple[str, ...]:
    """Every target of a source, nearest first."""
    return tuple(route.target for route in _nearest_first(_reachable(source, offers, max_steps)))


def routes(offers: Sequence[Offer], *, max_steps: int = 3) -> tuple[Route, ...]:
    """Everything these offers can do, by source name, nearest target first."""
    sources = sorted({source for offer in offers for source in offer.sources})
    return tuple(route for source in sources for route in _nearest_first(_reachable(source, offers, max_steps)))


def family_of(steps: Sequence[Step], offers: Sequence[Offer]) -> Family:
    """The family whose queue a plan goes to: that of its first step."""
    return _offer_of(steps[0], offers).family


def losses_of(steps: Sequence[Step], offers: Sequence[Offer]) -> tuple[str, ...]:
    """What a plan does not keep, in words, each once, in the order of its steps."""
    found = [
        loss.text
        for step in steps
        for loss in _offer_of(step, offers).losses
        if loss.concerns(step.source_format, step.target_format)
    ]
    return tuple(dict.fromkeys(found))


def typical_s(steps: Sequence[Step], offers: Sequence[Offer]) -> float:
    """Seconds that a plan takes by what its converters tell of themselves."""
    return sum(_offer_of(step, offers).seconds for step in steps)


def joins(steps: Sequence[Step], offers: Sequence[Offer]) -> bool:
    """Whether a plan can append further files to its source: its first step has to do it."""
    return _offer_of(steps[0], offers).joins


def merged_schema(steps: Sequence[Step], offers: Sequence[Offer]) -> dict[str, Any]:
    """One JSON Schema of all options of a plan; where two steps know the same name, the later step's meaning holds."""
    properties: dict[str, Any] = {}
    for step in steps:
        properties |= _properties(step, offers)
    return {"type": "object", "properties": properties, "additionalProperties": False}


def check_options(options: Mapping[str, Any], steps: Sequence[Step], offers: Sequence[Offer]) -> None:
    """Raise `InvalidOptions` (a `BadOptions`) when no step knows an option, or its value does not fit."""
    schema = merged_schema(steps, offers)
    known = sorted(schema["properties"])
    errors = [(_pointer([name]), _unknown(name, known)) for name in options if name not in schema["properties"]]
    schema.pop("additionalProperties")
    found = [_meant(error) for error in Draft202012Validator(schema).iter_errors(dict(options))]
    errors += [(_pointer(error.absolute_path), _said(error.absolute_path, error.message)) for error in found]
    if errors:
        raise InvalidOptions(sorted(errors))


def options_of_step(
    options: Mapping[str, Any], position: int, steps: Sequence[Step], offers: Sequence[Offer]
) -> dict[str, Any]:
    """The options meant for one step of a plan, counted from 0.

    A name that a later step knows too belongs to the later one alone: pages "5-7" of a deck are rendered from the whole
    PDF, not from a PDF that was already cut down to three pages.
    """
    claimed = {name for step in steps[position + 1 :] for name in _properties(step, offers)}
    own = _properties(steps[position], offers)
    return {name: value for name, value in options.items() if name in own and name not in claimed}


def _reachable(source: str, offers: Sequence[Offer], max_steps: int) -> dict[str, Route]:
    """The cheapest route to each target, found by lengthening all chains one step at a time."""
    best: dict[str, Route] = {}
    open_ended: dict[str, Route] = {}
    ends = [Route(source=source, target=source, steps=(), cost=0.0)]
    for _ in range(max_steps):
        longer = [
            _extended(route, offer, target) for route in ends for offer in offers for target in _next(route, offer)
        ]
        ends = []
        for route in sorted(longer, key=_order):
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
    """Where an offer leads on from a route's end. Back to the source is a route only as a single step of its own."""
    if route.target not in offer.sources:
        return []
    passed = {step.source_format for step in route.steps} | {step.target_format for step in route.steps}
    return [target for target in offer.targets if target not in passed and not _would_find_nothing(route, target)]


def _would_find_nothing(route: Route, target: str) -> bool:
    """A photo put on a page of a PDF has no words to take from it again, and no shapes."""
    source, found = BY_NAME.get(route.source), BY_NAME.get(target)
    if not route.steps or source is None or found is None or source.family not in _WORDLESS:
        return False
    return found.family is Family.OFFICE or found.name == "svg"


def _extended(route: Route, offer: Offer, target: str) -> Route:
    step = Step(converter=offer.converter, source_format=route.target, target_format=target)
    cost = route.cost + offer.loss * LOSS_COST_S + offer.seconds
    return Route(source=route.source, target=target, steps=(*route.steps, step), cost=cost)


def _order(route: Route) -> tuple[float, int, tuple[str, ...]]:
    """Cheapest, then shortest, then by name, so that every process plans the same."""
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
    return f"{source} cannot be converted to {target} here. Possible: {', '.join(names[:_SHOWN_TARGETS])}{more}"


def _offer_of(step: Step, offers: Sequence[Offer]) -> Offer:
    for offer in offers:
        is_same = offer.converter == step.converter
        if is_same and step.source_format in offer.sources and step.target_format in offer.targets:
            return offer
    raise UnsupportedConversion(f"No worker offers {step.source_format} to {step.target_format} any more")


def _properties(step: Step, offers: Sequence[Offer]) -> dict[str, Any]:
    properties: dict[str, Any] = _offer_of(step, offers).options_schema.get("properties", {})
    return properties


def _meant(error: ValidationError) -> ValidationError:
    """An option that may be left out is `anyOf` with null: tell what is wrong with the value that was given."""
    branches = [branch for branch in error.context or () if branch.schema != {"type": "null"}]
    return branches[0] if branches else error


def _unknown(name: str, known: Sequence[str]) -> str:
    possible = f"known: {', '.join(known)}" if known else "it has none"
    return f'This conversion has no option "{name}" ({possible})'


def _said(path: Sequence[str | int], message: str) -> str:
    where = ".".join(str(part) for part in path)
    return f"{where}: {message}" if where else message


def _pointer(path: Sequence[str | int]) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
