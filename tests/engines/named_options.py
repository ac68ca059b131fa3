"""Finds the options that a text for users names, so that none names an option that does not exist."""

import re

import msgspec

from converto_engines.converter import Converter

_NAMED = re.compile(r"\boptions? [`\"']?([a-z]+(?:_[a-z]+)*)|`([a-z]+(?:_[a-z]+)*)`|\b[Ss]et ([a-z]+(?:_[a-z]+)+)")


def unknown_options(text: str, converter: Converter) -> set[str]:
    """Return the options that a text names and the converter does not have."""
    named = {name for found in _NAMED.findall(text) for name in found if name}
    return named - {field.encode_name for field in msgspec.structs.fields(converter.options)}
