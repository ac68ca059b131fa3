"""Whether the bytes of an output in the object store are still those that were recorded, and copies that are proven.

An ETag that equals the recorded one proves the content, because a store gives other bytes another ETag. Where that is
not to be had, only reading and hashing the object does.
"""

from enum import StrEnum

import msgspec

from converto_core.conversion.record import Output
from converto_core.errors import ObjectStoreUnavailable, ResultLost, SourceGone
from converto_core.ports.objects import ObjectInfo, ObjectStore


class Verdict(StrEnum):
    """What the metadata of an object says about an output; `UNPROVEN` needs its content."""

    INTACT = "intact"
    MISSING = "missing"
    DAMAGED = "damaged"
    UNPROVEN = "unproven"


def judge(output: Output, found: ObjectInfo | None) -> Verdict:
    """Compare the metadata of the stored object with the record of the output."""
    if found is None:
        return Verdict.MISSING
    if found.size_bytes != output.size_bytes:
        return Verdict.DAMAGED
    if found.sha256 is not None:
        return Verdict.INTACT if found.sha256 == output.sha256 else Verdict.DAMAGED
    is_same = output.etag is not None and output.etag == found.entity_tag
    # Another ETag proves nothing: it also changes when a bucket is restored or moved.
    return Verdict.INTACT if is_same else Verdict.UNPROVEN


async def judge_content(objects: ObjectStore, output: Output) -> Verdict:
    """Read the object and compare its hash with the recorded one; raises `ObjectStoreUnavailable`."""
    try:
        digest = await objects.hash(output.key, size_bytes=output.size_bytes)
    except SourceGone:
        return Verdict.MISSING
    return Verdict.INTACT if digest.sha256 == output.sha256 else Verdict.DAMAGED


async def copy_output(objects: ObjectStore, source: Output, target: Output) -> Output:
    """Copy one output inside the object store, prove that the copy is right, and return it with its ETag.

    Raises `ResultLost` when the source is missing or damaged, and `ObjectStoreUnavailable`.
    """
    verdict = judge(source, await objects.head(source.key))
    if verdict in (Verdict.MISSING, Verdict.DAMAGED):
        raise ResultLost(detail=f"{source.key} is {verdict}")
    try:
        copied = await objects.copy(
            source.key,
            target.key,
            size_bytes=target.size_bytes,
            content_type=target.content_type,
            filename=target.filename,
        )
    except SourceGone as error:
        raise ResultLost(detail=f"{source.key} went missing during its copy") from error
    target = msgspec.structs.replace(target, etag=copied.entity_tag)
    if verdict is Verdict.UNPROVEN and await judge_content(objects, target) is not Verdict.INTACT:
        await _blame(objects, source, target)
    return target


async def _blame(objects: ObjectStore, source: Output, target: Output) -> None:
    """Raise the error for a copy that is not right: the source is lost only if it is wrong itself."""
    if (verdict := await judge_content(objects, source)) is not Verdict.INTACT:
        raise ResultLost(detail=f"{source.key} is {verdict}")
    raise ObjectStoreUnavailable(detail=f"{target.key} is not what {source.key} is")
