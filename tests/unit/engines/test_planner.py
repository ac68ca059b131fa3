"""The best chain of steps and its options (behaviours M5, C12)."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converto_core.catalogue import Offer
from converto_core.conversion.record import Step
from converto_core.errors import BadOptions, UnsupportedConversion
from converto_core.formats import Family
from converto_engines import planner
from converto_engines.converter import offer_of
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox


def offer(name: str, sources: str, targets: str, **more: Any) -> Offer:
    values: dict[str, Any] = {"family": Family.IMAGE, "options_schema": {"type": "object", "properties": {}}, **more}
    return Offer(
        converter=name,
        engine=name,
        engine_version="1",
        sources=tuple(sources.split()),
        targets=tuple(targets.split()),
        **values,
    )


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


OFFICE = offer(
    "office",
    "pptx docx",
    "pdf",
    family=Family.OFFICE,
    seconds=3.0,
    options_schema=schema(pages={"type": "string"}, pdf_a={"type": "boolean"}),
)
PAGES = offer(
    "pages",
    "pdf",
    "png webp jpg",
    family=Family.PDF,
    is_paged=True,
    loss=0.3,
    options_schema=schema(dpi={"type": "integer", "minimum": 36}, pages={"type": "string", "pattern": "^[0-9,-]+$"}),
)
PICTURES = offer("pictures", "png jpg gif", "png jpg webp gif avif", seconds=0.5)
OFFERS = (OFFICE, PAGES, PICTURES)


def test_plan_chains_two_converters() -> None:
    """W2: a deck becomes page images via PDF."""
    steps = planner.plan("pptx", "png", OFFERS)

    assert steps == (Step("office", "pptx", "pdf"), Step("pages", "pdf", "png"))
    assert planner.family_of(steps, OFFERS) is Family.OFFICE


def test_paged_step_is_the_last_one() -> None:
    with pytest.raises(UnsupportedConversion):
        planner.plan("pptx", "avif", OFFERS)


def test_pictures_have_no_route_to_text_or_shapes() -> None:
    page = offer("page", "png", "pdf")
    words = offer("words", "pdf", "txt svg", family=Family.PDF)
    reading = offer("reading", "png", "txt")

    assert planner.targets_of("png", (page, words)) == ("pdf",)
    assert planner.targets_of("pdf", (page, words)) == ("svg", "txt")
    assert planner.plan("png", "txt", (page, words, reading)) == (Step("reading", "png", "txt"),)


def test_same_format_needs_a_single_step_offer() -> None:
    assert planner.plan("png", "png", OFFERS) == (Step("pictures", "png", "png"),)
    with pytest.raises(UnsupportedConversion):
        planner.plan("pdf", "pdf", OFFERS)


def test_plan_prefers_the_smaller_loss() -> None:
    quick = offer("quick", "docx", "pdf", loss=0.5, seconds=0.1)

    assert planner.plan("docx", "pdf", (quick, OFFICE))[0].converter == "office"


def test_direct_converter_beats_a_cheaper_chain() -> None:
    """Every video became a still picture, because one frame and then a picture cost less than the animation."""
    film = offer("film", "mp4", "gif", loss=0.8, seconds=10.0)
    frame = offer("frame", "mp4", "png", loss=0.5)

    assert planner.plan("mp4", "gif", (frame, film, PICTURES)) == (Step("film", "mp4", "gif"),)
    assert planner.plan("mp4", "jpg", (frame, film, PICTURES))[0].converter == "frame"


def test_no_shipped_plan_loses_more_than_a_direct_converter() -> None:
    shipped = [offer_of(converter) for converter in build_converters(Sandbox("off"))]
    plans = {(route.source, route.target): route.steps for route in planner.routes(shipped)}

    for one in shipped:
        for pair in itertools.product(one.sources, one.targets):
            assert len(plans[pair]) == 1, pair
            (chosen,) = (other for other in shipped if other.converter == plans[pair][0].converter)
            assert chosen.loss <= one.loss, pair


def test_unsupported_target_lists_possible_targets() -> None:
    """M5: an unsupported conversion names the supported targets."""
    with pytest.raises(
        UnsupportedConversion, match=r"pptx cannot be converted to mp3 here\. Possible: pdf, "
    ) as caught:
        planner.plan("pptx", "mp3", OFFERS)

    assert caught.value.http_status == 422
    assert planner.targets_of("pptx", OFFERS)[0] == "pdf"


def test_unknown_source_lists_readable_sources() -> None:
    with pytest.raises(UnsupportedConversion, match=r"cannot read mp3 files here\. It reads docx, gif, "):
        planner.plan("mp3", "wav", OFFERS)


def test_many_possible_targets_are_abbreviated() -> None:
    many = offer("many", "a", " ".join(f"t{number:02d}" for number in range(40)))

    with pytest.raises(UnsupportedConversion, match="and 25 more"):
        planner.plan("a", "zzz", (many,))


def test_plan_respects_the_maximum_length() -> None:
    chain = [offer(f"c{number}", f"f{number}", f"f{number + 1}") for number in range(4)]

    assert len(planner.plan("f0", "f3", chain)) == 3
    with pytest.raises(UnsupportedConversion):
        planner.plan("f0", "f4", chain)


def test_routes_list_each_pair_once_with_its_plan() -> None:
    routes = planner.routes(OFFERS)

    pairs = [(route.source, route.target) for route in routes]
    assert len(pairs) == len(set(pairs))
    assert ("pptx", "webp") in pairs
    assert all(planner.plan(route.source, route.target, OFFERS) == route.steps for route in routes)


def test_merged_schema_uses_the_last_definition() -> None:
    merged = planner.merged_schema(planner.plan("pptx", "png", OFFERS), OFFERS)

    assert set(merged["properties"]) == {"pages", "pdf_a", "dpi"}
    assert merged["properties"]["pages"]["pattern"] == "^[0-9,-]+$"
    assert merged["additionalProperties"] is False


def test_password_is_an_option_of_the_first_step_only() -> None:
    office = msgspec.structs.replace(OFFICE, password_sources=("docx",))
    offers = (office, msgspec.structs.replace(PAGES, password_sources=("pdf",)), PICTURES)

    def has_password(source: str, target: str) -> bool:
        return "password" in planner.merged_schema(planner.plan(source, target, offers), offers)["properties"]

    assert [has_password("docx", "png"), has_password("pdf", "png")] == [True, True]
    assert [has_password("pptx", "png"), has_password("png", "webp")] == [False, False]


def test_password_is_checked_by_its_presence() -> None:
    offers = (msgspec.structs.replace(OFFICE, password_sources=("docx",)),)

    planner.check_options({}, planner.plan("docx", "pdf", offers), offers, has_password=True)
    with pytest.raises(planner.InvalidOptions, match='no option "password"') as caught:
        planner.check_options({}, planner.plan("pptx", "pdf", offers), offers, has_password=True)
    assert caught.value.errors[0][0] == "/password"


def test_valid_options_pass() -> None:
    planner.check_options({"dpi": 96, "pages": "1-3", "pdf_a": True}, planner.plan("pptx", "png", OFFERS), OFFERS)


def test_every_invalid_option_is_reported_with_its_pointer() -> None:
    """C12: every invalid option is reported."""
    steps = planner.plan("pptx", "png", OFFERS)

    with pytest.raises(BadOptions) as caught:
        planner.check_options({"dpi": 10, "colour/s": 1, "pages": 7}, steps, OFFERS)

    assert isinstance(caught.value, planner.InvalidOptions)
    told = dict(caught.value.errors)
    assert set(told) == {"/dpi", "/colour~1s", "/pages"}
    assert told["/dpi"] == "dpi: 10 is less than the minimum of 36"
    assert told["/colour~1s"] == 'This conversion has no option "colour/s" (options: dpi, pages, pdf_a)'


def test_optional_number_out_of_range_names_the_range() -> None:
    """C12: an optional option is `anyOf` in its schema, which must not show in the message."""
    schema = {"properties": {"width": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 10}, {"type": "null"}]}}}
    offers = (msgspec.structs.replace(OFFERS[0], options_schema=schema),)
    steps = planner.plan(offers[0].sources[0], offers[0].targets[0], offers)

    with pytest.raises(BadOptions, match="width: 70 is greater than the maximum of 10"):
        planner.check_options({"width": 70}, steps, offers)
    with pytest.raises(BadOptions, match="width: 'wide' is not of type 'integer'"):
        planner.check_options({"width": "wide"}, steps, offers)


def test_shared_option_goes_to_the_later_step() -> None:
    """Pages of a deck are chosen once, from the whole PDF, and not again from the reduced one."""
    steps = planner.plan("pptx", "png", OFFERS)
    options = {"pages": "5-7", "pdf_a": True, "dpi": 96}

    assert planner.options_of_step(options, 0, steps, OFFERS) == {"pdf_a": True}
    assert planner.options_of_step(options, 1, steps, OFFERS) == {"pages": "5-7", "dpi": 96}


NAMES = ("a", "b", "c", "d", "e")
SOME_OFFERS = st.lists(
    st.builds(
        lambda sources, targets, loss, seconds, is_paged: (sources, targets, loss, seconds, is_paged),
        st.sets(st.sampled_from(NAMES), min_size=1, max_size=2),
        st.sets(st.sampled_from(NAMES), min_size=1, max_size=2),
        st.sampled_from((0.0, 0.1, 0.5)),
        st.sampled_from((1.0, 2.0, 20.0)),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(SOME_OFFERS)
def test_plan_is_direct_or_the_cheapest_for_arbitrary_offers(
    drawn: list[tuple[set[str], set[str], float, float, bool]],
) -> None:
    offers = [
        offer(
            f"o{number}",
            " ".join(sorted(sources)),
            " ".join(sorted(targets)),
            loss=loss,
            seconds=seconds,
            is_paged=paged,
        )
        for number, (sources, targets, loss, seconds, paged) in enumerate(drawn)
    ]
    found = {(route.source, route.target): route for route in planner.routes(offers)}

    best = _by_trying_all(offers)

    assert {pair: route.cost for pair, route in found.items()} == pytest.approx(best)
    for route in found.values():
        assert route.steps[0].source_format == route.source
        assert route.steps[-1].target_format == route.target
        assert all(one.target_format == two.source_format for one, two in itertools.pairwise(route.steps))


def _by_trying_all(offers: list[Offer]) -> dict[tuple[str, str], float]:
    """The cost of the best plan of each pair."""
    edges = [(one, source, target) for one in offers for source in one.sources for target in one.targets]
    best: dict[tuple[str, str], tuple[bool, float]] = {}
    for length in (1, 2, 3):
        for chain in itertools.product(edges, repeat=length):
            formats = [chain[0][1], *(edge[2] for edge in chain)]
            is_linked = all(one[2] == two[1] for one, two in itertools.pairwise(chain))
            is_simple = length == 1 or len(set(formats)) == len(formats)
            if is_linked and is_simple and not any(edge[0].is_paged for edge in chain[:-1]):
                pair = (formats[0], formats[-1])
                rank = length > 1, sum(edge[0].loss * planner.LOSS_COST_S + edge[0].seconds for edge in chain)
                best[pair] = min(rank, best.get(pair, rank))
    return {pair: cost for pair, (_, cost) in best.items()}
