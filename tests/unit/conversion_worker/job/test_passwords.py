"""The worker opens the sealed password for the first step and shows it nowhere."""

from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic import SecretStr
from structlog.typing import EventDict

from converto_core.conversion.record import Conversion, Status, Step
from converto_core.ids import new_id
from converto_core.secret import Secret
from converto_infra.sealing.seals import Seals
from tests.unit.conversion_worker.fakes import FakeConverter, make_upper_case
from tests.unit.conversion_worker.harness import SETTINGS, Harness

WORD = "Sesam-oeffne-dich-4711"
KEY = "5e" * 32


def sealed(key: str = KEY) -> dict[str, Any]:
    """The fields of a new record with a sealed password."""
    record_id = new_id()
    password = Seals([bytes.fromhex(key)]).seal(Secret(WORD), record_id=record_id)
    return {"id": record_id, "has_password": True, "sealed_password": password}


def passwords(*converters: FakeConverter) -> list[str | None]:
    return [job.password.reveal() if job.password else None for converter in converters for job in converter.jobs]


def texts(logs: Sequence[EventDict]) -> str:
    return repr(logs)


async def test_first_step_gets_the_password_apart_from_options(harness: Harness, logs: list[EventDict]) -> None:
    harness.settings = SETTINGS.model_copy(update={"sealing_key": SecretStr(KEY)})
    first = FakeConverter(make_upper_case)
    second = FakeConverter(make_upper_case, name="second", source="pdf", target="png")
    plan = (Step("fake", "txt", "pdf"), Step("second", "pdf", "png"))
    record = await harness.request(plan=plan, options={"times": 2}, **sealed())
    await harness.start_slot(first, second)

    done = await harness.wait_for(record, Status.COMPLETED)

    assert passwords(first, second) == [WORD, None]
    assert WORD not in repr(first.jobs) + texts(logs) + repr(harness.events)
    assert "password" not in msgspec.to_builtins(first.jobs[0].options)
    assert (done.sealed_password, done.cache_key) == (None, None)


async def test_password_of_another_key_is_told_and_tried_again(harness: Harness) -> None:
    harness.settings = SETTINGS.model_copy(update={"sealing_key": SecretStr(KEY), "retry_base_s": 0.0})
    record = await harness.request(**sealed("77" * 32))
    await harness.start_slot()

    waiting: Conversion = await harness.wait_for(record, Status.PENDING)

    assert waiting.errors[0].code == "password_unreadable"
    assert waiting.sealed_password is not None
    assert harness.converter.jobs == []


async def test_last_failure_removes_the_password(harness: Harness) -> None:
    harness.settings = SETTINGS.model_copy(update={"max_attempts": 1})
    record = await harness.request(**sealed())
    await harness.start_slot()

    failed = await harness.wait_for(record, Status.FAILED)

    assert (failed.error_code, failed.sealed_password) == ("password_unreadable", None)
    assert "CONVERTO_SEALING_KEY" in (failed.error_message or "")
