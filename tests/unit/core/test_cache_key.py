"""The cache key: everything that affects a result changes it, and nothing else does; and copies of outputs."""

from typing import Any

import msgspec
import pytest

from converto_core.catalogue import Offer
from converto_core.conversion.cache_key import CacheEntry, cache_key, copied_outputs, has_result
from converto_core.conversion.record import Status, Step
from converto_core.formats import Family
from converto_core.object_keys import OutputKey, parse_key
from tests.contract.samples import NOW_MS, OUTPUT, a_conversion, a_pending_conversion, a_running_conversion

CONTENT = "a" * 64


def an_offer(name: str, version: str = "1", engine: str = "soffice") -> Offer:
    return Offer(
        converter=name,
        engine=engine,
        engine_version=version,
        family=Family.OFFICE,
        sources=("pptx",),
        targets=("pdf",),
        options_schema={},
    )


OFFERS = (an_offer("libreoffice"), an_offer("pdfium"))


def key_of(contents: tuple[str, ...] = (CONTENT,), offers: tuple[Offer, ...] = OFFERS, **fields: Any) -> str | None:
    start = {"options": {"quality": 82, "pages": "1-3"}}
    return cache_key(a_pending_conversion(**{**start, **fields}), contents=contents, offers=offers)


def test_key_ignores_names_ids_and_times() -> None:
    """I8: also across files."""
    later = key_of(id="x", file_id="y", filename="other.pptx", client_id="foyer", created_at=NOW_MS + 1, token=3)

    assert later == key_of()
    assert later is not None and len(later) == 64


def test_key_depends_on_the_name_where_results_contain_it() -> None:
    titled = (msgspec.structs.replace(OFFERS[0], titled_sources=("pptx",)), OFFERS[1])
    other_format = (msgspec.structs.replace(OFFERS[0], titled_sources=("csv",)), OFFERS[1])

    assert key_of(offers=titled, filename="other.pptx") != key_of(offers=titled, filename="one.pptx")
    assert key_of(offers=titled, filename="one.pptx") == key_of(offers=titled, filename="folder/one.pptx")
    assert key_of(offers=other_format, filename="other.pptx") == key_of(offers=other_format, filename="one.pptx")


def test_key_ignores_the_order_of_options() -> None:
    assert key_of(options={"pages": "1-3", "quality": 82}) == key_of(options={"quality": 82, "pages": "1-3"})


@pytest.mark.parametrize(
    "fields",
    [
        {"contents": ("b" * 64,)},
        {"contents": (CONTENT, "b" * 64)},
        {"owner": "bob"},
        {"target_format": "png"},
        {"source_format": "ppt"},
        {"options": {"quality": 83, "pages": "1-3"}},
        {"options": {"quality": 82}},
        {"plan": (Step("libreoffice", "pptx", "pdf"),)},
        {"offers": (an_offer("libreoffice", "2"), an_offer("pdfium"))},
        {"offers": (an_offer("libreoffice"), an_offer("pdfium", "2"))},
        {"offers": (an_offer("libreoffice", engine="other"), an_offer("pdfium"))},
    ],
    ids=str,
)
def test_key_depends_on_all_that_affects_the_result(fields: dict[str, Any]) -> None:
    """I8: content, target, options, engine version, owner."""
    assert key_of(**fields) != key_of()


def test_unknown_engine_version_makes_no_key() -> None:
    """I8: else results of two versions would have the same key."""
    assert key_of(offers=(an_offer("libreoffice", ""), an_offer("pdfium"))) is None
    assert key_of(offers=(an_offer("libreoffice"), an_offer("pdfium", ""))) is None


def test_key_depends_on_the_order_of_appended_files() -> None:
    assert key_of(("a", "b", "c")) != key_of(("a", "c", "b"))


def test_key_for_all_owners_ignores_the_owner() -> None:
    ann, bob = a_pending_conversion(), a_pending_conversion(owner="bob")

    keys = {cache_key(one, contents=(CONTENT,), offers=OFFERS, is_for_all_owners=True) for one in (ann, bob)}

    assert len(keys) == 1
    assert keys.isdisjoint({key_of()})


@pytest.mark.parametrize("fields", [{"plan": ()}, {"offers": (an_offer("libreoffice"),)}], ids=str)
def test_key_is_none_without_plan_or_engine(fields: dict[str, Any]) -> None:
    assert key_of(**fields) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"status": Status.COMPLETED, "outputs": (OUTPUT,)}, True),
        ({"status": Status.COMPLETED, "outputs": ()}, False),
        ({"status": Status.COMPLETED, "outputs": (OUTPUT,), "token": 2}, False),
        ({"status": Status.EXPIRED, "outputs": ()}, False),
        ({"outputs": (OUTPUT,)}, False),
    ],
    ids=str,
)
def test_only_a_completed_conversion_with_that_token_has_a_result(fields: dict[str, Any], expected: bool) -> None:
    maker = a_running_conversion(**fields)
    entry = CacheEntry(id="k", conversion_id=maker.id, token=1, owner="ann", created_at=NOW_MS)

    assert has_result(entry, maker) is expected
    assert not has_result(entry, None)


def test_copied_outputs_get_own_keys_and_names() -> None:
    """I8: the copy is named after its own source, and no key is ever used twice."""
    pages = [msgspec.structs.replace(OUTPUT, key=f"t/bob/out/9/1/page-{n:05d}.png", page=n) for n in range(1, 13)]
    own = a_conversion(filename="Plan B.pptx", target_format="png", token=4)

    first, again = copied_outputs(own, pages), copied_outputs(own, pages)

    assert [output.filename for output in first][:2] == ["Plan B-01.png", "Plan B-02.png"]
    assert [output.page for output in first] == list(range(1, 13))
    assert {(output.sha256, output.size_bytes) for output in first} == {(OUTPUT.sha256, OUTPUT.size_bytes)}
    assert all(output.key.startswith(f"t/ann/out/{own.id}/4/") for output in first)
    assert all(output.key.endswith(f"-page-{output.page:05d}.png") for output in first)
    assert len({output.key for output in (*first, *again)}) == 24


def test_key_of_a_copied_output_names_owner_and_token() -> None:
    """I10: otherwise housekeeping would keep an orphaned copy forever, and delete one that is in use."""
    own = a_conversion(token=4)

    (copied,) = copied_outputs(own, [OUTPUT])

    assert parse_key(copied.key) == OutputKey(owner="ann", conversion_id=own.id, token=4)
