"""Which class of the client's errors an answer becomes: callers match by class, so no code may fall through."""

import msgspec
import pytest

from converto_client.errors import Conflict, DependencyUnavailable, Gone, NotFound, ProblemError, problem_error
from converto_core import errors as core
from file_service.conversions.offers import NoWorker


def answered(status: int, code: str) -> ProblemError:
    return problem_error(status, msgspec.json.encode({"title": "t", "detail": "d", "code": code}))


@pytest.mark.parametrize("error", [*core.DependencyUnavailable.__subclasses__(), NoWorker])
def test_every_outage_is_one_class(error: type[core.DependencyUnavailable]) -> None:
    """An upload waits for half a minute when it meets this class."""
    assert type(answered(503, error.code)) is DependencyUnavailable


@pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (409, Conflict), (410, Gone)])
def test_newer_code_becomes_the_class_of_its_status(status: int, kind: type[ProblemError]) -> None:
    assert type(answered(status, "newer_than_this_client")) is kind
