"""Random interleavings of workers, a reaper and a user, on the memory store."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from converto_core.conversion import processing, transitions
from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion, Status
from converto_core.formats import Family
from converto_infra.memory.stores import MemoryStores
from tests.contract.samples import NOW_MS, OUTPUT, PLAN, a_pending_conversion
from tests.unit.core.test_transitions import ALLOWED

Step = tuple[str, int]
ACTS = [
    "claim", "beat", "complete", "fail", "retry_later", "hand_back", "worker_lost", "cancel", "retry",
    "wait_for_leader", "end_wait", "lose_result",
]  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.sampled_from(ACTS),
        st.integers(0, 2),
    ),
    min_size=10,
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(steps=STEPS)
async def test_interleaved_actors_leave_one_holder_and_one_result(
    steps: list[Step],
) -> None:
    """Three workers, a reaper and a user act in any order on views that may be outdated."""
    store = MemoryStores().conversions
    start = a_pending_conversion()
    await store.insert(start)
    views = [start, start, start]
    claims, completions = [], 0
    for name, actor in steps:
        before = await store.get(start.id)
        assert before is not None
        done = await store.apply(change_for(name, views[actor], actor, before))
        if done is None:
            continue
        assert (before.status, done.status) in ALLOWED
        assert done.token >= before.token
        if name == "claim":
            claims.append(done.token)
            views[actor] = done
        completions = 0 if name == "retry" else completions + (name == "complete")
        if name in {"complete", "fail", "retry_later", "hand_back", "wait_for_leader", "beat"}:
            assert views[actor].token == before.token, "a fenced worker changed the record"

    assert claims == sorted(set(claims)), "two workers held the same token"
    assert completions <= 1


def change_for(name: str, view: Conversion, actor: int, current: Conversion) -> Change:
    """The change an actor makes: workers from their old view, all others from the current record."""
    by_view: dict[str, Change] = {
        "beat": processing.beat(view.id, token=view.token, now_ms=NOW_MS, percent=50),
        "complete": processing.complete(view, outputs=(OUTPUT,), engine_versions={}, now_ms=NOW_MS),
        "fail": processing.fail(view, code="x", message="x", now_ms=NOW_MS),
        "retry_later": processing.retry_later(view, code="x", message="x", wait_ms=5, now_ms=NOW_MS),
        "hand_back": processing.hand_back(view, now_ms=NOW_MS),
        "wait_for_leader": processing.wait_for_leader(view, cache_key="k", wait_ms=9, now_ms=NOW_MS),
        "end_wait": transitions.end_wait(current, wait_ms=9, now_ms=NOW_MS),
        "claim": processing.claim(current.id, token=current.token, worker=f"w{actor}", now_ms=NOW_MS),
        "worker_lost": processing.worker_lost(current, now_ms=NOW_MS),
        "cancel": transitions.cancel_waiting(current.id, owner="ann", now_ms=NOW_MS),
        "lose_result": transitions.lose_result(current, now_ms=NOW_MS),
    }
    return by_view[name] if name != "retry" else retry_of(current)


def retry_of(current: Conversion) -> Change:
    """The user's retry, from a record read just before it lost its result where it has not."""
    if current.status is Status.COMPLETED and current.result_lost_at is None:
        current = msgspec.structs.replace(current, result_lost_at=NOW_MS)
    return transitions.retry(current, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS)
