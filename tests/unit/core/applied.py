"""Applies a change to a record in the memory store."""

from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion
from converto_infra.memory.stores import MemoryStores


async def applied(before: Conversion, change: Change) -> Conversion | None:
    """The record after a change in the memory store, or None when it was refused."""
    store = MemoryStores().conversions
    await store.insert(before)
    return await store.apply(change)


async def after(before: Conversion, change: Change) -> Conversion:
    done = await applied(before, change)
    assert done is not None
    return done
