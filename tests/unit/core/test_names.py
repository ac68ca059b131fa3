"""Names of objects and outputs."""

import msgspec
import pytest

from converto_core.conversion.record import readable_name, title_of
from converto_core.object_keys import output_key
from tests.contract.samples import a_running_conversion


def test_output_key_differs_by_token() -> None:
    running = a_running_conversion()
    later = msgspec.structs.replace(running, token=2)

    assert output_key(running, "a.pdf") != output_key(later, "a.pdf")
    assert output_key(running, "a.pdf").startswith("t/ann/out/")


@pytest.mark.parametrize(
    ("filename", "page", "pages", "expected"),
    [
        ("deck.pptx", None, None, "deck.pdf"),
        ("deck.v2.pptx", None, None, "deck.v2.pdf"),
        ("README", None, None, "README.pdf"),
        ("", None, None, "converted.pdf"),
        ("deck.pptx", 7, 120, "deck-007.pdf"),
        ("deck.pptx", 3, None, "deck-3.pdf"),
    ],
)
def test_readable_name_sorts_and_keeps_the_stem(
    filename: str, page: int | None, pages: int | None, expected: str
) -> None:
    assert readable_name(filename, "pdf", page, pages) == expected


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("Preise 2024.csv", "Preise 2024"),
        ("deck.v2.pptx", "deck.v2"),
        ("README", "README"),
        (".csv", ".csv"),
        ("", ""),
        ("C:\\new\\a  b\x07\n.csv", "a b"),
        ("x" * 300 + ".csv", "x" * 120),
    ],
)
def test_title_is_one_short_printable_line(filename: str, expected: str) -> None:
    assert title_of(filename) == expected
