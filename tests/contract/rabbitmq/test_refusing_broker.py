"""A broker that answers every question but takes no message: health has to say so, and why."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from converto_core.errors import BusUnavailable
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.settings import Settings
from deploy.local.errors import ProgramMissing
from deploy.local.stack.stack import Stack
from tests.broker_control import control_broker
from tests.conftest import running_stack, skip_or_fail
from tests.contract.conftest import publish_until_confirmed
from tests.contract.samples import a_message

SOON_S = 60.0
IDLE_S = 3.0  # a channel of the broker remembers its permissions until it has nothing to do for a moment

Control = Callable[..., None]


@pytest.fixture(scope="module")
def broker() -> Iterator[Stack]:
    """A broker of its own, because others may not publish meanwhile."""
    try:
        with running_stack("refusing", ("rabbitmq",)) as running:
            yield running
    except ProgramMissing as missing:
        skip_or_fail(str(missing))


@pytest.fixture
def control(broker: Stack) -> Control:
    """Runs rabbitmqctl on the broker's node."""
    return functools.partial(control_broker, broker)


@pytest.fixture
async def bus(broker: Stack) -> AsyncIterator[RabbitEventBus]:
    url = broker.environment["CONVERTO_RABBITMQ_URL"]
    bus = RabbitEventBus.connect(Settings(rabbitmq_url=url, rabbitmq_timeout_s=2.0, breaker_failures=1000))
    await publish_until_confirmed(bus, "before")
    assert bus.faults == ()
    yield bus
    await bus.close()


async def refused_publish(bus: RabbitEventBus) -> str:
    """Publish until the broker does not take it; returns what health says while the broker still answers."""
    async with asyncio.timeout(SOON_S):
        while not bus.faults:
            try:
                await bus.publish(a_message("refused"))
            except BusUnavailable:
                continue
            await asyncio.sleep(IDLE_S)
    await bus.ping()
    (fault,) = bus.faults
    return fault


@pytest.mark.parametrize(
    ("alarm", "end", "words"),
    [
        pytest.param(
            ("set_vm_memory_high_watermark", "0.000001"),
            ("set_vm_memory_high_watermark", "0.6"),
            "RabbitMQ accepts no messages: memory alarm (low on memory). Free memory",
            id="memory",
        ),
        pytest.param(
            ("set_disk_free_limit", "1000000GB"),
            ("set_disk_free_limit", "1MB"),
            "RabbitMQ accepts no messages: disk alarm (low on disk). Free disk",
            id="disk",
        ),
    ],
)
async def test_alarm_is_a_fault_until_it_ends(
    bus: RabbitEventBus, control: Control, *, alarm: tuple[str, ...], end: tuple[str, ...], words: str
) -> None:
    await asyncio.to_thread(control, *alarm)
    try:
        assert (await refused_publish(bus)).startswith(words)
    finally:
        await asyncio.to_thread(control, *end)

    await publish_until_confirmed(bus, "after")

    assert bus.faults == ()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("clear_permissions", "converto"), id="none"),
        pytest.param(("set_permissions", "converto", "^$", "^$", ".*"), id="only-read"),
    ],
)
async def test_cleared_permissions_are_a_fault_until_they_return(
    bus: RabbitEventBus, control: Control, change: tuple[str, ...]
) -> None:
    """The connection stays open and answers; only messages are refused."""
    await asyncio.to_thread(control, *change)
    try:
        fault = await refused_publish(bus)
        assert fault.startswith("RabbitMQ refused a message: ACCESS_REFUSED")
        assert "rabbitmqctl set_permissions" in fault
    finally:
        await asyncio.to_thread(control, "set_permissions", "converto", ".*", ".*", ".*")

    await publish_until_confirmed(bus, "after")

    assert bus.faults == ()
