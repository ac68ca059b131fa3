"""Contents: outputs keep their hashes, downloads have the hashes that were told, and the right source was converted."""

from collections import defaultdict
from collections.abc import Iterator

from converto_core.conversion.record import Status
from converto_core.object_keys import OutputKey, SourceKey, parse_key
from tests.chaos.history.call import Call, Outcome
from tests.chaos.history.history import History, Read
from tests.chaos.history.violation import Kind, Violation


def check_outputs(history: History) -> Iterator[Violation]:
    """Yield completed conversions that were told with several sets of outputs; after a retry, within one run."""
    for conversion_id, reads in history.reads.items():
        is_retried = bool(history.retries(conversion_id))
        first: dict[int | None, Read] = {}
        for read in reads:
            if read.told.status is not Status.COMPLETED:
                continue
            known = first.setdefault(read.told.started_at if is_retried else None, read)
            if known.told.outputs != read.told.outputs:
                text = f"told {known.told.outputs}, then {read.told.outputs}"
                yield Violation(Kind.OUTPUTS_CHANGED, conversion_id, text, (known.call, read.call))
                break


def check_downloads(history: History) -> Iterator[Violation]:
    """Yield downloads of other bytes than told; what a fault of the run has damaged before their end is left out."""
    told: dict[str, tuple[str, Call]] = {}
    for call in history.calls:
        for one in call.ended.objects:
            known, before = told.setdefault(one.key, (one.sha256, call))
            if known != one.sha256:
                text = f"told {known}, then {one.sha256}"
                yield Violation(Kind.OUTPUTS_CHANGED, one.key, text, (before, call))
    by_conversion = _hashes_told(history)
    for call in history.calls:
        key = call.asked.object_key
        if key is None or not _is_download(call) or history.damaged.get(key, call.end_s) < call.end_s:
            continue
        allowed = {told[key][0]} if key in told else by_conversion.get(_conversion_of(key), set())
        if allowed and call.ended.sha256 not in allowed:
            text = f"got {call.ended.sha256}, told {', '.join(sorted(allowed))}"
            yield Violation(Kind.WRONG_BYTES, key, text, (*((told[key][1],) if key in told else ()), call))


def check_sources(history: History) -> Iterator[Violation]:
    """Yield conversions that tell another source hash than that of any upload of their file."""
    uploads: dict[str, list[Call]] = defaultdict(list)
    for call in history.calls:
        parts = parse_key(call.asked.object_key) if call.asked.object_key and call.asked.method == "PUT" else None
        if isinstance(parts, SourceKey) and call.ended.outcome is not Outcome.NOT_SENT:
            uploads[parts.file_id].append(call)
    for conversion_id, reads in history.reads.items():
        for read in reads:
            puts = uploads.get(read.told.file_id or "", [])
            hashes = {put.asked.sha256 for put in puts}
            if read.told.source_sha256 and hashes and not hashes & {read.told.source_sha256, None}:
                text = f"told the source {read.told.source_sha256}, uploaded {hashes}"
                yield Violation(Kind.WRONG_SOURCE, conversion_id, text, (*puts, read.call))
                break


def _is_download(call: Call) -> bool:
    is_answered = call.ended.outcome is Outcome.ANSWERED and call.ended.status == 200
    return is_answered and call.asked.method == "GET"


def _hashes_told(history: History) -> dict[str, set[str]]:
    return {
        conversion_id: {sha256 for read in reads for sha256 in read.told.outputs}
        for conversion_id, reads in history.reads.items()
    }


def _conversion_of(key: str) -> str:
    parts = parse_key(key)
    return parts.conversion_id if isinstance(parts, OutputKey) else ""
