"""Bodies of `/formats`, `/plans`, `/workers` and `/whoami`."""

from typing import Any

import msgspec

from converto_core.caller import Scope
from converto_core.conversion.record import Step
from file_service.http.schemas.conversions import SecondsBody
from file_service.http.schemas.fields import FormatName, Milliseconds, Name, Options


class NewPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A conversion to plan without running it, given an existing file, a file name, or a format."""

    target_format: FormatName
    file_id: str | None = None
    filename: Name | None = None
    source_format: FormatName | None = None
    options: Options = {}


class FormatBody(msgspec.Struct, frozen=True, kw_only=True):
    """One file format."""

    name: str
    title: str
    mime_type: str
    family: str
    extensions: tuple[str, ...]


class RouteBody(msgspec.Struct, frozen=True, kw_only=True):
    """One route from a source format to a target format, with its steps and options."""

    source: str
    target: str
    converter: str
    engine: str
    engine_version: str
    family: str
    options_schema: dict[str, Any]
    steps: tuple[Step, ...]
    losses: tuple[str, ...]


class PlanStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a plan and the engine that runs it."""

    converter: str
    engine: str
    engine_version: str
    source_format: str
    target_format: str


class PlanBody(msgspec.Struct, frozen=True, kw_only=True):
    """The steps and options of a conversion, its expected duration, and what the result would lose."""

    source_format: str
    target_format: str
    steps: list[PlanStep]
    options_schema: dict[str, Any]
    expected: SecondsBody
    losses: tuple[str, ...]


class Formats(msgspec.Struct, frozen=True, kw_only=True):
    """All formats, and the routes that are available now."""

    formats: list[FormatBody]
    routes: list[RouteBody]


class SlotBody(msgspec.Struct, frozen=True, kw_only=True):
    """A running conversion; its id is null unless it is yours."""

    conversion_id: str | None
    started_at: Milliseconds
    pid: int | None


class NotAnsweringBody(msgspec.Struct, frozen=True, kw_only=True):
    """A converter whose program is installed but does not answer yet: since when, why, and what it would convert."""

    converter: str
    engine: str
    family: str
    since: Milliseconds
    error: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]


class WorkerBody(msgspec.Struct, frozen=True, kw_only=True):
    """A running worker.

    Conversions that need a converter of `not_answering` are accepted and wait: the worker asks its program again and
    again. `not_installed` names engines that this worker lacks.
    """

    id: str
    host: str
    pid: int
    started_at: Milliseconds
    seen_at: Milliseconds
    slots: int
    sandbox: str
    running: list[SlotBody]
    offers: list[str]
    is_stopping: bool
    not_answering: list[NotAnsweringBody]
    not_installed: tuple[str, ...]


class Workers(msgspec.Struct, frozen=True):
    """All running workers."""

    workers: list[WorkerBody]


class WhoAmI(msgspec.Struct, frozen=True):
    """The caller: its owner, what it may do, and when its access token expires.

    `key_id` is empty for a token, `expires_at` is null for an API key.
    """

    owner: str
    key_id: str
    is_admin: bool
    scopes: tuple[Scope, ...]
    expires_at: Milliseconds | None
