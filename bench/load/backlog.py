"""Measures what 100,000 waiting conversions cost all other requests, compared with an empty database.

Two databases on one server take turns, call by call, so that a busy moment of the machine affects both. The benchmark
starts its own server. Run it with `python -m bench.load.backlog`.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from bench.figures import percentile, print_table, save_figures, verdict
from converto_core.conversion.processing import claim
from converto_core.conversion.record import Conversion, Lane, Status, Step
from converto_core.conversion.transitions import confirm
from converto_core.files.record import File, FileStatus
from converto_core.formats import Family
from converto_core.ids import new_id, now_ms
from converto_core.ports.stores import ConversionFilter
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore
from converto_infra.mongo.collection import document_of
from converto_infra.mongo.stores import MongoStores
from converto_infra.settings import Settings
from file_service.delivery.live_events import LIVE, MOST_LIVE, NEWEST
from file_service.housekeeping.sweeps import Sweeps
from tests.conftest import running_stack

LIMIT = 2.0
OWNER, STRANGER, CLIENT = "ann", "bob", "wall"
PAGE = 250
"""The "empty" database holds this many, so that both answer with pages of the same length."""
BATCH = 1000
WARM_UP_ROUNDS = 5
AN_HOUR_MS = 3_600_000
STEP = Step(converter="vips", source_format="png", target_format="webp")


class LongQueues(MemoryEventBus):
    """A broker that still has every message it was given."""

    async def backlog(self, family: Family, lane: Lane) -> int:
        """Return a backlog that is never empty."""
        return 1


class Side(msgspec.Struct, frozen=True):
    """One database with its stores, its sweeps and the conversions that may be claimed."""

    stores: MongoStores
    sweeps: Sweeps
    claimable: Iterator[str]
    known: Conversion


Ask = Callable[[Side], Awaitable[Any]]


def waiting(**fields: Any) -> Conversion:
    """Return a conversion whose message was published and is due again later, like nearly all of a backlog."""
    now = now_ms()
    start: dict[str, Any] = {
        "id": new_id(),
        "owner": OWNER,
        "file_id": new_id(),
        "filename": "picture.png",
        "source_format": "png",
        "target_format": "webp",
        "plan": (STEP,),
        "family": Family.IMAGE,
        "status": Status.PENDING,
        "publish_due": now + AN_HOUR_MS,
        "published": 1,
        "client_id": CLIENT,
        "created_at": now,
        "updated_at": now,
    }
    return Conversion(**{**start, **fields})


def uploaded(conversion: Conversion) -> File:
    """Return the source file of a conversion."""
    return File(
        id=conversion.file_id,
        owner=conversion.owner,
        filename=conversion.filename,
        extension="png",
        size_bytes=1000,
        key=f"t/{conversion.owner}/in/{conversion.file_id}/1/source",
        status=FileStatus.UPLOADED,
        detected_format="png",
        created_at=conversion.created_at,
        updated_at=conversion.updated_at,
    )


async def filled(url: str, database: str, count: int, rounds: int) -> Side:
    """Fill a database with waiting conversions and their files; bypasses the stores, which is faster."""
    settings = Settings(
        mongodb_url=SecretStr(url),
        mongodb_database=database,
        mongodb_timeout_s=60,
        lease_s=3600,  # no worker renews the claims made here
    )
    stores = MongoStores.connect(settings)
    started = time.perf_counter()
    conversions = [waiting() for _ in range(count)]
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        for batch in (conversions[start : start + BATCH] for start in range(0, count, BATCH)):
            await client[database]["conversions"].insert_many([document_of(one) for one in batch], ordered=False)
            await client[database]["files"].insert_many([document_of(uploaded(one)) for one in batch], ordered=False)
    await stores.ensure_indexes()  # last: maintaining twelve indexes during the inserts would double the time
    print(f"  {count} conversions and files written in {time.perf_counter() - started:.0f} s", flush=True)
    sweeps = Sweeps(settings, stores, MemoryObjectStore(), LongQueues())
    claimable = iter(one.id for one in conversions[-rounds:])
    return Side(stores=stores, sweeps=sweeps, claimable=claimable, known=conversions[len(conversions) // 2])


async def claim_one(side: Side) -> None:
    """Claim a conversion, as a worker does for each message."""
    after = await side.stores.conversions.apply(claim(next(side.claimable), token=0, worker="w", now_ms=now_ms()))
    assert after is not None


async def create_one(side: Side) -> None:
    """Write what the file service writes until a conversion is pending."""
    conversion = waiting(status=Status.AWAITING_UPLOAD, publish_due=None, published=0)
    await side.stores.files.insert(uploaded(conversion))
    await side.stores.conversions.insert(conversion)
    change = confirm(conversion, source_format="png", plan=(STEP,), family=Family.IMAGE, now_ms=now_ms())
    assert await side.stores.conversions.apply(change) is not None


async def poll_live_events(side: Side) -> None:
    """Run the queries that a live stream of all conversions runs every two seconds."""
    await side.stores.conversions.find(ConversionFilter(owner=OWNER, statuses=LIVE, limit=MOST_LIVE))
    await side.stores.conversions.find(ConversionFilter(owner=OWNER, limit=NEWEST))


def listing(**conditions: Any) -> Ask:
    """Return a query for one page of a list."""
    return lambda side: side.stores.conversions.find(ConversionFilter(**conditions))


QUESTIONS: dict[str, Ask] = {
    "list": listing(owner=OWNER),
    "list of a client": listing(owner=OWNER, client_id=CLIENT),
    "list of a status": listing(owner=OWNER, statuses=(Status.PENDING,)),
    "list of a status, none": listing(owner=OWNER, statuses=(Status.FAILED,)),
    "list of a target, none": listing(owner=OWNER, target_format="pdf"),
    "list of another owner": listing(owner=STRANGER),
    "list of files": lambda side: side.stores.files.find(owner=OWNER, after=None, limit=50),
    "page after": lambda side: side.stores.conversions.find(ConversionFilter(owner=OWNER, after=side.known.id)),
    "conversions of a file": lambda side: side.stores.conversions.find(
        ConversionFilter(owner=OWNER, file_id=side.known.file_id)
    ),
    "status": lambda side: side.stores.conversions.get(side.known.id, owner=OWNER),
    "history": lambda side: side.stores.history.of(side.known.id, owner=OWNER),
    "live stream poll": poll_live_events,
    "create": create_one,
    "outbox sweep": lambda side: side.sweeps.outbox.sweep(),  # publishes what `create` has just inserted
    "claim": claim_one,
    "reaper sweep": lambda side: side.sweeps.reaper.sweep(),
    "lost messages sweep": lambda side: side.sweeps.lost_wakeups.sweep(),
    "uploads sweep": lambda side: side.sweeps.uploads.sweep(),
    "results sweep": lambda side: side.sweeps.results.sweep(),
    "earlier ones of a pair": listing(source_format="png", target_format="webp", statuses=(Status.COMPLETED,)),
}


async def took_ms(ask: Ask, side: Side) -> float:
    """Run one query and return its duration in milliseconds."""
    started = time.perf_counter()
    await ask(side)
    return (time.perf_counter() - started) * 1000


async def block(empty: Side, full: Side, rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """Measure every query on both databases in turn, in milliseconds; the order alternates with each round."""
    measured: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in QUESTIONS}
    for number in range(rounds):
        for name, ask in QUESTIONS.items():
            for is_full in (number % 2 == 0, number % 2 == 1):
                measured[name][is_full].append(await took_ms(ask, full if is_full else empty))
    return measured


async def measure(url: str, size: int, blocks: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return the figures of each query: percentiles over all rounds, and the median of the blocks' p99 ratios."""
    claims = blocks * rounds + WARM_UP_ROUNDS
    empty, full = await filled(url, "empty", max(PAGE, claims), claims), await filled(url, "full", size, claims)
    await block(empty, full, WARM_UP_ROUNDS)
    measured = [await block(empty, full, rounds) for _ in range(blocks)]
    started = time.perf_counter()
    await full.stores.conversions.has_pending(OWNER, at_least=size)
    print(
        f"  check whether an owner has {size} waiting: {(time.perf_counter() - started) * 1000:.0f} ms, once a second"
    )
    for side in (empty, full):
        await side.stores.close()
    return {name: _figures([one[name] for one in measured]) for name in QUESTIONS}


def _figures(blocks: list[tuple[list[float], list[float]]]) -> dict[str, float]:
    empty, full = ([ms for block in blocks for ms in block[side]] for side in (0, 1))
    ratios = [percentile(full_ms, 99) / percentile(empty_ms, 99) for empty_ms, full_ms in blocks]
    return {
        "empty p50": round(percentile(empty, 50), 2),
        "full p50": round(percentile(full, 50), 2),
        "empty p99": round(percentile(empty, 99), 2),
        "full p99": round(percentile(full, 99), 2),
        "p99 ratio": round(statistics.median(ratios), 2),
    }


def main() -> int:
    """Return 0 if every query meets its limit, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    with running_stack("bench-backlog", ("mongo",)) as stack:
        url = stack.environment["CONVERTO_MONGODB_URL"]
        figures = asyncio.run(measure(url, options.size, options.blocks, options.rounds))
    rows = [[name, *figure.values()] for name, figure in figures.items()]
    print_table(f"{options.size} waiting conversions, milliseconds", ["", *next(iter(figures.values()))], rows)
    are_met = [
        verdict(f"{name}, p99 relative to an empty system", figure["p99 ratio"], LIMIT)
        for name, figure in figures.items()
    ]
    save_figures("load_backlog", {"options": vars(options), "figures": figures})
    return 0 if all(are_met) else 1


if __name__ == "__main__":
    sys.exit(main())
