"""Idempotency: one conversion for one key, and never more conversions than requests for them."""

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.history.call import Call, Outcome
from tests.chaos.history.history import History
from tests.chaos.history.violation import Kind, Violation

CREATING = (("POST", "/conversions"), ("POST", "/files"))


def check_keys(history: History) -> Iterator[Violation]:
    """Yield keys whose answers name several conversions or files; answers that are replays count too."""
    by_key: dict[tuple[str, str, str, str], list[Call]] = defaultdict(list)
    for call in history.calls:
        asked = call.asked
        if asked.key is not None and _is_creation(call):
            by_key[asked.caller, asked.key, asked.path, asked.sha256 or ""].append(call)
    for (_, key, *_), calls in by_key.items():
        answered = [call for call in calls if _made(call)]
        if len({_made(call) for call in answered}) > 1:
            other = next(call for call in answered if _made(call) != _made(answered[0]))
            text = f"the same request was answered with {_made(answered[0])} and with {_made(other)}"
            yield Violation(Kind.TWO_IDS, f"key {key}", text, (answered[0], other))


def check_numbers(history: History) -> Iterator[Violation]:
    """Yield labels (`client_id`) with more conversions than requests that may have created one.

    All requests with one key and body count once. A label that no recorded request has is not judged.
    """
    requests: dict[tuple[str, str], set[object]] = defaultdict(set)
    for call in history.calls:
        label = call.asked.wanted.get("client_id")
        if label is not None and call.is_for("POST", "/conversions") and _may_create(call):
            one = (call.asked.key, call.asked.sha256) if call.asked.key else call.number
            requests[call.asked.caller, label].add(one)
    found: dict[tuple[str, str], dict[str, Call]] = defaultdict(dict)
    for conversion_id, reads in history.reads.items():
        for read in reads:
            if read.told.client_id is not None:
                found[read.call.asked.caller, read.told.client_id].setdefault(conversion_id, read.call)
    for (caller, label), conversions in found.items():
        limit = len(requests.get((caller, label), ()))
        if 0 < limit < len(conversions):
            text = f"{limit} requests, but {len(conversions)} conversions: {', '.join(sorted(conversions))}"
            yield Violation(Kind.TOO_MANY, f"client_id {label}", text, tuple(conversions.values()))


def _is_creation(call: Call) -> bool:
    return (call.asked.method, call.asked.path) in CREATING and call.ended.outcome is Outcome.ANSWERED


def _may_create(call: Call) -> bool:
    return call.may_have_done or call.ended.is_replayed


def _made(call: Call) -> str | None:
    """Return the id that the answer names, or None when it refuses."""
    if not 200 <= call.ended.status < 300:
        return None
    return call.ended.told[0].id if call.ended.told else call.ended.file_id
