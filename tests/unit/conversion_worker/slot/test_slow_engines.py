"""Slots while a program does not answer yet: its conversions wait uncharged, all others run (behaviour M15)."""

import msgspec

from conversion_worker.job.plan import ConverterSet
from conversion_worker.slot.completion import LONGEST_ENGINE_WAIT_MS, change_after_error
from converto_core.catalogue import NotAnswering, Offer
from converto_core.conversion.record import Status, Step
from converto_core.errors import EngineNotAnswering
from converto_core.formats import Family
from converto_engines.converter import ask, offer_of
from tests.unit.conversion_worker.fakes import FakeConverter, make_upper_case
from tests.unit.conversion_worker.harness import Harness
from tests.unit.fake_clock import until

SLOW_PLAN = (Step("slow", "txt", "pdf"),)


class SlowEngine:
    """A worker of two converters, one of which does not answer until the test says so."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.slow, self.quick = FakeConverter(make_upper_case, name="slow"), harness.converter
        self.offers: dict[str, Offer] = {}
        silence = NotAnswering(offer=offer_of(self.slow), since=harness.clock.now_ms(), error="no answer within 60 s")
        self.not_answering = {"slow": silence}

    async def start(self) -> None:
        await self.answer(self.quick)
        named = ConverterSet({"slow": self.slow, "fake": self.quick}, self.offers, self.not_answering)
        self.harness.start(named)

    async def answer(self, converter: FakeConverter) -> None:
        offer = await ask(converter)
        assert offer is not None
        self.not_answering.pop(converter.name, None)
        self.offers[converter.name] = offer


async def test_conversion_of_a_silent_program_waits_uncharged(harness: Harness) -> None:
    engine = SlowEngine(harness)
    await engine.start()
    record = await harness.request(plan=SLOW_PLAN)
    waiting = await harness.wait_for(record, Status.PENDING)

    assert (waiting.attempt, waiting.errors, waiting.lost) == (0, (), 0)
    assert waiting.wait_ms is not None and 2_000 <= waiting.wait_ms <= LONGEST_ENGINE_WAIT_MS
    assert waiting.stage == "waiting for its conversion program to answer"
    assert waiting.source_sha256 is None


async def test_waiting_conversion_completes_after_the_answer(harness: Harness) -> None:
    engine = SlowEngine(harness)
    await engine.start()
    record = await harness.request(plan=SLOW_PLAN)
    waiting = await harness.wait_for(record, Status.PENDING)
    await engine.answer(engine.slow)
    await harness.publish(waiting)
    done = await harness.wait_for(waiting, Status.COMPLETED)

    assert (done.attempt, done.engine_versions) == (1, {"fake": "1.0"})


async def test_other_conversions_run_beside_a_silent_program(harness: Harness) -> None:
    await SlowEngine(harness).start()

    await harness.wait_for(await harness.request(plan=SLOW_PLAN), Status.PENDING)
    await harness.wait_for(await harness.request(), Status.COMPLETED)


async def test_plan_whose_second_step_is_silent_waits_too(harness: Harness) -> None:
    await SlowEngine(harness).start()
    plan = (Step("fake", "txt", "pdf"), Step("slow", "pdf", "png"))
    waiting = await harness.wait_for(await harness.request(plan=plan), Status.PENDING)

    assert (waiting.attempt, waiting.errors) == (0, ())
    assert harness.converter.jobs == []


async def test_really_missing_converter_still_counts(harness: Harness) -> None:
    await SlowEngine(harness).start()
    plan = (Step("slow", "txt", "pdf"), Step("cad", "pdf", "png"))
    failed = await harness.wait_for(await harness.request(plan=plan), Status.PENDING)

    assert [error.code for error in failed.errors] == ["engine_missing"]


async def test_long_silence_costs_few_claims(harness: Harness) -> None:
    record = await harness.request(plan=SLOW_PLAN)
    error = EngineNotAnswering()
    error.since = harness.clock.now_ms() - 3_600_000
    claimed = msgspec.structs.replace(record, status=Status.PROCESSING, attempt=1, token=1)
    change = change_after_error(error, claimed, settings=harness.settings, now_ms=harness.clock.now_ms())

    assert change is not None and change.assign["wait_ms"] == LONGEST_ENGINE_WAIT_MS


async def test_slot_without_families_waits_for_the_first(harness: Harness) -> None:
    harness.families.replace([])
    slot = await harness.start_slot()
    record = await harness.request()
    harness.families.replace([Family.OFFICE])
    await harness.wait_for(record, Status.COMPLETED)

    assert not slot.done()


async def test_slot_without_families_ends_when_asked(harness: Harness) -> None:
    harness.families.replace([])
    slot = await harness.start_slot()
    harness.stop.stopping.set()

    await until(slot.done)


async def test_idle_slot_takes_a_family_that_appears(harness: Harness) -> None:
    await harness.start_slot()
    record = await harness.request(family=Family.IMAGE)
    await harness.wait_for(await harness.request(), Status.COMPLETED)
    assert (await harness.get(record)).status is Status.PENDING
    harness.families.replace([Family.OFFICE, Family.IMAGE])

    await harness.wait_for(record, Status.COMPLETED)


async def test_running_conversion_survives_a_family_that_appears(harness: Harness) -> None:
    gate, record, _ = await harness.start_held()
    harness.families.replace([Family.OFFICE, Family.IMAGE])
    picture = await harness.request(family=Family.IMAGE)
    gate.open.set()
    done = await harness.wait_for(record, Status.COMPLETED)

    assert (done.token, done.attempt) == (1, 1)
    assert harness.converter.cancelled == 0
    await harness.wait_for(picture, Status.COMPLETED)
