"""The one table of formats: unambiguous, and found by whatever people call a format."""

import pytest

from converto_core.formats import BY_NAME, FORMATS, extension_of, format_named, format_of_mime_type, format_of_name


def test_table_when_read_then_no_name_extension_or_type_stands_twice() -> None:
    names = [entry.name for entry in FORMATS]
    extensions = [extension for entry in FORMATS for extension in entry.extensions]
    types = [mime_type for entry in FORMATS for mime_type in (entry.mime_type, *entry.other_mime_types)]

    for values in (names, extensions, types):
        assert len(values) == len(set(values))


def test_table_when_read_then_each_format_has_its_own_name_as_an_extension_or_a_sibling() -> None:
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
def test_extension_when_taken_from_a_name_then_lower_case_without_dot(filename: str, extension: str) -> None:
    assert extension_of(filename) == extension


@pytest.mark.parametrize(
    ("called", "name"), [("pdf", "pdf"), (".PDF", "pdf"), ("jpeg", "jpg"), (" tif ", "tiff"), ("stp", "step")]
)
def test_format_when_called_by_an_everyday_name_then_found(called: str, name: str) -> None:
    assert format_named(called) is BY_NAME[name]


@pytest.mark.parametrize("called", ["", ".", "exe", "pdfx"])
def test_format_when_unknown_then_none(called: str) -> None:
    assert format_named(called) is None


def test_format_when_named_by_file_or_mime_type_then_found() -> None:
    assert format_of_name("Holiday.JPEG") is BY_NAME["jpg"]
    assert format_of_name("what") is None
    assert format_of_mime_type("Text/Plain; charset=utf-8") is BY_NAME["txt"]
    assert format_of_mime_type("application/octet-stream") is None
