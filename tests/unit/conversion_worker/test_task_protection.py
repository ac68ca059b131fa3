"""ECS task protection: on while a conversion runs, renewed, released when idle (M14)."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conversion_worker.task_protection import PROTECTED_MINUTES, TaskProtection
from conversion_worker.worker_registry import RunningJobs
from converto_core.conversion.record import Conversion, Status
from converto_infra.ecs.agent import ProtectionRefused
from tests.unit.fake_clock import FakeClock, advance_until, until


class FakeAgent:
    """Records calls with their time, refuses as often as a test says."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.refusals = clock, 0
        self.calls: list[tuple[str, float]] = []
        self.is_protected = False

    async def protect(self, minutes: int) -> None:
        self._record("protect")
        assert minutes == PROTECTED_MINUTES
        self.is_protected = True

    async def release(self) -> None:
        self._record("release")
        self.is_protected = False

    def _record(self, name: str) -> None:
        self.calls.append((name, self.clock.monotonic()))
        if self.refusals:
            self.refusals -= 1
            raise ProtectionRefused("ThrottlingException")

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


class Worker:
    """What a worker's slots do to the running conversions, and the protection that follows them."""

    def __init__(self) -> None:
        self.clock, self.jobs = FakeClock(), RunningJobs()
        self.agent = FakeAgent(self.clock)
        self.task = asyncio.create_task(TaskProtection(self.agent, self.jobs, self.clock).run())

    def start(self, conversion_id: str) -> None:
        fields: dict[str, Any] = {"owner": "anna", "file_id": "f", "target_format": "pdf", "created_at": 0}
        assert self.jobs.reserve(conversion_id)
        self.jobs.start(Conversion(id=conversion_id, status=Status.PROCESSING, updated_at=0, **fields))

    async def end(self, conversion_id: str) -> None:
        """End a conversion after the loop has seen everything before, and let the loop see the end."""
        await self.settle()
        self.jobs.release(conversion_id)
        await self.settle()

    async def settle(self) -> None:
        """Let the loop react to what has happened; no time passes."""
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    one = Worker()
    yield one
    one.task.cancel()
    await asyncio.gather(one.task, return_exceptions=True)


async def test_first_conversion_protects_and_the_last_releases(worker: Worker) -> None:
    worker.start("c1")
    await until(lambda: worker.agent.is_protected)
    worker.start("c2")
    await worker.end("c1")
    await advance_until(worker.clock, lambda: worker.clock.monotonic() > 1060)
    protected_with_one_left = worker.agent.is_protected
    await worker.end("c2")
    await advance_until(worker.clock, lambda: not worker.agent.is_protected)

    assert protected_with_one_left
    assert worker.agent.names == ["protect", "release"]


async def test_protection_is_renewed_while_a_conversion_runs(worker: Worker) -> None:
    worker.start("c1")
    await until(lambda: worker.agent.is_protected)
    await advance_until(worker.clock, lambda: len(worker.agent.calls) >= 10, step_s=5)
    times = [at for _, at in worker.agent.calls]
    gaps_s = [later - earlier for earlier, later in itertools.pairwise(times)]

    assert set(worker.agent.names) == {"protect"}
    assert max(gaps_s) < PROTECTED_MINUTES * 60 / 2


async def test_short_conversions_in_a_row_cost_one_call(worker: Worker) -> None:
    for number in range(20):
        worker.start(f"c{number}")
        await worker.end(f"c{number}")
        worker.clock.advance(2)
    await advance_until(worker.clock, lambda: not worker.agent.is_protected)

    assert worker.agent.names == ["protect", "release"]


async def test_refusals_are_repeated_ever_more_slowly(worker: Worker) -> None:
    worker.agent.refusals = 8
    worker.start("c1")
    await advance_until(worker.clock, lambda: worker.agent.is_protected)
    times = [at for _, at in worker.agent.calls]
    gaps_s = [later - earlier for earlier, later in itertools.pairwise(times)]

    assert gaps_s[0] <= 2
    assert max(gaps_s) <= 61
    assert times[-1] - times[0] > 120


async def test_conversion_that_has_ended_meanwhile_protects_nothing(worker: Worker) -> None:
    """The protection of an idle worker would only hold up a deployment."""
    worker.agent.refusals = 1
    worker.start("c1")
    await until(lambda: worker.agent.names == ["protect"])
    await worker.end("c1")
    worker.clock.advance(3)  # the refused call is due again
    worker.start("c2")
    worker.jobs.release("c2")
    await worker.settle()
    await advance_until(worker.clock, lambda: "release" in worker.agent.names)

    assert worker.agent.names == ["protect", "release"]


async def test_refused_release_is_repeated_until_it_has_expired(worker: Worker) -> None:
    worker.start("c1")
    await until(lambda: worker.agent.is_protected)
    worker.agent.refusals = 10_000
    await worker.end("c1")
    await advance_until(worker.clock, lambda: "release" in worker.agent.names)
    start_s, valid_s = worker.clock.monotonic(), 60 * PROTECTED_MINUTES
    await advance_until(worker.clock, lambda: worker.clock.monotonic() > start_s + 2 * valid_s, step_s=20)
    last_s = worker.agent.calls[-1][1]

    assert 600 < last_s - start_s <= valid_s


async def test_conversion_during_a_refused_release_protects_again(worker: Worker) -> None:
    worker.start("c1")
    await until(lambda: worker.agent.is_protected)
    worker.agent.refusals = 1
    await worker.end("c1")
    await advance_until(worker.clock, lambda: "release" in worker.agent.names)
    worker.start("c2")
    await until(lambda: worker.agent.names[-1] == "protect")

    assert worker.agent.names == ["protect", "release", "protect"]
