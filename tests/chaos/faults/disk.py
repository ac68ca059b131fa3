"""Faults of the disks: with a worker's work folder, and with the data of the object store."""

import asyncio
import errno
from io import FileIO

from tests.chaos.faults.fault import Fault, Met, Passing
from tests.chaos.system import System
from tests.proxy import Way

FULL_S = 3.0
PIECE_BYTES = 256 * 1024


async def fill(system: System) -> Met:
    """Fill the disk to the last byte for some seconds; the last worker has it."""
    worker = system.workers[-1]
    if system.small_disk is None:
        return Met(0, "disks")
    held = set(system.journal.held_by(worker.pid))
    filler = system.small_disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            _fill(file)
        await asyncio.sleep(FULL_S)
    finally:
        filler.unlink(missing_ok=True)
    return Met(len(held | set(system.journal.held_by(worker.pid))), "conversions in flight")


def _fill(file: FileIO) -> None:
    piece = bytes(PIECE_BYTES)
    try:
        while True:
            file.write(piece)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


async def fill_server(system: System) -> Met:
    """Fill the disk with the data of the object store."""
    if system.object_disk is None:
        return Met(0, "disks")
    passing, filler = Passing(system, "object_store"), system.object_disk / "filler"
    with system.outage("object_store", "disk full"):
        try:
            with filler.open("wb", buffering=0) as file:
                await asyncio.to_thread(_fill, file)
            await asyncio.sleep(FULL_S)
        finally:
            filler.unlink(missing_ok=True)
    return passing.since(Way.TO_SERVER)


def faults(system: System) -> list[Fault]:
    """Return those of the small disks that this machine could mount."""
    worker = [Fault("worker: disk full", fill)] if system.small_disk is not None else []
    server = [Fault("object_store: disk full", fill_server)] if system.object_disk is not None else []
    return [*worker, *server]
