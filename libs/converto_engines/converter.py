"""What a converter is, and what it is given: one local source file, checked options, a private folder, limits.

It knows no program; each program has its own file beside this one.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from converto_core.catalogue import Loss, Offer
from converto_core.errors import BadOptions, ConversionError
from converto_core.formats import Family

Report = Callable[[float | None, str], None]
"""Called with percent of this step (0 to 100, or None where the program gives no number) and a short stage name."""

Note = Callable[[str], None]
"""Called with a sentence about what the result does not hold of this very source; users see it with the result."""


def ignore_report(_percent: float | None, _stage: str) -> None:
    """A `Report` to nobody."""


def ignore_note(_text: str) -> None:
    """A `Note` to nobody."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of a program may cost at most, and the largest source it is started for.

    `pages` counts pages, slides and frames, `pixels` one picture or video frame, `duration_s` and `streams` are of
    video and sound, `faces` of models, `entries` and `unpacked_bytes` of what is inside a ZIP container.
    """

    wall_s: float = 900.0
    cpu_s: int = 900
    memory_bytes: int = 4 * 1024**3
    file_bytes: int = 10 * 1024**3
    pages: int = 10_000
    pixels: int = 100_000_000
    duration_s: float = 12 * 3600.0
    streams: int = 64
    faces: int = 20_000_000
    entries: int = 10_000
    unpacked_bytes: int = 2 * 1024**3


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One step to run. `folder` is private to this run; products are written into it under names of ours.

    `more` holds further sources of the same format, for converters that join files; it is empty for all others.
    """

    source: Path
    source_format: str
    target_format: str
    folder: Path
    options: Any
    limits: Limits
    report: Report
    more: tuple[Path, ...] = ()
    note: Note = ignore_note


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One result file on disk, already verified; `page` counts from 1, None for a single result."""

    path: Path
    page: int | None = None


class Converter(Protocol):
    """A plugin around one program: declared attributes and one method. One instance belongs to one slot.

    `convert` raises from `converto_core.errors` only: `BadSource`, `BadOptions` or an `EngineError`. It verifies what
    it made (opens it, counts pages, decodes pictures) before it returns. It runs one job at a time and cleans up when
    cancelled.

    `loss` (0 keeps everything, 1 keeps little) and `seconds` (typical run) are the planner's cost; `losses` says in
    words what is not kept. `is_paged`: one product per page, so that no other step can follow. A converter that appends
    `job.more` to the source says so with a further attribute, `joins = True`.
    """

    name: str
    engine: str
    family: Family
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    options: type[msgspec.Struct]
    loss: float
    seconds: float
    is_paged: bool
    losses: tuple[Loss, ...]

    async def version(self) -> str | None:
        """Version of the installed program; None when it is missing, so that the route is not offered."""

    async def convert(self, job: Job) -> list[Product]:
        """Run one job and return its verified products in order."""

    async def aclose(self) -> None:
        """End whatever is kept warm."""


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For converters without any option."""


async def offers_of(converters: Sequence[Converter]) -> tuple[Offer, ...]:
    """What the installed ones among these converters can do; their programs are asked side by side."""
    versions = await asyncio.gather(*(_version_of(converter) for converter in converters))
    found = zip(converters, versions, strict=True)
    return tuple(_offer(converter, version) for converter, version in found if version is not None)


async def _version_of(converter: Converter) -> str | None:
    """None also when the program is there but broken: the others are still worth offering."""
    try:
        return await converter.version()
    except ConversionError:
        return None


def options_for(converter: Converter, options: dict[str, Any]) -> msgspec.Struct:
    """The part of a conversion's options that this converter declares, typed and checked; raises `BadOptions`.

    The other steps of a plan have options of their own, so names this converter does not know are passed over here; the
    plan as a whole refuses names that no step knows (`planner.check_options`).
    """
    known = {field.encode_name for field in msgspec.structs.fields(converter.options)}
    chosen = {name: value for name, value in options.items() if name in known}
    try:
        return msgspec.convert(chosen, converter.options)
    except msgspec.ValidationError as error:
        raise BadOptions(f"The options do not fit: {error}") from error


def _offer(converter: Converter, version: str) -> Offer:
    return Offer(
        converter=converter.name,
        engine=converter.engine,
        engine_version=version,
        family=converter.family,
        sources=converter.sources,
        targets=converter.targets,
        options_schema=inline_schema(converter.options),
        loss=converter.loss,
        seconds=converter.seconds,
        is_paged=converter.is_paged,
        losses=converter.losses,
        joins=getattr(converter, "joins", False),
    )


def inline_schema(options: type[msgspec.Struct]) -> dict[str, Any]:
    """JSON Schema of an options struct without `$ref`, so that it can be stored and shown on its own."""
    (schema,), components = msgspec.json.schema_components([options], ref_template="{name}")
    inlined: dict[str, Any] = _inlined(schema, components)
    return inlined


def _inlined(schema: Any, components: dict[str, Any]) -> Any:
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(components[schema["$ref"]], components)
        return {key: _inlined(value, components) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_inlined(entry, components) for entry in schema]
    return schema
