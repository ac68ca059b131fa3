"""Protects the ECS task from scale-in and deployments while this worker runs a conversion."""

from collections.abc import Awaitable
from typing import Protocol

import structlog

from conversion_worker.worker_registry import RunningJobs
from converto_infra.clock import Clock, jittered_s
from converto_infra.ecs.agent import ProtectionRefused

PROTECTED_MINUTES = 15
"""Short enough that a worker that died or lost its agent does not hold up a deployment for long."""
RENEW_AFTER_S = 300.0  # leaves ten minutes of failed renewals before the protection ends
RELEASE_AFTER_S = 5.0  # between short conversions the task stays protected: ECS limits the rate of these calls
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Agent(Protocol):
    """What a worker asks of the container agent; raises `ProtectionRefused`."""

    async def protect(self, minutes: int) -> None: ...

    async def release(self) -> None: ...


class TaskProtection:
    """Keeps the protection on from the first running conversion until shortly after the last one has ended.

    Whatever the agent answers, conversions go on: without protection a stop still leaves them the grace period, and
    then they are handed back uncharged.
    """

    def __init__(self, agent: Agent, running_jobs: RunningJobs, clock: Clock) -> None:
        """`running_jobs` says when this worker is busy."""
        self._agent, self._running_jobs, self._clock = agent, running_jobs, clock
        self._changed = running_jobs.watch()
        self._failures = 0

    async def run(self) -> None:
        """Follow the running conversions until cancelled."""
        while True:
            await self._wait_for_work()
            await self._protect_while_busy()
            await self._release()

    @property
    def _is_busy(self) -> bool:
        return bool(self._running_jobs.running)

    async def _wait_for_work(self) -> None:
        while not self._is_busy:
            self._changed.clear()
            await self._changed.wait()

    async def _protect_while_busy(self) -> None:
        """Protect at once and renew; return when no conversion has run for `RELEASE_AFTER_S`."""
        clock, due_s, busy_s = self._clock, self._clock.monotonic(), self._clock.monotonic()
        while self._is_busy or clock.monotonic() < busy_s + RELEASE_AFTER_S:
            self._changed.clear()
            if self._is_busy and clock.monotonic() >= due_s:
                is_protected = await self._succeeds("protect", self._agent.protect(PROTECTED_MINUTES))
                due_s = clock.monotonic() + jittered_s(RENEW_AFTER_S if is_protected else self._pause_s)
            wake_s = due_s if self._is_busy else busy_s + RELEASE_AFTER_S
            was_busy = self._is_busy
            await clock.wait(self._changed, wake_s - clock.monotonic())
            busy_s = clock.monotonic() if was_busy else busy_s

    async def _release(self) -> None:
        """Release, also when no answer to `protect` came: the agent may have set it. Give up when it has expired."""
        expires_s = self._clock.monotonic() + 60 * PROTECTED_MINUTES
        while not self._is_busy and self._clock.monotonic() < expires_s:
            self._changed.clear()
            if await self._succeeds("release", self._agent.release()):
                return
            await self._clock.wait(self._changed, jittered_s(self._pause_s))

    async def _succeeds(self, name: str, call: Awaitable[None]) -> bool:
        try:
            await call
        except ProtectionRefused as error:
            self._failures += 1
            log.warning("task_protection.refused", call=name, reason=str(error), failures=self._failures)
            return False
        self._failures = 0
        log.debug("task_protection.changed", call=name)
        return True

    @property
    def _pause_s(self) -> float:
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 10))
