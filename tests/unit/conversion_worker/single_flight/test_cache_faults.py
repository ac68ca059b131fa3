"""The result cache never makes a request fail: results that are gone, copies refused, answers lost."""

from typing import Any

import msgspec
import pytest

from converto_core.conversion.record import Status
from converto_core.conversion.transitions import expire_result, lose_result, retry
from converto_core.errors import ObjectStoreUnavailable, StoreUnavailable
from converto_core.events import conversion_created
from converto_core.formats import Family
from converto_core.ports.objects import ObjectInfo
from tests.unit.conversion_worker.harness import Harness
from tests.unit.conversion_worker.single_flight.requests import body_of, ended
from tests.unit.fake_clock import until


@pytest.mark.parametrize("what", ["object", "record", "status"])
async def test_missing_result_makes_the_next_request_lead(harness: Harness, what: str) -> None:
    await harness.start_slot()
    (first,) = await ended(harness, await harness.request())
    if what == "object":
        await harness.objects.delete([first.outputs[0].key])
    elif what == "record":
        await harness.stores.conversions.delete_unchanged(first)
    else:
        await harness.stores.conversions.apply(expire_result(first, now_ms=harness.clock.now_ms()))
    second, third = [(await ended(harness, await harness.request()))[0] for _ in range(2)]

    assert (second.cached_from, third.cached_from) == (None, second.id)


async def test_refused_copy_runs_the_engine(harness: Harness) -> None:
    """The cache never makes a request fail."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise ObjectStoreUnavailable(detail="AccessDenied")

    await harness.start_slot()
    await ended(harness, await harness.request())
    harness.objects.copy = refuse  # type: ignore[method-assign]
    (second,) = await ended(harness, await harness.request())

    assert (second.status, second.cached_from) == (Status.COMPLETED, None)


async def test_lost_answer_to_the_entry_still_leads(harness: Harness) -> None:
    """An unknown outcome is looked up: a leader must not wait for itself."""
    lead, answers = harness.stores.cache.lead, 0

    async def lead_without_answer(entry: Any) -> bool:
        nonlocal answers
        answers += 1
        led = await lead(entry)
        if answers == 1:
            raise StoreUnavailable(detail="the answer was lost")
        return led

    harness.stores.cache.lead = lead_without_answer  # type: ignore[method-assign]
    await harness.start_slot()
    record = await harness.request()

    async def done() -> bool:
        harness.clock.advance(1)
        return (await harness.get(record)).is_terminal

    await until(done)
    assert (answers, (await harness.get(record)).status) == (2, Status.COMPLETED)


async def test_entry_of_another_owner_is_never_reused(harness: Harness) -> None:
    """The key contains the owner already; this check is a second barrier."""
    await harness.start_slot()
    (first,) = await ended(harness, await harness.request())
    known = await harness.stores.cache.get(first.cache_key or "")
    assert known is not None
    await harness.stores.cache.take_over(known, msgspec.structs.replace(known, owner="berta", token=known.token))
    (second,) = await ended(harness, await harness.request())

    assert second.cached_from is None


@pytest.mark.parametrize("has_etags", [True, False])
async def test_damaged_result_is_marked_and_made_again(harness: Harness, has_etags: bool) -> None:
    """I8: an object of the same size with other bytes never becomes the next answer."""
    harness.objects.has_etags = has_etags
    await harness.start_slot()
    (first,) = await ended(harness, await harness.request())
    right = await body_of(harness, first)
    await harness.objects.put(first.outputs[0].key, right.swapcase(), content_type="application/pdf")

    second, third = [(await ended(harness, await harness.request()))[0] for _ in range(2)]

    assert (second.cached_from, third.cached_from) == (None, second.id)
    assert [await body_of(harness, one) for one in (second, third)] == [right, right]
    marked = await harness.get(first)
    assert (marked.status, marked.result_lost_at is None) == (Status.COMPLETED, False)
    assert (await harness.get(second)).result_lost_at is None


async def test_damaged_copy_of_a_right_result_blames_nobody(harness: Harness) -> None:
    harness.objects.has_etags = False
    await harness.start_slot()
    (first,) = await ended(harness, await harness.request())
    copy = harness.objects.copy

    async def copy_badly(source_key: str, target_key: str, **how: Any) -> ObjectInfo:
        await copy(source_key, target_key, **how)
        await harness.objects.put(target_key, b"?" * how["size_bytes"], content_type="application/pdf")
        found = await harness.objects.head(target_key)
        assert found is not None
        return found

    harness.objects.copy = copy_badly  # type: ignore[method-assign,assignment]
    (second,) = await ended(harness, await harness.request())

    assert second.cached_from is None
    assert (await harness.get(first)).result_lost_at is None


async def test_retried_conversion_gets_its_lost_result_back(harness: Harness) -> None:
    """The entry in the cache still names it, with a token that is over: it leads again, under a newer one."""
    await harness.start_slot()
    (first,) = await ended(harness, await harness.request())
    right = await body_of(harness, first)
    await harness.objects.delete([first.outputs[0].key])
    lost = await harness.stores.conversions.apply(lose_result(first, now_ms=harness.clock.now_ms()))
    assert lost is not None
    now = harness.clock.now_ms()
    again = await harness.stores.conversions.apply(
        retry(lost, source_format="txt", plan=first.plan, family=Family.OFFICE, now_ms=now)
    )
    assert again is not None
    await harness.bus.publish(conversion_created(again))
    made = await harness.wait_for(again, Status.COMPLETED)

    assert (made.token, made.cached_from, made.result_lost_at) == (first.token + 1, None, None)
    assert await body_of(harness, made) == right
