"""Observers of a run: a prober that queries the file services, and a listener for events."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence

import httpx2

from converto_core.conversion.record import Status
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.settings import Settings
from tests.chaos.report.figures import Probe

EVERY_S = 0.5
TIMEOUT_S = 8.0
DATABASE = "database"


class Prober:
    """Requests health and a list from each file service several times a second, without waiting for earlier answers."""

    def __init__(self, urls: Sequence[str], api_key: str) -> None:
        self._urls = urls
        headers = {"Authorization": f"Bearer {api_key}"}
        self._http = httpx2.AsyncClient(headers=headers, timeout=TIMEOUT_S, trust_env=False)
        self.health: list[Probe] = []
        self.answers: list[Probe] = []

    async def run(self) -> None:
        """Probe until cancelled."""
        async with self._http, asyncio.TaskGroup() as asking:
            while True:
                for url in self._urls:
                    asking.create_task(self._ask_health(url))
                    asking.create_task(self._ask_list(url))
                await asyncio.sleep(EVERY_S)

    async def _ask_health(self, url: str) -> None:
        started, answer = time.monotonic(), await self._get(f"{url}/api/health")
        if answer is None:
            return
        checks = answer.json().get("checks") or {}
        healthy = frozenset(name for name, check in checks.items() if check["status"] == "ok")
        self.health.append(Probe(url, started, time.monotonic() - started, answer.status_code, healthy))

    async def _ask_list(self, url: str) -> None:
        """Time a request that needs the database."""
        started, answer = time.monotonic(), await self._get(f"{url}/api/v1/conversions?limit=1")
        took_s = time.monotonic() - started
        if answer is not None:
            self.answers.append(Probe(url, started, took_s, answer.status_code))
        elif took_s > TIMEOUT_S / 2:
            self.answers.append(Probe(url, started, took_s, 0))  # a refused connection has no answer time

    async def _get(self, url: str) -> httpx2.Response | None:
        try:
            return await self._http.get(url)
        except httpx2.TransportError:
            return None


class EventListener:
    """Collects which conversions were announced as completed, and under which tokens."""

    def __init__(self, settings: Settings) -> None:
        self._bus = RabbitEventBus.connect(settings)
        self._completions: dict[str, set[int]] = defaultdict(set)

    async def run(self) -> None:
        """Listen until cancelled; events published while the broker is away are missed."""
        try:
            async with self._bus.subscribe() as events:
                async for event in events:
                    if event.status is Status.COMPLETED:
                        self._completions[event.id].add(event.token)
        finally:
            await self._bus.close()

    @property
    def completions(self) -> dict[str, frozenset[int]]:
        """Tokens by conversion."""
        return {key: frozenset(tokens) for key, tokens in self._completions.items()}
