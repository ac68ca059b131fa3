"""The table of formats: unambiguous, and found by everyday names."""

import pytest

from converto_core.formats import BY_NAME, FORMATS, extension_of, format_named, format_of_mime_type, format_of_name


def test_names_extensions_and_types_are_unique() -> None:
    names = [entry.name for entry in FORMATS]
    extensions = [extension for entry in FORMATS for extension in entry.extensions]
    types = [mime_type for entry in FORMATS for mime_type in (entry.mime_type, *entry.other_mime_types)]

    for values in (names, extensions, types):
        assert len(values) == len(set(values))


def test_each_format_has_extensions_and_is_found_by_name() -> None:
    for entry in FORMATS:
        assert entry.extensions, entry.name
        assert format_named(entry.name) is entry


@pytest.mark.parametrize(
    ("filename", "extension"),
    [
        ("deck.pptx", "pptx"),
        ("DECK.PPTX", "pptx"),
        ("a.b.c.PdF", "pdf"),
        ("noextension", ""),
        (".bashrc", ""),
        ("trailing.", ""),
        ("", ""),
    ],
)
def test_extension_is_lower_case_without_dot(filename: str, extension: str) -> None:
    assert extension_of(filename) == extension


@pytest.mark.parametrize(
    ("query", "name"), [("pdf", "pdf"), (".PDF", "pdf"), ("jpeg", "jpg"), (" tif ", "tiff"), ("stp", "step")]
)
def test_format_is_found_by_everyday_names(query: str, name: str) -> None:
    assert format_named(query) is BY_NAME[name]


@pytest.mark.parametrize("query", ["", ".", "exe", "pdfx"])
def test_unknown_format_is_none(query: str) -> None:
    assert format_named(query) is None


def test_format_is_found_by_file_name_and_mime_type() -> None:
    assert format_of_name("Holiday.JPEG") is BY_NAME["jpg"]
    assert format_of_name("what") is None
    assert format_of_mime_type("Text/Plain; charset=utf-8") is BY_NAME["txt"]
    assert format_of_mime_type("application/octet-stream") is None
