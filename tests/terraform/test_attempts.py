"""A repeated request gets its first answer, so that a lost answer does not look like a name that is taken."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from werkzeug.test import Client

from tests.terraform.aws_double.attempts import Attempts

INVOCATION = "amz-sdk-invocation-id"


@pytest.fixture
def client() -> Client:
    """Calls an application that fails once for `/failing` and numbers its other answers."""
    calls: list[str] = []

    def count(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = str(environ["PATH_INFO"])
        is_failing = path == "/failing" and path not in calls
        calls.append(path)
        start_response("500 ERROR" if is_failing else "200 OK", [])
        return [str(len(calls)).encode()]

    return Client(Attempts(count))


def test_second_attempt_gets_the_first_answer(client: Client) -> None:
    answers = [client.post("/", headers={INVOCATION: "one"}).text for _ in range(2)]

    assert answers == ["1", "1"]


def test_another_call_is_made(client: Client) -> None:
    answers = [client.post("/", headers={INVOCATION: name}).text for name in ("one", "two")]

    assert answers == ["1", "2"]
    assert [client.get("/").text for _ in range(2)] == ["3", "4"]


def test_failed_call_is_tried_again(client: Client) -> None:
    statuses = [client.post("/failing", headers={INVOCATION: "one"}).status_code for _ in range(2)]

    assert statuses == [500, 200]
