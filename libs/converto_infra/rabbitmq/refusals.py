"""What the broker last said against our messages while it answers everything else."""

import time
from collections.abc import Callable

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import DeliveryError, PublishError
from aiormq.exceptions import ChannelAccessRefused, ChannelClosed

from converto_core.errors import BusUnavailable

FORGOTTEN_AFTER_S = 120.0  # the outbox tries a refused message at least once a minute
BLOCKED_HANDLER = "_Connection__handle_connection_blocked"  # of aiormq, which tells its callers nothing about alarms

WAITS = "messages wait and are sent then, without a restart"
PERMISSIONS = (
    "Give the user of CONVERTO_RABBITMQ_URL the permissions configure, write and read on its virtual host"
    f" (rabbitmqctl set_permissions); {WAITS}"
)
ROUTES = "The queues are declared again; if this stays, see the other faults and topology.fault in the log"


class Refusals:
    """The last refusal of a publish; known until a publish is confirmed, or for two minutes without a new one."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._text, self._at_s, self._is_alarm = "", 0.0, False

    @property
    def faults(self) -> tuple[str, ...]:
        """What happened, why, and what to do; empty when the broker takes messages as far as we know."""
        is_recent = self._text and self._monotonic() - self._at_s < FORGOTTEN_AFTER_S
        return (self._text,) if is_recent else ()

    @property
    def is_blocked(self) -> bool:
        """True during an alarm, when a connection that has published gets no answer to anything."""
        return self._is_alarm and bool(self.faults)

    def confirmed(self) -> None:
        """The broker has taken a message."""
        self._text = ""

    def blocked(self, reason: str) -> None:
        """The broker has an alarm and reads nothing from connections that publish."""
        self._remember(blocked_text(reason), is_alarm=True)

    def refused(self, error: BusUnavailable) -> None:
        """Remember what the broker said; a lost connection or a missed deadline is not a refusal."""
        if (text := refusal_text(error)) is not None:
            self._remember(text, is_alarm=False)

    def _remember(self, text: str, *, is_alarm: bool) -> None:
        self._text, self._at_s, self._is_alarm = text, self._monotonic(), is_alarm


def blocked_text(reason: str) -> str:
    """What an alarm means; `reason` is the broker's, such as: low on memory."""
    resource = next((name for name in ("memory", "disk") if name in reason), "")
    alarm = f"{resource} alarm".strip()
    remedy = f"Free {resource} on its machine" if resource else "Look at its alarms"
    return f"RabbitMQ accepts no messages: {alarm} ({reason}). {remedy} (rabbitmqctl list_alarms); {WAITS}"


def refusal_text(error: BusUnavailable) -> str | None:
    """What the broker said against a message and what to do; None when it said nothing."""
    cause = error.__cause__
    match cause:
        case ChannelAccessRefused():
            return f"RabbitMQ refused a message: {cause}. {PERMISSIONS}"
        case PublishError():
            return f"RabbitMQ returned a message: {error.detail}. {ROUTES}"
        case ChannelClosed():
            return f"RabbitMQ refused a message: {cause}. {ROUTES}"
        case DeliveryError():
            return (
                "RabbitMQ did not store a message: it answered with basic.nack. "
                f"Look for a length limit or a lost majority of its queue (rabbitmqctl list_queues); {WAITS}"
            )
    return None


def tell_when_blocked(connection: AbstractConnection, tell: Callable[[str], None]) -> None:
    """Call `tell` with the broker's reason as soon as it blocks this connection, which it does at a publish."""
    transport = connection.transport
    underlay = transport.connection if transport else None
    handle = getattr(underlay, BLOCKED_HANDLER, None)
    if handle is None:  # another version of the driver: then the publish only misses its deadline
        return

    async def tell_and_handle(frame: object) -> None:
        tell(str(getattr(frame, "reason", "")))
        await handle(frame)

    setattr(underlay, BLOCKED_HANDLER, tell_and_handle)
