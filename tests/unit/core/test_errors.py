"""The tree of errors: stable codes, HTTP statuses, and a drawing that is complete."""

import re
from collections.abc import Iterator

import converto_core.errors
from converto_core.errors import BadSource, ConvertoError, DependencyUnavailable, EngineError, Overloaded, SourceGone


def tree(root: type[ConvertoError] = ConvertoError) -> Iterator[type[ConvertoError]]:
    """All errors of the core's tree."""
    for child in root.__subclasses__():
        if child.__module__ == converto_core.errors.__name__:
            yield child
            yield from tree(child)


def test_drawn_tree_names_every_class() -> None:
    drawn = set(re.findall(r"[A-Z][A-Za-z]+", converto_core.errors.__doc__ or ""))

    assert {error.__name__ for error in tree()} <= drawn


def test_codes_are_unique_words() -> None:
    codes = [error.code for error in tree()]

    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_only_outages_and_overload_are_503_and_retryable() -> None:
    for error in tree():
        if issubclass(error, DependencyUnavailable | Overloaded):
            assert (error.http_status, error.retryable) == (503, True)
        else:
            assert error.http_status != 503


def test_error_shows_public_text_and_hides_detail() -> None:
    error = SourceGone(detail="t/ann/in/1/1/source")

    assert str(error) == error.public_message == SourceGone.title
    assert "t/ann" not in str(error)
    assert error.detail == "t/ann/in/1/1/source"


def test_error_accepts_a_narrower_code_and_message() -> None:
    error = BadSource("Page 3 is damaged", code="source_corrupt")

    assert (str(error), error.stable_code, error.code) == ("Page 3 is damaged", "source_corrupt", "source_invalid")


def test_bad_sources_are_not_retryable_but_engine_errors_are() -> None:
    assert not any(error.retryable for error in tree(BadSource))
    assert EngineError.retryable
