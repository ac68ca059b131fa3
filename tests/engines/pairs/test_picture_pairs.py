"""Each picture with transparency to each of its targets by its default plan, read back by other programs."""

from tests.engines.pairs.conversions import Conversions
from tests.engines.pairs.pair import Pair
from tests.engines.pairs.sources.pictures import PICTURES

SAMPLES = PICTURES


async def test_result_holds_what_the_source_holds(conversions: Conversions, pair: Pair) -> None:
    assert await conversions.faults(pair) == []
