"""An administrator made one unused queue anew as a classic one, and the whole bus was down: every declaration of the
queues ended at the first that differed. Pictures stayed pending although their own queue was fine. Part of C3 and C4.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aio_pika
import httpx2
import pytest

from converto_core.conversion.record import Lane
from converto_core.events import queue_name
from converto_core.formats import Family
from deploy.local.stack.stack import Stack
from tests.broker_control import control_broker
from tests.conftest import run_apart
from tests.e2e.command_line import converto
from tests.e2e.plain_http import finish, start, wait_until

BAD = queue_name(Family.AUDIO, Lane.BULK)
OWN = queue_name(Family.OFFICE, Lane.NORMAL)
NOTICED_WITHIN_S = 90.0  # every queue is looked at once a minute
REPAIRED_WITHIN_S = 60

pytestmark = pytest.mark.usefixtures("healthy_afterwards")


@pytest.fixture
def administrator(stack: Stack) -> Iterator["Administrator"]:
    """Deletes at the end what it has made, so that the services make it anew."""
    one = Administrator(stack)
    yield one
    for name in list(one.made):
        one.delete(name)


class Administrator:
    """Someone with the management page open."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.environment["CONVERTO_RABBITMQ_URL"]
        self.made: set[str] = set()

    def make_classic(self, name: str) -> None:
        """Delete a queue and add one of that name, with the defaults of the page."""
        self.delete(name)
        self._run(lambda channel: channel.declare_queue(name, durable=True))
        self.made.add(name)

    def delete(self, name: str) -> None:
        """Delete a queue."""
        self._run(lambda channel: channel.queue_delete(name))
        self.made.discard(name)

    def _run(self, act: Callable[[aio_pika.abc.AbstractChannel], Any]) -> None:
        async def connect_and_act() -> None:
            async with await aio_pika.connect(self._url) as connection:
                channel = await connection.channel()
                with suppress(aio_pika.exceptions.ChannelClosed):
                    await act(channel)

        run_apart(connect_and_act)


def faults(http: httpx2.Client) -> list[str]:
    return list(http.get("/api/health").json()["checks"]["broker"].get("faults", ()))


def note(folder: Path, text: str) -> Path:
    path = folder / "note.txt"
    path.write_text(f"{text}\n" * 20)
    return path


@pytest.mark.timeout(240)
def test_bad_queue_is_named_while_everything_else_works(
    stack: Stack, http: httpx2.Client, administrator: Administrator, tmp_path: Path
) -> None:
    administrator.make_classic(BAD)
    control_broker(stack, "close_all_connections", "every process connects anew")  # and declares its queues

    conversion = start(http, note(tmp_path, "the quick brown fox"), "pdf")
    ended = finish(http, conversion["id"])
    assert ended["status"] == "completed", ended

    (fault,) = wait_until(lambda: faults(http) or None, within_s=30)
    assert BAD in fault
    assert "Delete it, and it is created again" in fault
    assert http.get("/api/health").json()["status"] == "degraded"
    assert http.get("/api/health/ready").status_code == 200
    report = converto(stack, "doctor", cwd=tmp_path, check=1)
    assert BAD in report.stdout
    assert "Delete it" in report.stdout

    administrator.delete(BAD)
    wait_until(lambda: True if not faults(http) else None, within_s=REPAIRED_WITHIN_S)
    assert http.get("/api/health").status_code == 200


@pytest.mark.minutes
@pytest.mark.timeout(240)
def test_bad_queue_that_no_message_meets_is_named(http: httpx2.Client, administrator: Administrator) -> None:
    """Nothing connects anew either: only a worker's connection would meet it."""
    wait_until(lambda: True if not faults(http) else None, within_s=REPAIRED_WITHIN_S)

    administrator.make_classic(BAD)

    (fault,) = wait_until(lambda: faults(http) or None, within_s=NOTICED_WITHIN_S)
    assert BAD in fault


@pytest.mark.timeout(240)
def test_conversions_pass_through_a_queue_made_classic(
    stack: Stack, http: httpx2.Client, administrator: Administrator, tmp_path: Path
) -> None:
    """Under running services, and the queue that the conversion needs itself."""
    administrator.make_classic(OWN)

    conversion = start(http, note(tmp_path, "jumps over the lazy dog"), "pdf")

    ended = finish(http, conversion["id"])
    assert ended["status"] == "completed", ended
    assert asyncio.run(queue_exists(stack, OWN))


async def queue_exists(stack: Stack, name: str) -> bool:
    async with await aio_pika.connect(stack.environment["CONVERTO_RABBITMQ_URL"]) as connection:
        return bool(await (await connection.channel()).declare_queue(name, passive=True))
