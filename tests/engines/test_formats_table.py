"""The README's table of formats matches the converters of this machine."""

from deploy.local.formats_table import BEGIN, END, README, installed_offers, table, with_table


async def test_table_of_the_readme_is_current() -> None:
    text = README.read_text(encoding="utf-8")

    assert with_table(text, table(await installed_offers())) == text, "run: make readme"
    assert text.count(BEGIN) == text.count(END) == 1
