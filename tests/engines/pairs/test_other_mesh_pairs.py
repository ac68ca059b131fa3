"""Each mesh of an exchange format to each of its targets by its default plan, read back by other programs."""

from tests.engines.pairs.conversions import Conversions
from tests.engines.pairs.pair import Pair
from tests.engines.pairs.sources.models import OTHER_MESHES

SAMPLES = OTHER_MESHES


async def test_result_holds_what_the_source_holds(conversions: Conversions, pair: Pair) -> None:
    assert await conversions.faults(pair) == []
