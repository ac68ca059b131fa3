"""Faults of the disk with a worker's work folder."""

import asyncio
import errno
from io import FileIO

from tests.chaos.faults.fault import Fault, Met
from tests.chaos.system import System

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


FAULTS = (Fault("worker: disk full", fill),)
