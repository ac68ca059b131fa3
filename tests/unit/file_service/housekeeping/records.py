"""Records for housekeeping tests, in memory and on real servers."""

from typing import Any

import msgspec

from converto_core.conversion.record import Conversion, Output, Status, Step
from converto_core.files.record import File, FileStatus
from converto_core.formats import Family
from converto_core.ids import new_id
from converto_core.object_keys import source_key

OWNER = "anna"


def a_conversion(status: Status, *, now_ms: int, **fields: Any) -> Conversion:
    """A conversion of this status, created and changed at `now_ms`."""
    record = Conversion(
        id=new_id(),
        owner=OWNER,
        file_id=new_id(),
        target_format="pdf",
        source_format="txt",
        plan=(Step("fake", "txt", "pdf"),),
        family=Family.OFFICE,
        status=status,
        created_at=now_ms,
        updated_at=now_ms,
    )
    return msgspec.structs.replace(record, **fields)


def a_file(status: FileStatus, *, now_ms: int, **fields: Any) -> File:
    """A file of this status, created and changed at `now_ms`."""
    file_id = new_id()
    file = File(
        id=file_id,
        owner=OWNER,
        filename="a.txt",
        extension="txt",
        size_bytes=3,
        key=source_key(OWNER, file_id, 1),
        status=status,
        created_at=now_ms,
        updated_at=now_ms,
    )
    return msgspec.structs.replace(file, **fields)


def an_output(key: str) -> Output:
    """An output of six bytes under this key."""
    return Output(
        key=key, filename="a.pdf", content_type="application/pdf", size_bytes=6, sha256="0" * 64, sha512="0" * 128
    )
