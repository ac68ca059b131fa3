"""A slow program is asked again until it answers, and what it offers appears then (behaviour M15)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from conversion_worker.app import choose_sandbox
from conversion_worker.engines import FIRST_LOOK_S, LONGEST_PAUSE_S, CannotWork, EngineQuestions, wanted_families
from converto_core.errors import EngineMissing, EngineNotAnswering, EngineTimeout
from converto_core.formats import Family
from converto_engines.runtime.process import Sandbox
from tests.unit.conversion_worker.fakes import FakeConverter, make_upper_case
from tests.unit.fake_clock import FakeClock, advance_until, until


class ScriptedEngine(FakeConverter):
    """A converter whose program gives the next answer each time; the last one stays."""

    def __init__(self, name: str, *answers: str | Exception | None, family: Family = Family.OFFICE) -> None:
        super().__init__(make_upper_case, name=name)
        self.engine = f"engine of {name}"
        self.family, self.answers, self.asked = family, list(answers), 0

    async def version(self) -> str | None:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class HangingEngine(ScriptedEngine):
    """A converter whose program answers when the test says so."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "9")
        self.answer = asyncio.Event()

    async def version(self) -> str | None:
        await self.answer.wait()
        return await super().version()


class Asking:
    """The questions of one worker in fake time."""

    def __init__(self, *converters: FakeConverter, wanted: Sequence[Family] = tuple(Family)) -> None:
        self.clock, self.stopping = FakeClock(), asyncio.Event()
        self.questions = EngineQuestions(converters, wanted, clock=self.clock, stopping=self.stopping)
        self.changes = 0
        self.questions.watch(self._count)
        self.task = asyncio.create_task(self.questions.run())

    def _count(self) -> None:
        self.changes += 1

    @property
    def families(self) -> tuple[Family, ...]:
        return self.questions.families.now.families


@asynccontextmanager
async def asking(*converters: FakeConverter, wanted: Sequence[Family] = tuple(Family)) -> AsyncIterator[Asking]:
    one = Asking(*converters, wanted=wanted)
    yield one
    one.task.cancel()
    await asyncio.gather(one.task, return_exceptions=True)


async def test_slow_program_is_offered_once_it_answers() -> None:
    slow = ScriptedEngine("video", EngineTimeout(), EngineTimeout(), "6.1", family=Family.VIDEO)
    async with asking(ScriptedEngine("text", "1"), slow) as worker:
        await until(lambda: slow.asked == 1)
        before, outdated = worker.families, worker.questions.families.now.outdated
        (silence,) = worker.questions.installed().not_answering
        changes = worker.changes
        await advance_until(worker.clock, lambda: "video" in worker.questions.offers)

        assert before == (Family.OFFICE,)
        assert (silence.offer.converter, silence.offer.engine_version) == ("video", "")
        assert "no answer within" in silence.error
        assert set(worker.families) == {Family.OFFICE, Family.VIDEO}
        assert outdated.is_set() and worker.changes > changes
        assert worker.questions.offers["video"].engine_version == "6.1"
        assert worker.questions.installed().not_answering == ()
        assert slow.asked == 3


async def test_silent_program_is_asked_for_ever_at_long_intervals() -> None:
    silent = ScriptedEngine("video", EngineTimeout())
    async with asking(ScriptedEngine("text", "1"), silent) as worker:
        started_s = worker.clock.monotonic()
        await advance_until(worker.clock, lambda: silent.asked == 40, step_s=5)
        elapsed_s = worker.clock.monotonic() - started_s

        assert elapsed_s <= 40 * (LONGEST_PAUSE_S + 5)
        assert elapsed_s > 2 * LONGEST_PAUSE_S
        (silence,) = worker.questions.installed().not_answering
        assert silence.since < worker.clock.now_ms() - 1000 * 2 * LONGEST_PAUSE_S


async def test_missing_program_is_never_asked_again() -> None:
    missing, also_missing = ScriptedEngine("cad", EngineMissing()), ScriptedEngine("office", None)
    async with asking(ScriptedEngine("text", "1"), missing, also_missing) as worker:
        await worker.task

        assert (missing.asked, also_missing.asked) == (1, 1)
        assert worker.questions.installed().not_installed == ("engine of cad", "engine of office")


async def test_worker_starts_with_what_answered() -> None:
    hanging = HangingEngine("office")
    async with asking(ScriptedEngine("text", "1"), hanging) as worker:
        started_s = worker.clock.monotonic()
        look = asyncio.create_task(worker.questions.first_look())
        await advance_until(worker.clock, look.done)

        assert worker.clock.monotonic() - started_s <= FIRST_LOOK_S + 1
        assert list(worker.questions.offers) == ["text"]
        hanging.answer.set()
        await until(lambda: "office" in worker.questions.offers)


async def test_worker_starts_at_once_when_all_have_answered() -> None:
    async with asking(ScriptedEngine("text", "1"), ScriptedEngine("cad", None)) as worker:
        await asyncio.wait_for(worker.questions.first_look(), 5)


async def test_worker_whose_every_program_is_slow_waits() -> None:
    slow = ScriptedEngine("office", EngineTimeout(), "7")
    async with asking(slow, ScriptedEngine("cad", None)) as worker:
        look = asyncio.create_task(worker.questions.first_look())
        await advance_until(worker.clock, look.done)
        await look
        await advance_until(worker.clock, lambda: worker.families == (Family.OFFICE,))


async def test_nothing_installed_means_cannot_work() -> None:
    async with asking(ScriptedEngine("office", None), ScriptedEngine("cad", EngineMissing())) as worker:
        with pytest.raises(CannotWork, match="any family"):
            await worker.questions.first_look()
        with pytest.raises(CannotWork):
            await worker.task


async def test_slow_program_that_proves_missing_ends_the_worker() -> None:
    slow = ScriptedEngine("office", EngineTimeout(), None)
    async with asking(slow) as worker:
        await until(lambda: slow.asked == 1)
        assert not worker.task.done()
        await advance_until(worker.clock, worker.task.done)
        with pytest.raises(CannotWork, match="Install LibreOffice"):
            await worker.task


async def test_families_that_are_not_wanted_stay_out() -> None:
    video = ScriptedEngine("video", EngineTimeout(), "6", family=Family.VIDEO)
    async with asking(ScriptedEngine("text", "1"), video, wanted=[Family.OFFICE]) as worker:
        await until(lambda: video.asked == 1)
        shown = worker.questions.installed()
        await worker_answers(worker, "video")

        assert shown.not_answering == ()
        assert worker.families == (Family.OFFICE,)
        assert [offer.converter for offer in worker.questions.installed().offers] == ["text"]


async def worker_answers(worker: Asking, name: str) -> None:
    await advance_until(worker.clock, lambda: name in worker.questions.offers)


def test_unknown_family_names_the_setting() -> None:
    with pytest.raises(CannotWork, match="CONVERTO_FAMILIES"):
        wanted_families(["gardening"])


async def test_sandbox_test_that_did_not_end_is_repeated() -> None:
    clock, stopping, answers = FakeClock(), asyncio.Event(), [EngineNotAnswering(), EngineNotAnswering()]

    async def choose() -> Sandbox:
        if answers:
            raise answers.pop()
        return Sandbox("bubblewrap")

    choosing = asyncio.create_task(choose_sandbox(choose, stopping, clock))
    await advance_until(clock, choosing.done)
    found = await choosing

    assert found is not None and found.name == "bubblewrap"


async def test_stop_request_ends_the_wait_for_a_sandbox() -> None:
    stopping = asyncio.Event()

    async def choose() -> Sandbox:
        stopping.set()
        await asyncio.Event().wait()
        raise AssertionError

    assert await asyncio.wait_for(choose_sandbox(choose, stopping, FakeClock()), 5) is None
