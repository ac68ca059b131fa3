"""Keys in the object store, built and parsed: whose an object is, and which record it belongs to."""

import re

import msgspec

from converto_core.conversion.record import Conversion

TENANTS = "t/"
"""Everything that belongs to users lies below this; housekeeping touches nothing else in the bucket."""

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OUTPUT = re.compile(rf"t/(?P<owner>.+)/out/(?P<id>{_ID})/(?P<token>\d{{1,9}})/[^/]+")
_SOURCE = re.compile(rf"t/(?P<owner>.+)/in/(?P<id>{_ID})/(?P<version>\d{{1,9}})/source")


class OutputKey(msgspec.Struct, frozen=True, kw_only=True):
    """Where a result lies: under its conversion and the fencing token of the worker that made it."""

    owner: str
    conversion_id: str
    token: int


class SourceKey(msgspec.Struct, frozen=True, kw_only=True):
    """Where a source lies: under its file and version."""

    owner: str
    file_id: str
    version: int


def output_key(conversion: Conversion, name: str) -> str:
    """Object key of a result. It holds the token: what a fenced worker uploads is never taken for the result."""
    return f"t/{conversion.owner}/out/{conversion.id}/{conversion.token}/{name}"


def source_key(owner: str, file_id: str, version: int) -> str:
    """Object key of a source; it holds no text that a user chose."""
    return f"t/{owner}/in/{file_id}/{version}/source"


def parse_key(key: str) -> OutputKey | SourceKey | None:
    """What `output_key` and `source_key` put into a key; None for any other key, which is not ours to judge."""
    if found := _OUTPUT.fullmatch(key):
        return OutputKey(owner=found["owner"], conversion_id=found["id"], token=int(found["token"]))
    if found := _SOURCE.fullmatch(key):
        return SourceKey(owner=found["owner"], file_id=found["id"], version=int(found["version"]))
    return None
