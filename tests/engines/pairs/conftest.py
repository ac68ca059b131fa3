"""Fixtures of the pair tests: all converters, and one test for each pair of a module's `SAMPLES` with its targets."""

from collections.abc import AsyncIterator

import pytest

from converto_engines import planner
from converto_engines.converter import offer_of, offers_of
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox
from tests.engines.pairs.conversions import Conversions
from tests.engines.pairs.expectations import KNOWN_WRONG
from tests.engines.pairs.pair import Pair


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each pair that the converters declare; which of them are installed is known only later."""
    if "pair" not in metafunc.fixturenames:
        return
    offers = [offer_of(converter) for converter in build_converters(Sandbox("off"))]
    pairs = [
        Pair(sample, target)
        for sample in metafunc.module.SAMPLES
        for target in sorted(planner.targets_of(sample.format, offers))
    ]
    metafunc.parametrize("pair", [pytest.param(pair, id=str(pair), marks=_marks(pair)) for pair in pairs])


def _marks(pair: Pair) -> list[pytest.MarkDecorator]:
    reason = KNOWN_WRONG.get(str(pair))
    return [pytest.mark.xfail(strict=True, reason=reason)] if reason else []


@pytest.fixture(scope="session")
async def conversions(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Conversions]:
    """The conversions of this process, by the converters that are installed."""
    converters = build_converters(sandbox)
    yield Conversions(converters, await offers_of(converters), tmp_path_factory.mktemp("pairs"))
    for converter in converters:
        await converter.aclose()
