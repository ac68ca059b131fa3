"""What a job has made, before any record tells of it. It knows no store and no program."""

import msgspec

from converto_core.conversion.record import Output


class Finished(msgspec.Struct, frozen=True):
    """Results that lie verified in the object store, the programs that made them, and what they lack.

    `cached_from` is the conversion whose results were copied, None when this job ran the programs itself.
    """

    outputs: tuple[Output, ...]
    engine_versions: dict[str, str]
    notes: tuple[str, ...] = ()
    cached_from: str | None = None
