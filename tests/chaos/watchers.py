"""Observers of a run: a prober that queries the file services, and a listener for events."""

import asyncio
import time
from collections.abc import Sequence

import httpx2

from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.settings import Settings
from tests.chaos.history.journal import Journal
from tests.chaos.history.recorder import RecordingTransport
from tests.chaos.report.entries import Probe, Told
from tests.chaos.report.journal import RunJournal

EVERY_S = 0.5
TIMEOUT_S = 8.0


class Prober:
    """Requests health and a list from each file service several times a second, without waiting for earlier answers."""

    def __init__(self, urls: Sequence[str], api_key: str, journal: RunJournal, history: Journal) -> None:
        self._urls, self._journal = urls, journal
        recording = RecordingTransport(httpx2.AsyncHTTPTransport(trust_env=False), history, client="prober")
        headers = {"Authorization": f"Bearer {api_key}"}
        self._http = httpx2.AsyncClient(headers=headers, timeout=TIMEOUT_S, transport=recording)

    async def run(self) -> None:
        """Probe until cancelled."""
        async with self._http, asyncio.TaskGroup() as asking:
            while True:
                for url in self._urls:
                    asking.create_task(self._ask_health(url))
                    asking.create_task(self._ask_list(url))
                await asyncio.sleep(EVERY_S)

    async def _ask_health(self, url: str) -> None:
        await self._ask(url, "/api/health", "health")

    async def _ask_list(self, url: str) -> None:
        """Time a request that needs the database."""
        await self._ask(url, "/api/v1/conversions?limit=20", "list")

    async def _ask(self, url: str, path: str, name: str) -> None:
        started, answer = time.monotonic(), await self._get(f"{url}{path}")
        took_s = time.monotonic() - started
        if answer is not None:
            self._journal.append(Probe(url, started, took_s, answer.status_code, _healthy(answer), name))
        elif took_s > TIMEOUT_S / 2:
            self._journal.append(Probe(url, started, took_s, 0, path=name))  # a refused connection has no answer time

    async def _get(self, url: str) -> httpx2.Response | None:
        try:
            return await self._http.get(url)
        except httpx2.TransportError:
            return None


def _healthy(answer: httpx2.Response) -> frozenset[str]:
    try:
        checks = answer.json().get("checks") or {}
        return frozenset(name for name, check in checks.items() if check["status"] == "ok")
    except (ValueError, AttributeError, TypeError):  # not a health report: a list, or half an answer
        return frozenset()


class EventListener:
    """Records the live events of conversions."""

    def __init__(self, settings: Settings, journal: RunJournal, history: Journal) -> None:
        self._settings, self._journal, self._history = settings, journal, history

    async def run(self) -> None:
        """Listen until cancelled; events published while the broker is away are missed."""
        bus = RabbitEventBus.connect(self._settings)
        try:
            async with bus.subscribe() as events:
                async for event in events:
                    self._journal.append(Told(event.id, event.token, event.status, event.percent, event.beat))
                    self._history.publish(event.id, event.status, event.token)
        finally:
            await bus.close()
