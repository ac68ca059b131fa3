"""Same content, same request: the key under which a result is found again, and the entry that says who makes it.

It knows no store. A key is made of hashes that converto has seen for itself, never of one that a client only declared.
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from converto_core.catalogue import Offer
from converto_core.conversion.record import Conversion, Output, Status, readable_name
from converto_core.ids import new_id
from converto_core.object_keys import output_key

GENERATION = 1
"""Part of every key. Raise it when our own converters make something else of the same bytes with the same programs."""


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes, or made, the result of a key: this conversion under this token. `id` is the key."""

    id: str
    conversion_id: str
    token: int
    owner: str
    created_at: int

    def is_of(self, conversion: Conversion) -> bool:
        """True for the conversion that stands here, under the token it has now."""
        return (self.conversion_id, self.token) == (conversion.id, conversion.token)


def cache_key(
    conversion: Conversion, *, contents: Sequence[str], offers: Iterable[Offer], is_for_all_owners: bool = False
) -> str | None:
    """SHA-256 (hex) over all that decides about the result; None when an offer for a step of the plan is not known.

    `contents` are the SHA-256 of the source and of each file that is joined to it, in order.
    """
    known = {offer.converter: offer for offer in offers}
    if not conversion.plan or any(step.converter not in known for step in conversion.plan):
        return None
    parts = {
        "generation": GENERATION,
        "owner": None if is_for_all_owners else conversion.owner,
        "contents": contents,
        "source_format": conversion.source_format,
        "target_format": conversion.target_format,
        "options": conversion.options,
        "steps": conversion.plan,
        "engines": [(known[step.converter].engine, known[step.converter].engine_version) for step in conversion.plan],
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def has_result(entry: CacheEntry, maker: Conversion | None) -> bool:
    """True when the conversion that the entry names has completed under the entry's token and still has its outputs."""
    return maker is not None and entry.is_of(maker) and maker.status is Status.COMPLETED and bool(maker.outputs)


def copied_outputs(conversion: Conversion, outputs: Iterable[Output]) -> tuple[Output, ...]:
    """Another conversion's outputs as this one's own: own keys, and names that follow from its own source.

    The keys are new at each call: a copy that was given up may still arrive, and must not hit anything else.
    """
    made, place = tuple(outputs), new_id()
    pages = max((output.page or 0 for output in made), default=0)
    return tuple(
        msgspec.structs.replace(
            output,
            key=output_key(conversion, f"{place}-{output.key.rpartition('/')[2]}"),
            filename=readable_name(conversion.filename, conversion.target_format, output.page, pages),
        )
        for output in made
    )
