"""An unreadable message: an administrator finds, reads and drops it while other work continues.

Proves C4, and promise 3 of the design for a poisoned queue.
"""

import json
from pathlib import Path
from typing import Any

import aio_pika
import httpx2

from converto_core.events import EVENTS_EXCHANGE
from tests.conftest import run_apart
from tests.e2e.command_line import converto
from tests.e2e.plain_http import finish, start, wait_until

UNREADABLE = "not a message, \u00fcberhaupt"


def publish_unreadable(stack: Any) -> None:
    async def publish() -> None:
        url = stack.environment["CONVERTO_RABBITMQ_URL"]
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
            await exchange.publish(aio_pika.Message(UNREADABLE.encode()), "conversion_created.normal.office")

    run_apart(publish)


def listed(stack: Any, folder: Path) -> list[dict[str, Any]] | None:
    """Return the messages that the command line lists; None while there are none."""
    done = converto(stack, "admin", "parked", "list", "--reason", "unreadable", "--json", cwd=folder)
    return json.loads(done.stdout)["messages"] or None


def test_unreadable_message_can_be_listed_read_and_dropped(stack: Any, http: httpx2.Client, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("other work continues")
    publish_unreadable(stack)
    conversion = start(http, note, "pdf")

    (message,) = wait_until(lambda: listed(stack, tmp_path), within_s=30)
    shown = converto(stack, "admin", "parked", "show", message["id"], cwd=tmp_path).stdout
    refused = converto(stack, "admin", "parked", "requeue", message["id"], cwd=tmp_path, check=1)
    converto(stack, "admin", "parked", "drop", message["id"], cwd=tmp_path)

    assert message["queue"] == "conversions.office.normal"
    assert "unreadable: The message cannot be read: not an event" in shown
    assert UNREADABLE in shown
    assert "Drop it" in refused.stderr
    assert listed(stack, tmp_path) is None
    ended = finish(http, conversion["id"])
    assert (ended["status"], ended["attempts_lost"], ended["attempt"]) == ("completed", 0, 1)
