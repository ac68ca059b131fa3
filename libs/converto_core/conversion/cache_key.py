"""The cache key of a result, and the entry that names the conversion which makes it.

Keys contain only hashes that converto has computed itself, never one that a client declared.
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from converto_core.catalogue import Offer
from converto_core.conversion.record import Conversion, Output, Status, readable_name, title_of
from converto_core.ids import new_id
from converto_core.object_keys import output_key

GENERATION = 2
"""Part of every key. Increment it when our converters produce other output from the same bytes and programs."""


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The conversion, with its token, that makes or made the result of a key. `id` is the key."""

    id: str
    conversion_id: str
    token: int
    owner: str
    created_at: int

    def is_of(self, conversion: Conversion) -> bool:
        """True when the entry names this conversion with its current token."""
        return (self.conversion_id, self.token) == (conversion.id, conversion.token)


def cache_key(
    conversion: Conversion, *, contents: Sequence[str], offers: Iterable[Offer], is_for_all_owners: bool = False
) -> str | None:
    """SHA-256 (hex) of everything that affects the result; None when the engine of a step or its version is unknown.

    None also for a source with a password: a cached result would give its contents to whoever lacks the password.
    `contents` holds the SHA-256 of the source and of each appended file, in order.
    """
    known = {offer.converter: offer for offer in offers if offer.engine_version}
    if not conversion.plan or any(step.converter not in known for step in conversion.plan):
        return None
    if conversion.has_password:
        return None
    is_titled = any(step.source_format in known[step.converter].titled_sources for step in conversion.plan)
    parts = {
        "generation": GENERATION,
        "owner": None if is_for_all_owners else conversion.owner,
        "contents": contents,
        "title": title_of(conversion.filename) if is_titled else None,
        "source_format": conversion.source_format,
        "target_format": conversion.target_format,
        "options": conversion.options,
        "steps": conversion.plan,
        "engines": [(known[step.converter].engine, known[step.converter].engine_version) for step in conversion.plan],
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def has_result(entry: CacheEntry, maker: Conversion | None) -> bool:
    """True when the conversion named by the entry completed with that token and its outputs are not known as lost."""
    if maker is None or not entry.is_of(maker) or maker.status is not Status.COMPLETED:
        return False
    return bool(maker.outputs) and maker.result_lost_at is None


def copied_outputs(conversion: Conversion, outputs: Iterable[Output]) -> tuple[Output, ...]:
    """Another conversion's outputs as outputs of this one: with its own keys, and named after its own source.

    Each call makes new keys, so a copy that was given up and still completes later overwrites nothing.
    """
    made, folder = tuple(outputs), new_id()
    pages = max((output.page or 0 for output in made), default=0)
    return tuple(
        msgspec.structs.replace(
            output,
            key=output_key(conversion, f"{folder}-{output.key.rpartition('/')[2]}"),
            filename=readable_name(conversion.filename, conversion.target_format, output.page, pages),
            etag=None,
        )
        for output in made
    )
