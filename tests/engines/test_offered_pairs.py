"""No pair of formats is offered without a check of its result, and no loss is declared that concerns nobody."""

from collections.abc import Iterator

from converto_core.catalogue import Offer
from converto_engines import planner
from deploy.local.formats_table import installed_offers
from tests.engines.pairs.expectations import KNOWN_WRONG, expectation
from tests.engines.pairs.pair import Fault, Pair, Sample
from tests.engines.pairs.sources import documents, media, models, pictures, slides, tables

SAMPLES: tuple[Sample, ...] = (
    *documents.REWRITABLE,
    *documents.PAGES,
    *slides.SLIDES,
    *tables.TABLES,
    *pictures.PICTURES,
    *pictures.OTHER_PICTURES,
    *media.FILMS,
    *media.SOUNDS,
    *models.MESHES,
    *models.OTHER_MESHES,
    *models.EXACT,
)


def unchecked(offers: tuple[Offer, ...]) -> Iterator[str]:
    samples = {
        name: [sample for sample in SAMPLES if sample.format == name] for offer in offers for name in offer.sources
    }
    for route in planner.routes(offers):
        if not samples[route.source]:
            yield f"{route.source} has no sample"
        for sample in samples[route.source]:
            try:
                expectation(Pair(sample, route.target))
            except Fault as fault:
                yield str(fault)


async def test_every_offered_pair_has_a_sample_and_a_check() -> None:
    assert sorted(set(unchecked(await installed_offers()))) == []


async def test_pairs_known_to_be_wrong_are_still_offered() -> None:
    offers = await installed_offers()
    offered = {str(Pair(sample, target)) for sample in SAMPLES for target in planner.targets_of(sample.format, offers)}

    assert set(KNOWN_WRONG) - offered == set()


async def test_every_loss_concerns_an_offered_route() -> None:
    """A loss of a converter that no plan takes for such a pair is a line that no user can meet."""
    offers = await installed_offers()
    used = {
        (step.converter, step.source_format, step.target_format) for r in planner.routes(offers) for step in r.steps
    }
    idle = [
        f"{offer.converter}: {loss.text}"
        for offer in offers
        for loss in offer.losses
        if not any(name == offer.converter and loss.concerns(source, target) for name, source, target in used)
    ]

    assert idle == []


async def test_losses_name_only_formats_of_their_converter() -> None:
    strange = [
        f"{offer.converter}: {loss.text}: {name}"
        for offer in await installed_offers()
        for loss in offer.losses
        for name in {*loss.sources} - {*offer.sources} | {*loss.targets} - {*offer.targets}
    ]

    assert strange == []
