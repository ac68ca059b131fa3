"""The README's table of formats and the page about losses match the converters of this machine."""

from deploy.local.formats_page import KEPT, PAGE, page
from deploy.local.formats_table import BEGIN, END, README, installed_offers, table, with_table


async def test_table_of_the_readme_is_current() -> None:
    text = README.read_text(encoding="utf-8")

    assert with_table(text, table(await installed_offers())) == text, "run: make readme"
    assert text.count(BEGIN) == text.count(END) == 1


async def test_page_of_what_is_kept_and_lost_is_current() -> None:
    assert page(await installed_offers()) == PAGE.read_text(encoding="utf-8"), "run: make readme"


async def test_page_says_what_each_converter_keeps() -> None:
    assert set(KEPT) == {offer.converter for offer in await installed_offers()}
