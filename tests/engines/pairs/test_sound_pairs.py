"""Each sound to each of its targets by its default plan, read back by other programs."""

from tests.engines.pairs.conversions import Conversions
from tests.engines.pairs.pair import Pair
from tests.engines.pairs.sources.media import SOUNDS

SAMPLES = SOUNDS


async def test_result_holds_what_the_source_holds(conversions: Conversions, pair: Pair) -> None:
    assert await conversions.faults(pair) == []
