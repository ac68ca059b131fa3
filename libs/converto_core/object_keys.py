"""Builds and parses object keys, which name the owner of an object and the record it belongs to."""

import re

import msgspec

from converto_core.conversion.record import Conversion

TENANTS = "t/"
"""Prefix of everything that belongs to users; housekeeping touches nothing else in the bucket."""

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OUTPUT = re.compile(rf"t/(?P<owner>.+)/out/(?P<id>{_ID})/(?P<token>\d{{1,9}})/[^/]+")
_SOURCE = re.compile(rf"t/(?P<owner>.+)/in/(?P<id>{_ID})/(?P<version>\d{{1,9}})/source")


class OutputKey(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an output's key; `token` is the fencing token of the worker that made it."""

    owner: str
    conversion_id: str
    token: int


class SourceKey(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a source's key."""

    owner: str
    file_id: str
    version: int


def output_key(conversion: Conversion, name: str) -> str:
    """Object key of an output. It contains the token, so an upload of a fenced-out worker never becomes the result."""
    return f"t/{conversion.owner}/out/{conversion.id}/{conversion.token}/{name}"


def outputs_prefix(conversion: Conversion) -> str:
    """Return the prefix of everything that was uploaded for a conversion, under whatever token."""
    return f"t/{conversion.owner}/out/{conversion.id}/"


def source_key(owner: str, file_id: str, version: int) -> str:
    """Object key of a source. It contains no text that a user chose."""
    return f"t/{owner}/in/{file_id}/{version}/source"


def parse_key(key: str) -> OutputKey | SourceKey | None:
    """The parts of a key made by `output_key` or `source_key`; None for any other key, which is not ours."""
    if found := _OUTPUT.fullmatch(key):
        return OutputKey(owner=found["owner"], conversion_id=found["id"], token=int(found["token"]))
    if found := _SOURCE.fullmatch(key):
        return SourceKey(owner=found["owner"], file_id=found["id"], version=int(found["version"]))
    return None
