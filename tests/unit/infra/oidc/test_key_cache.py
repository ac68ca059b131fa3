"""Keys of the issuer: fetched ahead, kept while it is away, fetched again for a new key, never in a flood (M17)."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from converto_core.errors import ConvertoError, InvalidToken, IssuerUnavailable
from converto_infra.metrics import ISSUER_KEYS_AT
from converto_infra.oidc.key_cache import KEEP_S, MAX_WAITING, REFETCH_AFTER_S, REFRESH_S, WAIT_S
from tests.issuer import Key
from tests.unit.fake_clock import advance_until, until
from tests.unit.infra.oidc.conftest import Cache


async def failure(cache: Cache, kid: str) -> ConvertoError:
    with pytest.raises(ConvertoError) as caught:
        await cache.keys.key(kid, "RS256")
    return caught.value


async def test_known_key_causes_no_fetch(cache: Cache) -> None:
    async with cache.running():
        await cache.rested()
        for _ in range(100):
            assert await cache.is_known("k1")

        assert cache.issuer.fetches == 1


async def test_keys_are_refreshed_before_they_get_old(cache: Cache) -> None:
    async with cache.running():
        await cache.rested()
        cache.issuer.keys = [Key("k2", number=1)]

        await advance_until(cache.clock, lambda: cache.issuer.fetches == 2, step_s=10)

        assert cache.clock.monotonic() - 1000 <= REFRESH_S + 10
        await until(lambda: cache.is_known("k2"))
        assert not await cache.is_known("k1"), "a withdrawn key is not accepted any more"


async def test_metrics_show_when_keys_were_fetched(cache: Cache) -> None:
    async with cache.running():
        await cache.rested()

        assert REGISTRY.get_sample_value(ISSUER_KEYS_AT._name) == cache.clock.now_ms() / 1000


async def test_new_key_is_fetched_when_first_seen(cache: Cache) -> None:
    async with cache.running():
        await cache.rested()
        cache.issuer.keys.append(Key("k2", number=1))
        cache.clock.advance(REFETCH_AFTER_S)

        assert (await cache.keys.key("k2", "RS256")).kid == "k2"
        assert cache.issuer.fetches == 2


async def test_flood_of_unknown_keys_causes_one_fetch(cache: Cache) -> None:
    async with cache.running():
        await cache.rested()
        cache.clock.advance(REFETCH_AFTER_S)

        known = await asyncio.gather(*(cache.is_known(f"made-up-{number}") for number in range(500)))

        assert not any(known)
        assert cache.issuer.fetches == 2
        assert cache.issuer.most_at_once == 1


async def test_unknown_key_is_refused_at_once_after_a_fetch(cache: Cache) -> None:
    async with cache.running():
        await cache.rested()
        error = await failure(cache, "made-up")

    assert isinstance(error, InvalidToken)
    assert error.stable_code == "token_key_unknown"


async def test_endless_flood_fetches_once_per_rest(cache: Cache) -> None:
    async with cache.running():
        for _ in range(5):
            await cache.rested()
            cache.clock.advance(REFETCH_AFTER_S)
            fetches = cache.issuer.fetches
            await failure(cache, "made-up")
            await failure(cache, "made-up")
            await until(lambda before=fetches: cache.issuer.fetches == before + 1)  # type: ignore[misc]

        assert cache.issuer.fetches == 6


async def test_many_first_requests_share_one_fetch(cache: Cache) -> None:
    cache.issuer.may_answer.clear()
    async with cache.running():
        waiting = [asyncio.create_task(cache.is_known("k1")) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        cache.issuer.may_answer.set()

        assert all(await asyncio.gather(*waiting))
        assert cache.issuer.fetches == 1


async def test_slow_issuer_holds_few_requests_and_not_long(cache: Cache) -> None:
    cache.issuer.may_answer.clear()
    async with cache.running():
        waiting = [asyncio.create_task(failure(cache, "k1")) for _ in range(100)]
        await until(lambda: sum(one.done() for one in waiting) == 100 - MAX_WAITING)

        cache.clock.advance(WAIT_S)

        errors = await asyncio.gather(*waiting)
        assert {type(error) for error in errors} == {IssuerUnavailable}
        assert cache.issuer.fetches == 1


async def test_keys_are_used_while_the_issuer_is_away(cache: Cache) -> None:
    async with cache.running():
        await cache.rested()
        cache.issuer.is_away = True
        await advance_until(cache.clock, lambda: cache.issuer.fetches > 5, step_s=60)

        assert await cache.is_known("k1")


async def test_keys_are_used_while_the_issuer_publishes_none(cache: Cache) -> None:
    async with cache.running():
        await cache.rested()
        cache.issuer.keys = []
        await advance_until(cache.clock, lambda: cache.issuer.fetches > 2, step_s=60)

        assert await cache.is_known("k1")


async def test_keys_are_dropped_after_a_day_without_issuer(cache: Cache) -> None:
    async with cache.running():
        await cache.rested()
        cache.issuer.is_away = True
        await advance_until(cache.clock, lambda: cache.issuer.fetches > 1, step_s=60)
        assert await cache.is_known("k1")
        cache.clock.advance(KEEP_S)

        assert isinstance(await failure(cache, "k1"), IssuerUnavailable)


async def test_unknown_key_while_issuer_is_away_is_no_verdict(cache: Cache) -> None:
    async with cache.running():
        await cache.rested()
        cache.issuer.is_away = True
        cache.clock.advance(REFETCH_AFTER_S)

        assert isinstance(await failure(cache, "k2"), IssuerUnavailable)
        assert await cache.is_known("k1")


async def test_issuer_away_at_start_is_asked_again(cache: Cache) -> None:
    cache.issuer.is_away = True
    async with cache.running():
        error = await failure(cache, "k1")
        assert isinstance(error, IssuerUnavailable)
        assert error.retry_after_s >= 1
        cache.issuer.is_away = False

        await advance_until(cache.clock, lambda: cache.issuer.fetches > 1)

        await until(lambda: cache.is_known("k1"))


async def test_retries_back_off_while_the_issuer_is_away(cache: Cache) -> None:
    cache.issuer.is_away = True
    async with cache.running():
        await advance_until(cache.clock, lambda: cache.clock.monotonic() >= 1000 + 120, step_s=1)

        assert 120 / 12 - 1 < cache.issuer.fetches < 120 / 2


async def test_request_before_start_is_told_to_retry(cache: Cache) -> None:
    waiting = asyncio.create_task(failure(cache, "k1"))
    await cache.rested()
    cache.clock.advance(WAIT_S)

    assert isinstance(await waiting, IssuerUnavailable)
