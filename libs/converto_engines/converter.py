"""The converter interface: `Converter`, and the `Job` that it runs on a local source file."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from converto_core.catalogue import Loss, Offer
from converto_core.errors import BadOptions, ConversionError, EngineMissing, EngineNotAnswering, EngineTimeout
from converto_core.formats import Family
from converto_core.secret import Secret

ANSWER_WITHIN_S = 60.0
"""Limit of a question to a program, such as which version it is: below a second on an idle machine, half a minute for
the largest library beside ten times the load that the machine can carry."""

Report = Callable[[float | None, str], None]
"""Progress callback: percent of this step (0 to 100; None when unknown) and a short stage name."""

Note = Callable[[str], None]
"""Callback for one sentence about what the result lacks of this source; users see it with the result."""


def ignore_report(_percent: float | None, _stage: str) -> None:
    """A `Report` that discards progress."""


def ignore_note(_text: str) -> None:
    """A `Note` that discards the text."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The resource limits of one run of a program, and the largest source that it accepts.

    `pages` also limits slides and frames, and `pixels` applies to one picture or video frame. `duration_s` and
    `streams` are for video and audio, `faces` for models, `entries` and `unpacked_bytes` for ZIP containers.
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
    """One step to run. `folder` is private to this run; the converter writes its products there under its own names.

    `more` holds further sources of the same format for converters that join files; it is empty for all others. `title`
    is the user's file name without its extension, on one printable line; empty when it is not known. `password` opens
    an encrypted source; it is apart from the options, so that nothing shows it by showing them.
    """

    source: Path
    source_format: str
    target_format: str
    folder: Path
    options: Any
    limits: Limits
    report: Report
    more: tuple[Path, ...] = ()
    title: str = ""
    note: Note = ignore_note
    password: Secret | None = None


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One verified result file on disk; `page` counts from 1 and is None for a single result."""

    path: Path
    page: int | None = None


class Converter(Protocol):
    """A plugin for one program: declared attributes and one method. One instance belongs to one slot.

    `convert` only raises errors of `converto_core.errors`: `BadSource`, `BadOptions` or an `EngineError`. It verifies
    its result (opens it, counts pages, decodes pictures) before it returns. It runs one job at a time and cleans up
    when cancelled.

    `loss` (0 keeps everything, 1 keeps little) and `seconds` (typical run) are the planner's costs; `losses` describes
    in words what is lost. `is_paged` means one product per page, so no other step can follow. A converter that appends
    `job.more` to the source declares the additional attribute `joins = True`. One that writes `job.title` into its
    results declares `titled_sources`, the source formats for which it does, because cached results depend on them. One
    that opens encrypted sources with `job.password` declares their formats as `password_sources`.
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
        """Return the version of the installed program; None (or `EngineMissing`) when it is not installed.

        Any other error means that it is installed but does not answer now; then it is asked again later.
        """

    async def convert(self, job: Job) -> list[Product]:
        """Run one job and return its verified products in order."""

    async def aclose(self) -> None:
        """Stop the programs that are kept running."""


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of a converter that has none."""


async def ask(converter: Converter) -> Offer | None:
    """Return the offer of a converter; None when its program is not installed.

    Raises `EngineNotAnswering` when the program is installed but failed to say its version: too slow, crashed, or not
    started for want of memory or processes.
    """
    try:
        version = await converter.version()
    except EngineMissing:
        return None
    except EngineTimeout as error:
        raise EngineNotAnswering(f"no answer within {ANSWER_WITHIN_S:g} s", detail=error.detail) from error
    except (ConversionError, OSError) as error:
        raise EngineNotAnswering(f"its answer was an error: {_reason(error)}", detail=repr(error)) from error
    return None if version is None else offer_of(converter, version)


def _reason(error: ConversionError | OSError) -> str:
    if isinstance(error, ConversionError):
        return error.stable_code
    return error.strerror or type(error).__name__


async def offers_of(converters: Sequence[Converter]) -> tuple[Offer, ...]:
    """Return an offer for every converter whose program answers now; the programs are asked in parallel."""
    answers = await asyncio.gather(*(ask(converter) for converter in converters), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, EngineNotAnswering):
            raise answer
    return tuple(answer for answer in answers if isinstance(answer, Offer))


def options_for(converter: Converter, options: dict[str, Any]) -> msgspec.Struct:
    """Return the options that this converter declares, typed and validated; raises `BadOptions`.

    Other names are ignored because they may belong to other steps of the plan; `planner.check_options` rejects names
    that no step declares.
    """
    known = {field.encode_name for field in msgspec.structs.fields(converter.options)}
    chosen = {name: value for name, value in options.items() if name in known}
    try:
        return msgspec.convert(chosen, converter.options)
    except msgspec.ValidationError as error:
        raise BadOptions(f"The options are not valid: {error}") from error


def offer_of(converter: Converter, version: str = "") -> Offer:
    """Return what a converter offers, as far as it is known; without a version when its program has not answered."""
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
        titled_sources=getattr(converter, "titled_sources", ()),
        password_sources=getattr(converter, "password_sources", ()),
    )


def inline_schema(options: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema of an options struct without `$ref`, so that it can be stored and shown on its own."""
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
